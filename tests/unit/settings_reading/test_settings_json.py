"""SETTINGS_JSON: what it may hold, and with which words the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from settings import SETTING_NAMES, Settings, with_settings_json
from settings_reading.readers import SettingsError

KEY = {"OPENAI_API_KEY": "k"}
NO_VALUE = {  # what each type of setting refuses
    "IDLE_TIMEOUT_S": (True, [90], {}, None),
    "MAX_MESSAGES": (True, ["1"], {}, None),
    "MAX_OUTPUT_TOKENS": (True, ["1"], {}, None),
    "PLAYGROUND": (1, ["true"], {}, None),
    "JWT_CALLER_CLAIM": (5, True, ["sub"], {}, None),
    "ALLOWED_MODELS": (5, True, {}, None, ["a", 5], ["a,b"], [["a"]]),
    "CALLER_LIMITS": (5, True, [], None),
    "MODEL_PRICES": (5, True, [], None),
}
WORDS = {
    "IDLE_TIMEOUT_S": "a number",
    "MAX_MESSAGES": "a number",
    "MAX_OUTPUT_TOKENS": "a number",
    "PLAYGROUND": "true or false",
    "JWT_CALLER_CLAIM": "a text",
    "ALLOWED_MODELS": "a list of texts",
    "CALLER_LIMITS": "an object",
    "MODEL_PRICES": "an object",
}


def settings(document: Any, **variables: str) -> Settings:
    text = document if isinstance(document, str) else json.dumps(document)
    return Settings.from_environment({**KEY, "SETTINGS_JSON": text, **variables})


def refusal(document: Any, **variables: str) -> str:
    with pytest.raises(SettingsError) as raised:
        settings(document, **variables)
    return str(raised.value)


def test_values_are_what_their_variables_would_be() -> None:
    limits = {"web": {"requests_per_minute": 5, "models": ["gpt-6*"]}}
    prices = {"my-model": {"input": 0.25, "output": 2}}
    made = settings(
        {
            "IDLE_TIMEOUT_S": 90,
            "FIRST_BYTE_TIMEOUT_S": 7.5,
            "MAX_MESSAGES": 50,
            "PLAYGROUND": True,
            "INCLUDE_USAGE": False,
            "DEFAULT_MODEL": "gpt-6-luna",
            "ALLOWED_MODELS": ["gpt-6*", "o5"],
            "CALLER_LIMITS": limits,
            "MODEL_PRICES": prices,
        },
        LIMITS_TABLE_NAME="t",
    )
    assert (made.idle_timeout_s, made.first_byte_timeout_s, made.max_messages) == (90, 7.5, 50)
    assert (made.playground, made.include_usage, made.allowed_models) == (True, False, ("gpt-6*", "o5"))
    assert made.for_caller("web").requests_per_minute == 5
    assert made.model_prices == prices


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("IDLE_TIMEOUT_S", "90"),
        ("PLAYGROUND", "true"),
        ("ALLOWED_MODELS", "gpt-6-luna, o5"),
        ("CALLER_LIMITS", '{"web": {"max_output_tokens": 5}}'),
    ],
)
def test_a_text_means_what_it_means_as_a_variable(name: str, text: str) -> None:
    assert vars(settings({name: text})) == vars(Settings.from_environment({**KEY, name: text}))


@pytest.mark.parametrize("empty", ["", "  ", "{}"])
def test_empty_settings_change_nothing(empty: str) -> None:
    assert vars(settings(empty)) == vars(Settings.from_environment(KEY))


def test_every_setting_except_the_key_is_accepted() -> None:
    for name in SETTING_NAMES - {"OPENAI_API_KEY"}:
        assert with_settings_json({"SETTINGS_JSON": json.dumps({name: "x"})}) == {name: "x"}


@pytest.mark.parametrize("text", ["x", "[]", '"x"', "1", "null", "{", "[" * 100_000])
def test_anything_but_an_object_is_refused(text: str) -> None:
    assert refusal(text) == 'SETTINGS_JSON must be a JSON object of settings, such as {"IDLE_TIMEOUT_S": 90}'


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("IDLE_TIMOUT_S", "IDLE_TIMEOUT_S"),
        ("idle_timeout_s", "IDLE_TIMEOUT_S"),
        ("ALLOWED_MODEL", "ALLOWED_MODELS"),
        ("TOKENS_A_DAY", "TOKENS_PER_DAY"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest_right_one(name: str, nearest: str) -> None:
    assert refusal({name: "1"}) == f"SETTINGS_JSON: {name} is not a setting: did you mean {nearest}?"


def test_a_name_that_resembles_none_is_refused_without_a_suggestion() -> None:
    assert refusal({"COLOUR": "red"}) == "SETTINGS_JSON: COLOUR is not a setting"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NO_VALUE for value in NO_VALUE[name]])
def test_a_value_of_the_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    assert refusal({name: value}) == f"SETTINGS_JSON: {name} must be {WORDS[name]}"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"IDLE_TIMEOUT_S": 0}, "IDLE_TIMEOUT_S must be a number of seconds above 0"),
        ('{"IDLE_TIMEOUT_S": NaN}', "IDLE_TIMEOUT_S must be a number of seconds above 0"),
        ({"MAX_MESSAGES": 1.5}, "MAX_MESSAGES must be a whole number"),
        ({"ALLOWED_MODELS": []}, "ALLOWED_MODELS must hold at least one entry"),
        ({"CALLER_LIMITS": {"web": {"speed": 1}}}, "CALLER_LIMITS: web: speed is not a limit"),
        ({"MODEL_PRICES": {"m": {"input": 1}}}, "MODEL_PRICES: m: output is missing"),
    ],
)
def test_a_value_out_of_range_is_refused_as_the_variable_would_be(document: Any, words: str) -> None:
    assert refusal(document).startswith(words)


@pytest.mark.parametrize(
    "text", ['{"IDLE_TIMEOUT_S": 1, "IDLE_TIMEOUT_S": 2}', '{"CALLER_LIMITS": {"w": {}, "w": {}}}']
)
def test_a_repeated_name_is_refused(text: str) -> None:
    assert "is repeated" in refusal(text)


def test_a_setting_that_is_also_a_variable_is_refused() -> None:
    words = "IDLE_TIMEOUT_S is set twice, in SETTINGS_JSON and by itself: set only one of them"
    assert refusal({"IDLE_TIMEOUT_S": 90}, IDLE_TIMEOUT_S="60") == words
    assert settings({"IDLE_TIMEOUT_S": 90}, IDLE_TIMEOUT_S=" ").idle_timeout_s == 90  # empty: not set


def test_a_secret_is_refused_and_not_quoted() -> None:
    words = refusal({"OPENAI_API_KEY": "sk-secret"}, OPENAI_API_KEY="")
    assert words == "SETTINGS_JSON must not hold OPENAI_API_KEY: parameters are no place for a secret"
    assert "sk-secret" not in refusal({"PLAYGROUND": ["sk-secret"]})
