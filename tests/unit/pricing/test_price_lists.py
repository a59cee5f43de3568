"""Which price a model has: patterns, providers, and the file of list prices."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pricing.own_prices import model_prices
from pricing.price_file import price_file, prices_of
from pricing.price_list import MAX_NAME_CHARS, PriceList
from tests.support.project import PROJECT

FILE = PROJECT / "shared" / "pricing" / "model_prices.json"
ANY = {"input": 1, "output": 2}


def found(prices: PriceList, model: str | None) -> str | None:
    entry = prices.find(model)
    return entry and entry.key


def test_an_exact_name_comes_before_patterns_and_long_patterns_before_short_ones() -> None:
    keys = ("gpt-5*", "gpt-5, gpt-5-2025-08-07", "gpt-5-mini*", "*audio*")
    prices = PriceList("p", dict.fromkeys(keys, ANY))
    assert found(prices, "gpt-5") == found(prices, "GPT-5-2025-08-07") == keys[1]
    assert found(prices, "gpt-5-2026-01-01") == keys[0]
    assert found(prices, "gpt-5-mini-2026-01-01") == keys[2]
    assert found(prices, "my-audio-1") == keys[3]


def test_a_name_that_no_pattern_matches_has_no_price() -> None:
    prices = PriceList("p", {"gpt-5*": ANY})
    for model in ("my-gpt-5", "", None, "gpt-5" + "x" * MAX_NAME_CHARS, "gpt-*"):
        assert found(prices, model) is None


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.openai.com:443/v1", "openai"),
        ("https://API.openai.com/v1", "openai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "google"),
        ("https://my-resource.openai.azure.com/openai/v1", "azure"),
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.moonshot.ai/v1", "moonshotai"),
        ("https://eu.api.openai.com/v1", None),
        ("https://api.openai.com.example.org/v1", None),
        ("https://example.org/api.openai.com/v1", None),
        ("https://example.org/x.googleapis.com/v1", None),
        ("http://127.0.0.1:8000/v1", None),
        ("https://openrouter.ai/api/v1", None),
    ],
)
def test_list_prices_are_those_of_the_provider_behind_the_base_url(
    base_url: str, provider: str | None
) -> None:
    lists = prices_of(base_url, {})
    if provider is None:
        assert lists == ()
    else:
        model = next(iter(price_file()["providers"][provider]["models"])).split(",")[0].replace("*", "")
        entry = lists[0].find(model)
        assert entry is not None
        assert entry.name.startswith(f"{provider}/")


def test_a_self_hosted_copy_has_only_the_prices_of_the_deployment() -> None:
    base_url = "http://vllm.internal/v1"
    assert [prices.find("gpt-oss-120b") for prices in prices_of(base_url, {})] == []
    (own,) = prices_of(base_url, {"gpt-oss-*": ANY})
    assert found(own, "gpt-oss-120b") == "gpt-oss-*"


def test_google_names_its_models_with_a_prefix_in_some_of_its_apis() -> None:
    google, *_ = prices_of("https://aiplatform.googleapis.com/v1", {})
    for name in ("gemini-2.5-flash", "google/gemini-2.5-flash", "models/gemini-2.5-flash"):
        entry = google.find(name)
        assert entry is not None
        assert entry.name == "google/gemini-2.5-flash"


def test_models_of_other_makers_have_their_prices_in_the_standard_tier_only() -> None:
    lists = prices_of("https://my-resource.openai.azure.com/openai/v1", {})
    entry = next(entry for prices in lists if (entry := prices.find("gpt-6-luna")))
    assert entry.name == "openai/gpt-6-luna"
    assert entry.rates("default", None) is not None
    assert entry.rates("priority", None) is None


# -- the file --------------------------------------------------------------------------------------------


def test_the_file_is_small_sorted_and_has_one_line_for_each_model() -> None:
    text = FILE.read_text(encoding="ascii")
    assert len(text) <= 200_000
    document = json.loads(text)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", document["date"])
    assert document["source"].startswith("https://pypi.org/project/genai-prices/")
    for provider in document["providers"].values():
        assert list(provider["models"]) == sorted(provider["models"])
        lines = text.splitlines()
        assert all(
            any(line.startswith(json.dumps(key) + ": ") for line in lines) for key in provider["models"]
        )


def test_every_price_of_the_file_is_one_that_the_setting_takes_too() -> None:
    providers = json.loads(FILE.read_text(encoding="ascii"))["providers"]
    assert len(providers) > 20
    for provider in providers.values():
        model_prices("MODEL_PRICES", json.dumps(provider["models"]))
        assert any(provider["models"].values())


def test_the_default_model_has_a_price_in_every_tier_of_openai() -> None:
    (openai,) = prices_of("https://api.openai.com/v1", {})
    entry = openai.find("gpt-6-luna")
    assert entry is not None
    for tier in (None, "default", "flex", "priority", "batch"):
        rates = entry.rates(tier, None)
        assert rates is not None
        assert (
            0
            < rates.price("cached_input", 1_000)
            < rates.price("input", 1_000)
            < rates.price("output", 1_000)
        )
        assert rates.price("input", 272_001) == 2 * rates.price("input", 272_000)


# -- MODEL_PRICES ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("gpt-5=1", "must be a JSON object"),
        ("[" * 100_000, "must be a JSON object"),
        ([], "must be a JSON object"),
        ('{"m": null, "m": {"input": 1, "output": 2}}', "m is repeated"),
        ({"m": 1}, "m must be null or prices"),
        ({"a, ": ANY}, "must be a model's name or a pattern"),
        ({"m": {"input": 1}}, "m: output is missing"),
        ({"m": {**ANY, "inptu": 1}}, "m: inptu is not a price; the prices are input, cached_input"),
        ({"m": {**ANY, "input": "1"}}, "m: input must be a number of dollars per million tokens"),
        ({"m": {**ANY, "input": -1}}, "m: input must be a number of dollars"),
        ({"m": {**ANY, "input": True}}, "m: input must be a number of dollars"),
        ({"m": {**ANY, "input": float("nan")}}, "m: input must be a number of dollars"),
        ({"m": {**ANY, "input": None}}, "m: input must be a number of dollars"),
        ({"m": {**ANY, "input": {"200000": 1}}}, "m: input must be a price, or prices by input tokens"),
        ({"m": {**ANY, "input": {"0": 1, "200k": 1}}}, "m: input must be a price, or prices by input tokens"),
        ({"m": {**ANY, "tiers": ["flex"]}}, "m: tiers must be an object: service tiers"),
        ({"m": {**ANY, "tiers": {"flex": 1}}}, "m: tiers: flex must be an object with prices"),
        ({"m": {**ANY, "tiers": {"flex": {"in": 1}}}}, "m: tiers: flex: in is not a price"),
        ({"m": {**ANY, "hours": {"1-4": ANY}}}, "m: hours must be an object: times in UTC"),
        (
            {"m": {**ANY, "hours": {"01:00-04:00": {"input": []}}}},
            "m: hours: 01:00-04:00: input must be a number",
        ),
    ],
)
def test_a_wrong_price_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        model_prices("MODEL_PRICES", value if isinstance(value, str) else json.dumps(value))
    assert str(error.value).startswith("MODEL_PRICES")
