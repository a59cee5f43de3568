from __future__ import annotations

import dataclasses
import hashlib

import pytest

from settings import OPENAI_URL, SETTING_NAMES, Settings
from settings_error import SettingsError

DIGEST = hashlib.sha256(b"web-key").hexdigest()
KEY = {"OPENAI_API_KEY": "sk-test"}


def read(**variables: str) -> Settings:
    return Settings.from_environment({**KEY, **variables})


def test_an_empty_environment_but_for_the_key_gives_the_defaults() -> None:
    settings = read()
    assert settings == Settings(openai_api_key="sk-test")
    assert settings.auth_mode == "keys"
    assert settings.caller_keys == ()


def test_every_field_has_its_variable_and_no_variable_is_without_a_field() -> None:
    assert {field.name.upper() for field in dataclasses.fields(Settings)} == SETTING_NAMES


def test_an_empty_variable_keeps_the_default() -> None:
    assert read(IDLE_TIMEOUT_S="", DEFAULT_MODEL=" ") == read()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().auth_mode = "none"  # type: ignore[misc]


def test_values_are_read_into_their_types() -> None:
    settings = read(
        OPENAI_BASE_URL="http://127.0.0.1:9/v1/",
        ALLOWED_MODELS="a, b ,",
        AUTH_MODE="NONE",
        CALLER_KEYS=f"web:{DIGEST.upper()}, batch:{'0' * 64}",
        CONNECT_TIMEOUT_S="0.5",
        UPSTREAM_RETRIES="0",
        INCLUDE_USAGE="False",
        TRANSCRIPT_CONTENT="Answer",
        LOG_LEVEL="debug",
    )
    assert settings.openai_base_url == "http://127.0.0.1:9/v1"
    assert settings.allowed_models == ("a", "b")
    assert settings.default_model == "a"
    assert settings.auth_mode == "none"
    assert settings.caller_keys == (("web", DIGEST), ("batch", "0" * 64))
    assert settings.connect_timeout_s == 0.5
    assert settings.upstream_retries == 0
    assert settings.include_usage is False
    assert settings.transcript_content == "answer"
    assert settings.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_BASE_URL", "api.openai.com/v1"),
        ("OPENAI_BASE_URL", "ftp://api.openai.com"),
        ("OPENAI_BASE_URL", "https://user:word@host/v1"),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1/chat/completions"),
        ("OPENAI_BASE_URL", "https://api.openai.com/v1/responses/"),
        ("OPENAI_KEY_HEADER", "x-api-key"),
        ("OPENAI_API_VERSION", "2024-10-21&x=y"),
        ("AUTH_MODE", "open"),
        ("CALLER_KEYS", "web"),
        ("CALLER_KEYS", "web:abc"),
        ("CALLER_KEYS", f"web:{DIGEST},web:{DIGEST}"),
        ("CONNECT_TIMEOUT_S", "0"),
        ("FIRST_BYTE_TIMEOUT_S", "-1"),
        ("IDLE_TIMEOUT_S", "nan"),
        ("KEEP_ALIVE_S", "901"),
        ("DEADLINE_RESERVE_S", "soon"),
        ("UPSTREAM_RETRIES", "11"),
        ("UPSTREAM_RETRIES", "1.5"),
        ("MAX_BODY_BYTES", "0"),
        ("INCLUDE_USAGE", "yes"),
        ("TRANSCRIPT_CONTENT", "some"),
        ("TRANSCRIPT_DEAD_LETTER_QUEUE_URL", "undelivered"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_LEVEL", "CRITICAL"),  # would silence a transcript that only the log has
    ],
)
def test_a_malformed_setting_is_refused_by_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(**{name: value})


@pytest.mark.parametrize(
    "variables", [{"CALLER_KEYS": "web:my-plain-key"}, {"OPENAI_API_KEY": "sk-secret\r\nx: y"}]
)
def test_an_error_never_repeats_a_key(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as raised:
        read(**variables)
    assert "plain" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_openai_without_any_key_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY or OPENAI_API_KEY_SECRET_ID"):
        Settings.from_environment({})


def test_another_upstream_may_need_no_key() -> None:
    assert Settings.from_environment({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}).openai_api_key == ""


def test_two_sources_for_the_key_are_refused() -> None:
    with pytest.raises(SettingsError, match="only one"):
        read(OPENAI_API_KEY_SECRET_ID="prod/openai")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        (
            "https://x.openai.azure.com/openai/deployments/d",
            "https://x.openai.azure.com/openai/deployments/d",
        ),
    ],
)
def test_a_base_url_may_leave_out_v1_where_it_is_a_host_alone(given: str, meant: str) -> None:
    assert read(OPENAI_BASE_URL=given).openai_base_url == meant


def test_openai_without_v1_needs_a_key_as_well() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        Settings.from_environment({"OPENAI_BASE_URL": "https://api.openai.com"})


def test_the_default_upstream_is_openai() -> None:
    assert read().openai_base_url == OPENAI_URL


def test_a_default_model_that_is_not_allowed_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="DEFAULT_MODEL"):
        read(ALLOWED_MODELS="a,b", DEFAULT_MODEL="c")
    assert read(ALLOWED_MODELS="a,b", DEFAULT_MODEL="b").default_model == "b"
