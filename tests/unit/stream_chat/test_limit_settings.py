"""The settings that limit callers: the general limits, and CALLER_LIMITS."""

from __future__ import annotations

import pytest

from settings import Settings
from settings_reading.readers import SettingsError


def read(**variables: str) -> Settings:
    return Settings.from_environment({"OPENAI_API_KEY": "sk-test", **variables})


@pytest.mark.parametrize("name", ["MAX_OUTPUT_TOKENS", "REQUESTS_PER_MINUTE", "TOKENS_PER_DAY"])
def test_zero_means_no_limit(name: str) -> None:
    assert vars(read(**{name: "0"})) == vars(read())


@pytest.mark.parametrize(
    "variables",
    [
        {"REQUESTS_PER_MINUTE": "5"},
        {"TOKENS_PER_DAY": "5"},
        {"CALLER_LIMITS": '{"web": {"tokens_per_day": 5}}'},
    ],
)
def test_counted_limits_need_a_table(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="LIMITS_TABLE_NAME"):
        read(**variables)
    assert read(LIMITS_TABLE_NAME="limits", **variables).keeps_limits


def test_other_limits_need_no_table() -> None:
    assert not read(LIMITS_TABLE_NAME="limits").keeps_limits
    assert not read(CALLER_LIMITS='{"web": {"models": ["m"], "max_output_tokens": 5}}').keeps_limits


LIMITS = """{
    "web": {"requests_per_minute": 60, "models": ["gpt-6*"]},
    "batch-*": {"tokens_per_day": 7, "requests_per_minute": null},
    "*": {"models": ["small", "large"], "max_output_tokens": 9}
}"""


def test_a_callers_own_limits_replace_the_general_ones() -> None:
    settings = read(
        CALLER_LIMITS=LIMITS, LIMITS_TABLE_NAME="t", REQUESTS_PER_MINUTE="5", MAX_OUTPUT_TOKENS="4"
    )
    web, batch, other = map(settings.for_caller, ("web", "batch-7", "else"))
    assert (web.requests_per_minute, web.allowed_models, web.max_output_tokens) == (60, ("gpt-6*",), 4)
    assert (batch.requests_per_minute, batch.tokens_per_day, batch.allowed_models) == (None, 7, ())
    assert (other.requests_per_minute, other.max_output_tokens) == (5, 9)


def test_the_default_model_is_one_that_the_caller_may_use() -> None:
    settings = read(CALLER_LIMITS=LIMITS, LIMITS_TABLE_NAME="t")
    assert settings.for_caller("web").default_model == "gpt-6-luna"
    assert settings.for_caller("else").default_model == "small"


def test_a_callers_exact_name_takes_precedence_over_an_earlier_pattern() -> None:
    settings = read(CALLER_LIMITS='{"*": {"max_output_tokens": 1}, "web": {"max_output_tokens": 2}}')
    assert settings.for_caller("web").max_output_tokens == 2
    assert settings.for_caller("webb").max_output_tokens == 1


def test_a_caller_without_own_limits_has_the_general_ones() -> None:
    settings = read(CALLER_LIMITS='{"web": {"max_output_tokens": 2}}')
    assert settings.for_caller("batch") is settings


@pytest.mark.parametrize(
    ("values", "limited"),
    [
        ({}, False),
        ({"MAX_MESSAGES": "5", "ALLOWED_FIELDS": "top_k", "DEFAULT_MODEL": "m"}, False),
        ({"ALLOWED_MODELS": "a"}, True),
        ({"MAX_OUTPUT_TOKENS": "5"}, True),
        ({"FORBIDDEN_FIELDS": "store"}, True),
        ({"REQUESTS_PER_MINUTE": "5", "LIMITS_TABLE_NAME": "t"}, True),
        ({"TOKENS_PER_DAY": "5", "LIMITS_TABLE_NAME": "t"}, True),
    ],
)
def test_any_limit_allows_only_known_fields(values: dict[str, str], limited: bool) -> None:
    assert read(**values).limits_requests is limited


def test_a_callers_own_limits_decide_whether_unknown_fields_pass() -> None:
    settings = read(CALLER_LIMITS='{"web": {"tokens_per_day": 5}}', LIMITS_TABLE_NAME="t")
    assert settings.for_caller("web").limits_requests
    assert not settings.for_caller("ios").limits_requests
