"""What the local stack hands to the functions."""

from __future__ import annotations

import pytest

from local.local_settings import (
    PUBLISH_TRANSCRIPT,
    LocalSettings,
    LocalSettingsError,
    publish_transcript,
    stream_chat,
)

SCRIPTED = "http://127.0.0.1:9/v1"


def read(**environ: str) -> LocalSettings:
    return LocalSettings.from_environment(environ)


def test_without_settings_the_scripted_model_answers_and_nobody_needs_a_key() -> None:
    assert read().chat_variables(SCRIPTED) == {
        "OPENAI_BASE_URL": SCRIPTED,
        "OPENAI_API_KEY": "scripted-model",
        "AUTH_MODE": "none",
        "TRANSCRIPT_FUNCTION_NAME": PUBLISH_TRANSCRIPT,
    }


def test_with_a_key_or_a_url_the_real_upstream_answers() -> None:
    assert "OPENAI_BASE_URL" not in read(OPENAI_API_KEY="sk-1").chat_variables(SCRIPTED)
    variables = read(OPENAI_BASE_URL="http://127.0.0.1:8/v1").chat_variables(SCRIPTED)
    assert variables["OPENAI_BASE_URL"] == "http://127.0.0.1:8/v1"
    assert "OPENAI_API_KEY" not in variables


def test_with_caller_keys_the_functions_own_default_holds() -> None:
    variables = read(CALLER_KEYS="web:" + "0" * 64).chat_variables(SCRIPTED)
    assert "AUTH_MODE" not in variables
    assert read(AUTH_MODE="keys").chat_variables(SCRIPTED)["AUTH_MODE"] == "keys"


def test_the_functions_settings_pass_and_the_rest_of_the_environment_does_not() -> None:
    settings = read(KEEP_ALIVE_S="1", HOME="/home/a", GITHUB_TOKEN="t", AWS_PROFILE="p", PATH="/bin")
    variables = stream_chat(settings, settings.chat_variables(SCRIPTED), {}).variables
    assert (variables["KEEP_ALIVE_S"], variables["PATH"]) == ("1", "/bin")
    assert not {"HOME", "GITHUB_TOKEN", "AWS_PROFILE", "AWS_SAM_LOCAL"} & set(variables)


@pytest.mark.parametrize(
    ("given", "no_proxy"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example, localhost,"}, "a.example,localhost,127.0.0.1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,b.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_what_listens_on_this_machine_is_reached_without_the_persons_proxy(
    given: dict[str, str], no_proxy: str
) -> None:
    settings = read(HTTP_PROXY="http://proxy.example", **given)
    for function in (stream_chat, publish_transcript):
        variables = function(settings, {}, {}).variables
        assert variables["HTTP_PROXY"] == "http://proxy.example"
        assert (variables["NO_PROXY"], variables["no_proxy"]) == (no_proxy, no_proxy)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65535"),
        ("FUNCTION_TIMEOUT_S", "0"),
        ("MAX_ENVIRONMENTS", "-1"),
        ("SCRIPTED_MODEL_WORDS_PER_S", "nan"),
        ("UPSTREAM_RETRIES", "many"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(LocalSettingsError, match=name):
        LocalSettings.from_environment({name: value})
