"""The settings of the local stack, and what it hands to the functions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.settings import (
    COMPANION_ENVIRONMENTS,
    PUBLISH_TRANSCRIPT,
    REDRIVE_TRANSCRIPTS,
    ROOT,
    STREAM_CHAT,
    LocalSettings,
    LocalSettingsError,
    deployed_function,
)
from local.template import load_template

SCRIPTED = "http://127.0.0.1:9/v1"
QUEUES = "http://127.0.0.1:3001/123456789012"
TRANSCRIPT_PLACES = {
    "TRANSCRIPT_FUNCTION_NAME": "publish-transcript",
    "TRANSCRIPT_BUCKET": "transcripts",
    "TRANSCRIPT_DEAD_LETTER_QUEUE_URL": f"{QUEUES}/transcripts-undelivered",
}


def read(**environ: str) -> LocalSettings:
    return LocalSettings.from_environment(environ)


def test_without_settings_the_scripted_model_answers_and_no_key_is_needed() -> None:
    assert read().chat_variables(SCRIPTED) == {
        "OPENAI_BASE_URL": SCRIPTED,
        "OPENAI_API_KEY": "scripted-model",
        "AUTH_MODE": "none",
        "PLAYGROUND": "true",
        "CALLERS_TABLE_NAME": "callers",
        "LIMITS_TABLE_NAME": "limits",
        **TRANSCRIPT_PLACES,
    }


def test_settings_in_json_are_as_good_as_variables() -> None:
    settings = read(SETTINGS_JSON='{"AUTH_MODE": "keys", "PLAYGROUND": false, "MAX_MESSAGES": 5}')
    assert (settings.auth_mode, settings.has_playground) == ("keys", False)
    variables = settings.chat_variables(SCRIPTED)
    assert (variables["AUTH_MODE"], variables["MAX_MESSAGES"]) == ("keys", "5")
    assert "SETTINGS_JSON" not in variables
    with pytest.raises(LocalSettingsError, match="MAX_MESAGES is not a setting: did you mean MAX_MESSAGES"):
        read(SETTINGS_JSON='{"MAX_MESAGES": 5}')


def test_with_a_key_or_a_url_the_real_upstream_answers() -> None:
    assert "OPENAI_BASE_URL" not in read(OPENAI_API_KEY="sk-1").chat_variables(SCRIPTED)
    variables = read(OPENAI_BASE_URL="http://127.0.0.1:8/v1").chat_variables(SCRIPTED)
    assert variables["OPENAI_BASE_URL"] == "http://127.0.0.1:8/v1"
    assert "OPENAI_API_KEY" not in variables


def test_with_caller_keys_the_functions_own_default_applies() -> None:
    variables = read(CALLER_KEYS="web:" + "0" * 64).chat_variables(SCRIPTED)
    assert "AUTH_MODE" not in variables
    assert read(AUTH_MODE="keys").chat_variables(SCRIPTED)["AUTH_MODE"] == "keys"


def test_the_functions_settings_are_passed_on_and_the_rest_of_the_environment_is_not() -> None:
    settings = read(KEEP_ALIVE_S="1", HOME="/home/a", GITHUB_TOKEN="t", AWS_PROFILE="p", PATH="/bin")
    variables = deployed_function(settings, STREAM_CHAT, settings.chat_variables(SCRIPTED)).variables
    assert (variables["KEEP_ALIVE_S"], variables["PATH"]) == ("1", "/bin")
    assert not {"HOME", "GITHUB_TOKEN", "AWS_PROFILE", "AWS_SAM_LOCAL"} & set(variables)


def test_a_misspelt_setting_of_the_function_or_of_the_stack_is_reported() -> None:
    settings = read(ALLOWED_MODEL="m", FUNCTION_TIMEOUT="9", HOME="/home/a", LOG_LEVEL="INFO", PORT="3000")
    assert settings.warnings == [
        "ALLOWED_MODEL is not a setting and has no effect: ALLOWED_MODELS is one",
        "FUNCTION_TIMEOUT is not a setting and has no effect: FUNCTION_TIMEOUT_S is one",
    ]


def test_each_function_gets_only_its_own_settings_of_the_users_environment() -> None:
    settings = read(PATH="/bin", LOG_LEVEL="DEBUG", HOME="/home/a", OPENAI_API_KEY="sk-1")
    for name in COMPANION_ENVIRONMENTS:
        variables = deployed_function(settings, name, settings.companion_variables(name)).variables
        assert variables["LOG_LEVEL"] == "DEBUG"
        assert not {"HOME", "OPENAI_API_KEY"} & set(variables)


def test_users_choose_what_a_transcript_holds_but_not_where_it_goes() -> None:
    others = dict.fromkeys(TRANSCRIPT_PLACES, "http://elsewhere.example")
    variables = read(TRANSCRIPT_CONTENT="none", **others).chat_variables(SCRIPTED)
    assert variables["TRANSCRIPT_CONTENT"] == "none"
    assert variables.items() >= TRANSCRIPT_PLACES.items()


def test_every_queue_gets_every_transcript_and_each_consumer_has_its_own_dead_letter_queue() -> None:
    settings = read()
    names = ("transcripts", "transcripts-audit", "transcripts-console", "transcripts-archive")
    routes = json.loads(settings.companion_variables(PUBLISH_TRANSCRIPT)["TRANSCRIPT_ROUTES"])
    assert routes == [f"{QUEUES}/{name}" for name in names]
    letters = json.loads(settings.companion_variables(REDRIVE_TRANSCRIPTS)["DEAD_LETTER_QUEUES"])
    assert letters == {
        f"{QUEUES}/{name}-dead-letters": f"{QUEUES}/{name}"
        for name in ("transcripts", "transcripts-audit", "transcripts-archive")
    }


def test_the_functions_may_get_another_aws_endpoint_than_the_stack_uses() -> None:
    own, other = read(PORT="4000"), read(PORT="4000", AWS_ENDPOINT_FOR_FUNCTIONS="http://127.0.0.1:8")
    names = ("AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB")
    assert [own.endpoints[name] for name in names] == ["http://127.0.0.1:4001"] * 3
    assert [other.endpoints[name] for name in names] == ["http://127.0.0.1:8"] * 3
    assert other.aws_endpoint == "http://127.0.0.1:4001"
    assert other.endpoints["AWS_ENDPOINT_URL_LAMBDA"] == other.invoke_endpoint == "http://127.0.0.1:4002"


@pytest.mark.parametrize(
    ("name", "logical_id"),
    [
        ("publish-transcript", "PublishTranscriptFunction"),
        ("archive-transcripts", "ArchiveTranscriptsFunction"),
        ("redrive-transcripts", "RedriveTranscriptsFunction"),
    ],
)
def test_each_function_is_run_as_the_template_deploys_it(name: str, logical_id: str) -> None:
    function = deployed_function(read(), name, {})
    deployed = load_template()["Resources"][logical_id]["Properties"]
    assert str(function.folder.relative_to(ROOT)) == deployed["CodeUri"]
    assert function.variables["_HANDLER"] == deployed["Handler"]
    assert function.variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == str(deployed["MemorySize"])
    assert function.timeout_s == deployed["Timeout"]
    assert function.has_failure_destination is ("EventInvokeConfig" in deployed)


@pytest.mark.parametrize("name", ["archive", "undelivered"])
def test_kept_files_are_in_the_project_unless_the_user_sets_another_folder(tmp_path: Path, name: str) -> None:
    def folder(**environ: str) -> Path:
        return Path(getattr(read(**environ), f"{name}_folder"))

    assert folder() == ROOT / ".local" / name
    assert folder(**{f"{name.upper()}_FOLDER": str(tmp_path)}) == tmp_path
    assert folder(**{f"{name.upper()}_FOLDER": "here"}) == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("given", "no_proxy"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example, localhost,"}, "a.example,localhost,127.0.0.1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,b.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_services_on_this_machine_are_reached_without_the_users_proxy(
    given: dict[str, str], no_proxy: str
) -> None:
    settings = read(HTTP_PROXY="http://proxy.example", **given)
    for name in (STREAM_CHAT, *COMPANION_ENVIRONMENTS):
        variables = deployed_function(settings, name, {}).variables
        assert variables["HTTP_PROXY"] == "http://proxy.example"
        assert (variables["NO_PROXY"], variables["no_proxy"]) == (no_proxy, no_proxy)


@pytest.mark.parametrize(
    ("environ", "hint"),
    [
        ({}, ""),
        ({"AUTH_MODE": "none"}, ""),
        ({"AUTH_MODE": "keys"}, " -H 'x-api-key: …'"),
        ({"CALLER_KEYS": "web:" + "0" * 64}, " -H 'x-api-key: …'"),
        (
            {"AUTH_MODE": "jwt", "JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCES": "relay"},
            " -H 'authorization: Bearer …'",
        ),
        ({"AUTH_MODE": " IAM "}, " --aws-sigv4 'aws:amz:us-east-1:lambda' --user local:local"),
    ],
)
def test_the_printed_command_has_the_options_that_identify_a_caller(
    environ: dict[str, str], hint: str
) -> None:
    assert read(**environ).key_hint == hint


def test_caller_keys_that_would_protect_nothing_are_refused_before_anything_starts() -> None:
    with pytest.raises(LocalSettingsError, match="CALLER_KEYS protects nothing with AUTH_MODE=none"):
        read(AUTH_MODE="none", CALLER_KEYS="web:" + "0" * 64)


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        (" , ", ()),
        ("*", ("*",)),
        (
            "https://app.example.com, http://localhost:5173,http://[::1]:80,capacitor://localhost",
            ("https://app.example.com", "http://localhost:5173", "http://[::1]:80", "capacitor://localhost"),
        ),
    ],
)
def test_origins_are_listed_as_in_the_parameter_of_the_template(value: str, origins: tuple[str, ...]) -> None:
    assert read(ALLOWED_ORIGINS=value).allowed_origins == origins


@pytest.mark.parametrize(
    "value",
    [
        "https://app.example.com/",
        "app.example.com",
        "https://App.example.com",
        "https://*.example.com",
        "null",
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused(value: str) -> None:
    with pytest.raises(LocalSettingsError, match="ALLOWED_ORIGINS must be"):
        read(ALLOWED_ORIGINS=f"http://localhost:5173,{value}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65534"),  # the third port would be too large
        ("FUNCTION_TIMEOUT_S", "0"),
        ("MAX_ENVIRONMENTS", "-1"),
        ("SCRIPTED_MODEL_WORDS_PER_S", "nan"),
        ("UPSTREAM_RETRIES", "many"),
        ("TRANSCRIPT_CONTENT", "some"),
        ("AWS_ENDPOINT_FOR_FUNCTIONS", "127.0.0.1:8"),
    ],
)
def test_an_invalid_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(LocalSettingsError, match=name):
        LocalSettings.from_environment({name: value})
