"""The settings that limit callers: the general limits, and CALLER_LIMITS."""

from __future__ import annotations

import pytest

from settings import Settings
from settings_reading.readers import SettingsError


def read(**variables: str) -> Settings:
    return Settings.from_environment({"OPENAI_API_KEY": "sk-test", **variables})


LIMIT_NAMES = ["MAX_OUTPUT_TOKENS", "REQUESTS_PER_MINUTE", "TOKENS_PER_DAY", "USD_PER_DAY", "USD_PER_MONTH"]


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_zero_means_no_limit(name: str) -> None:
    assert vars(read(**{name: "0"})) == vars(read())
    assert vars(read(SETTINGS_JSON=f'{{"{name}": 0}}')) == vars(read())


@pytest.mark.parametrize("value", ["0.5", "25", "1e3"])
def test_a_budget_in_money_is_a_number_of_dollars(value: str) -> None:
    settings = read(USD_PER_DAY=value, SETTINGS_JSON=f'{{"USD_PER_MONTH": {value}}}', LIMITS_TABLE_NAME="t")
    assert settings.usd_per_day == settings.usd_per_month == float(value)


@pytest.mark.parametrize("name", ["USD_PER_DAY", "USD_PER_MONTH", "UNPRICED_USD_PER_MILLION"])
@pytest.mark.parametrize("value", ["five", "$5", "-1", "nan", "inf", "0.0000001", "1e10", "5 USD", "."])
def test_any_other_amount_is_refused(name: str, value: str) -> None:
    with pytest.raises(
        SettingsError, match=f"{name} must be a number of US dollars from 0.000001 to 1000000000"
    ):
        read(LIMITS_TABLE_NAME="t", **{name: value})


def test_a_price_of_zero_would_make_unknown_models_free() -> None:
    with pytest.raises(SettingsError, match="UNPRICED_USD_PER_MILLION"):
        read(UNPRICED_USD_PER_MILLION="0")


@pytest.mark.parametrize("value", ['"5"', "true", "0", "-1", "1e10", "[]"])
def test_a_callers_budget_is_a_number_of_dollars_or_null(value: str) -> None:
    with pytest.raises(
        SettingsError, match="CALLER_LIMITS: web: usd_per_month must be a number of US dollars"
    ):
        read(LIMITS_TABLE_NAME="t", CALLER_LIMITS=f'{{"web": {{"usd_per_month": {value}}}}}')
    without = read(LIMITS_TABLE_NAME="t", USD_PER_MONTH="5", CALLER_LIMITS='{"web": {"usd_per_month": null}}')
    assert without.for_caller("web").usd_per_month is None
    assert without.for_caller("ios").usd_per_month == 5


def test_an_unknown_limit_of_a_caller_is_named_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match=r"web: usd is not a limit; .* usd_per_day and usd_per_month$"):
        read(CALLER_LIMITS='{"web": {"usd": 5}}')


@pytest.mark.parametrize("budget", [{"USD_PER_DAY": "5"}, {"CALLER_LIMITS": '{"web": {"usd_per_month": 5}}'}])
def test_a_budget_in_money_needs_some_price(budget: dict[str, str]) -> None:
    own_server = {"OPENAI_BASE_URL": "https://vllm.example/v1", "LIMITS_TABLE_NAME": "t"}
    with pytest.raises(SettingsError, match="set MODEL_PRICES or UNPRICED_USD_PER_MILLION"):
        read(**own_server, **budget)
    read(**own_server, **budget, UNPRICED_USD_PER_MILLION="5")
    read(**own_server, **budget, MODEL_PRICES='{"*": {"input": 1, "output": 2}}')
    read(LIMITS_TABLE_NAME="t", **budget)
    read(**own_server, TOKENS_PER_DAY="5")


@pytest.mark.parametrize(
    "variables",
    [
        {"REQUESTS_PER_MINUTE": "5"},
        {"TOKENS_PER_DAY": "5"},
        {"USD_PER_DAY": "5"},
        {"USD_PER_MONTH": "5"},
        {"CALLER_LIMITS": '{"web": {"tokens_per_day": 5}}'},
        {"CALLER_LIMITS": '{"web": {"usd_per_month": 5}}'},
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
        ({"USD_PER_DAY": "5", "LIMITS_TABLE_NAME": "t"}, True),
        ({"USD_PER_MONTH": "5", "LIMITS_TABLE_NAME": "t"}, True),
        ({"UNPRICED_USD_PER_MILLION": "5"}, False),
    ],
)
def test_any_limit_allows_only_known_fields(values: dict[str, str], limited: bool) -> None:
    assert read(**values).limits_requests is limited


def test_a_callers_own_limits_decide_whether_unknown_fields_pass() -> None:
    settings = read(CALLER_LIMITS='{"web": {"tokens_per_day": 5}}', LIMITS_TABLE_NAME="t")
    assert settings.for_caller("web").limits_requests
    assert not settings.for_caller("ios").limits_requests
