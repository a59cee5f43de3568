"""Costs of usages as providers report them, against figures computed by hand from their price lists.

The list prices are those of 2026-11-29, in dollars per million tokens; above each list is its source.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.cost import Cost, answer_cost
from pricing.price_list import PriceList
from pricing.token_counts import token_counts

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)

# https://developers.openai.com/api/docs/pricing
OPENAI = PriceList(
    "openai",
    {
        "gpt-4o, gpt-4o-2024-08-06": {"input": 2.5, "cached_input": 1.25, "output": 10},
        "gpt-5, gpt-5-2025-08-07": {
            "input": 1.25, "cached_input": 0.125, "output": 10,
            "tiers": {
                "flex": {"input": 0.625, "cached_input": 0.0625, "output": 5},
                "priority": {"input": 2.5, "cached_input": 0.25, "output": 20},
                "batch": {"input": 0.625, "cached_input": 0.0625, "output": 5},
            },
        },
        "gpt-6-luna, gpt-6-luna-20*": {
            "input": {"0": 0.1, "272000": 0.2},
            "cached_input": {"0": 0.01, "272000": 0.02},
            "cache_write": {"0": 0.125, "272000": 0.25},
            "output": {"0": 0.5, "272000": 0.75},
        },
        "gpt-audio": {"input": 2.5, "output": 10, "input_audio": 32, "output_audio": 64},
    },
)  # fmt: skip
# https://platform.claude.com/docs/en/about-claude/pricing
ANTHROPIC = PriceList(
    "anthropic",
    {
        "claude-opus-4-6*": {
            "input": 5, "cached_input": 0.5, "cache_write": 6.25, "cache_write_1h": 10, "output": 25,
            "tiers": {"fast": {"input": 30, "cached_input": 3, "cache_write": 37.5, "output": 150}},
        },
    },
)  # fmt: skip
# https://ai.google.dev/gemini-api/docs/pricing
GOOGLE = PriceList(
    "google",
    {
        "gemini-2.5-pro*": {
            "input": {"0": 1.25, "200000": 2.5},
            "cached_input": {"0": 0.125, "200000": 0.25},
            "output": {"0": 10, "200000": 15},
        },
        "gemini-2.5-flash": {"input": 0.3, "cached_input": 0.03, "output": 2.5, "input_audio": 1},
        "gemini-2.5-flash-image": {"input": 0.3, "output": 2.5, "output_image": 30},
    },
)
# https://docs.x.ai/docs/models
XAI = PriceList("x-ai", {"grok-4.3": {"input": 1.25, "cached_input": 0.2, "output": 2.5}})
# https://api-docs.deepseek.com/quick_start/pricing
DEEPSEEK = PriceList(
    "deepseek",
    {
        "deepseek-flash": {
            "input": 0.15, "cached_input": 0.003, "output": 0.6,
            "hours": {"01:00-04:00": {"input": 0.3, "cached_input": 0.006, "output": 1.2},
                      "22:00-00:30": {"output": 9}},
        }
    },
)  # fmt: skip
# https://platform.moonshot.ai/docs/pricing
MOONSHOT = PriceList("moonshotai", {"kimi-k2.6": {"input": 0.95, "cached_input": 0.16, "output": 4}})


def cost(prices: PriceList, model: str | None, usage: dict[str, Any], **others: Any) -> Cost | None:
    return answer_cost(model, usage, [prices], **{"at": NOON, **others})


def usd(prices: PriceList, model: str, usage: dict[str, Any], **others: Any) -> float | None:
    found = cost(prices, model, usage, **others)
    return found and float(found.usd)


def per_million(dollars: float) -> Any:
    """The sum of tokens * price, in dollars; far more exact than a cent-thousandth."""
    return pytest.approx(dollars / 1_000_000, abs=1e-9)


# -- usages of each API ----------------------------------------------------------------------------------


def test_openai_chat_with_cached_and_reasoning_tokens() -> None:
    usage = {
        "prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 192, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip
    # gpt-5: 86 new at 1.25, 1920 cached at 0.125, 300 out at 10 (the 192 of reasoning are part of them)
    expected = per_million(86 * 1.25 + 1920 * 0.125 + 300 * 10)
    assert usd(OPENAI, "gpt-5-2025-08-07", usage, service_tier="default") == expected


def test_openai_chat_in_the_tiers_flex_priority_and_batch() -> None:
    usage = {
        "prompt_tokens": 10_000,
        "completion_tokens": 1_000,
        "prompt_tokens_details": {"cached_tokens": 4_000},
    }
    for tier, expected in (
        ("flex", 6_000 * 0.625 + 4_000 * 0.0625 + 1_000 * 5),
        ("priority", 6_000 * 2.5 + 4_000 * 0.25 + 1_000 * 20),
        ("batch", 6_000 * 0.625 + 4_000 * 0.0625 + 1_000 * 5),
    ):
        assert usd(OPENAI, "gpt-5", usage, service_tier=tier) == per_million(expected), tier


def test_openai_chat_with_speech_in_and_out() -> None:
    usage = {
        "prompt_tokens": 319, "completion_tokens": 264, "total_tokens": 583,
        "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 19, "audio_tokens": 300},
        "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 64, "audio_tokens": 200},
    }  # fmt: skip
    # gpt-audio: text 2.50 and 10, audio 32 and 64
    assert usd(OPENAI, "gpt-audio", usage) == per_million(19 * 2.5 + 300 * 32 + 64 * 10 + 200 * 64)


def test_responses_with_cached_tokens_and_cache_writes() -> None:
    usage = {
        "input_tokens": 5_000, "output_tokens": 700, "total_tokens": 5_700,
        "input_tokens_details": {"cached_tokens": 1_024, "cache_write_tokens": 2_048},
        "output_tokens_details": {"reasoning_tokens": 512},
    }  # fmt: skip
    # gpt-6-luna: 1928 new at 0.10, 1024 cached at 0.01, 2048 written at 0.125, 700 out at 0.50
    expected = per_million(1_928 * 0.1 + 1_024 * 0.01 + 2_048 * 0.125 + 700 * 0.5)
    assert usd(OPENAI, "gpt-6-luna-2026-09-22", usage, service_tier="default") == expected


def test_a_long_context_costs_more_for_all_of_its_tokens() -> None:
    short = {"prompt_tokens": 272_000, "completion_tokens": 100}
    long = {
        "prompt_tokens": 272_001,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 200_000},
    }
    assert usd(OPENAI, "gpt-6-luna", short) == per_million(272_000 * 0.1 + 100 * 0.5)
    assert usd(OPENAI, "gpt-6-luna", long) == per_million(72_001 * 0.2 + 200_000 * 0.02 + 100 * 0.75)


def test_gemini_leaves_its_thinking_out_of_the_completion_tokens() -> None:
    usage = {"prompt_tokens": 250_000, "completion_tokens": 120, "total_tokens": 251_020}
    # gemini-2.5-pro above 200k: 2.50 in, 15 out; 900 tokens of thinking are in the total only
    assert usd(GOOGLE, "models/gemini-2.5-pro", usage, requested_model="gemini-2.5-pro") == per_million(
        250_000 * 2.5 + (120 + 900) * 15
    )


def test_xai_leaves_its_reasoning_out_of_the_completion_tokens() -> None:
    usage = {
        "prompt_tokens": 37, "completion_tokens": 9, "total_tokens": 139,
        "prompt_tokens_details": {"text_tokens": 37, "audio_tokens": 0, "cached_tokens": 36},
        "completion_tokens_details": {"reasoning_tokens": 93, "audio_tokens": 0},
        "num_sources_used": 0,
    }  # fmt: skip
    assert usd(XAI, "grok-4.3", usage) == per_million(1 * 1.25 + 36 * 0.2 + (9 + 93) * 2.5)


def test_anthropics_own_usage_counts_its_cache_beside_the_input() -> None:
    usage = {
        "input_tokens": 2_095, "output_tokens": 503,
        "cache_creation_input_tokens": 2_051, "cache_read_input_tokens": 4_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 51, "ephemeral_1h_input_tokens": 2_000},
        "service_tier": "standard", "speed": "standard",
    }  # fmt: skip
    # claude-opus-4-6: 5 in, 0.50 read, 6.25 and 10 written, 25 out
    expected = per_million(2_095 * 5 + 4_000 * 0.5 + 51 * 6.25 + 2_000 * 10 + 503 * 25)
    assert usd(ANTHROPIC, "claude-opus-4-6-20260205", usage) == expected


def test_litellms_usage_counts_anthropics_cache_in_the_prompt_tokens() -> None:
    usage = {
        "prompt_tokens": 8_146, "completion_tokens": 503, "total_tokens": 8_649,
        "prompt_tokens_details": {"cached_tokens": 4_000, "cache_creation_tokens": 2_051},
        "cache_creation_input_tokens": 2_051, "cache_read_input_tokens": 4_000,
    }  # fmt: skip
    expected = per_million(2_095 * 5 + 4_000 * 0.5 + 2_051 * 6.25 + 503 * 25)
    assert usd(ANTHROPIC, "claude-opus-4-6", usage) == expected


def test_a_total_that_counts_the_cache_beside_the_prompt_says_so() -> None:
    usage = {
        "prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 155,
        "cache_read_input_tokens": 50,
    }  # fmt: skip
    assert usd(ANTHROPIC, "claude-opus-4-6", usage) == per_million(100 * 5 + 50 * 0.5 + 5 * 25)


def test_anthropics_fast_mode_has_prices_of_its_own() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 100, "service_tier": "standard", "speed": "fast"}
    assert usd(ANTHROPIC, "claude-opus-4-6", usage) == per_million(1_000 * 30 + 100 * 150)


def test_openrouter_reports_the_cost_itself() -> None:
    usage = {
        "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00095, "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
        "cost_details": {"upstream_inference_cost": None},
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
    }  # fmt: skip
    assert cost(OPENAI, "anthropic/claude-opus-4.6", usage) == Cost(Decimal("0.00095"), "upstream")
    assert cost(OPENAI, "gpt-5", usage) == Cost(Decimal("0.00095"), "upstream")
    own_key = {**usage, "is_byok": True, "cost": 0.00005, "cost_details": {"upstream_inference_cost": 0.0019}}
    assert cost(OPENAI, None, own_key) == Cost(Decimal("0.00195"), "upstream")


def test_a_reported_cost_of_0_counts_only_where_there_is_no_price() -> None:
    free = {**PLAIN, "cost": 0}
    assert cost(OPENAI, "openrouter/free", free) == Cost(Decimal(0), "upstream")
    assert cost(OPENAI, "gpt-5", free) == cost(OPENAI, "gpt-5", PLAIN)


def test_perplexity_reports_the_cost_with_its_parts() -> None:
    usage = {
        "prompt_tokens": 8, "completion_tokens": 439, "total_tokens": 447, "search_context_size": "low",
        "cost": {"output_tokens_cost": 0.007, "request_cost": 0.006, "total_cost": 0.013},
    }  # fmt: skip
    assert cost(OPENAI, "sonar-pro", usage) == Cost(Decimal("0.013"), "upstream")


def test_deepseek_costs_more_at_busy_hours() -> None:
    usage = {
        "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100,
        "prompt_cache_hit_tokens": 640, "prompt_cache_miss_tokens": 360,
    }  # fmt: skip
    quiet, busy = 360 * 0.15 + 640 * 0.003 + 100 * 0.6, 360 * 0.3 + 640 * 0.006 + 100 * 1.2
    for hour, minute, expected in ((0, 59, quiet), (1, 0, busy), (3, 59, busy), (4, 0, quiet)):
        at = NOON.replace(hour=hour, minute=minute)
        assert usd(DEEPSEEK, "deepseek-flash", usage, at=at) == per_million(expected), at
    late = per_million(360 * 0.15 + 640 * 0.003 + 100 * 9)
    for hour in (22, 23, 0):
        assert usd(DEEPSEEK, "deepseek-flash", usage, at=NOON.replace(hour=hour)) == late, hour


def test_moonshot_has_its_cached_tokens_in_the_usage_itself() -> None:
    usage = {"prompt_tokens": 1_336, "completion_tokens": 31, "total_tokens": 1_367, "cached_tokens": 1_280}
    assert usd(MOONSHOT, "kimi-k2.6", usage) == per_million(56 * 0.95 + 1_280 * 0.16 + 31 * 4)


# -- which price -----------------------------------------------------------------------------------------

PLAIN = {"prompt_tokens": 1_000, "completion_tokens": 100}


def test_the_model_that_answered_is_priced_before_the_requested_one() -> None:
    found = cost(OPENAI, "gpt-4o-2024-08-06", PLAIN, requested_model="gpt-5")
    assert found == Cost(Decimal(1_000 * Decimal("2.5") + 100 * 10) / 1_000_000, "openai/gpt-4o")
    unknown = cost(OPENAI, "gpt-5-router-v7", PLAIN, requested_model="gpt-5")
    assert unknown is not None
    assert unknown.priced_as == "openai/gpt-5"


def test_prices_of_the_deployment_come_before_list_prices_even_for_the_requested_name() -> None:
    own = PriceList("MODEL_PRICES", {"gpt-5": {"input": 1, "output": 1}, "gpt-4o": None})
    found = answer_cost("gpt-5-2025-08-07", PLAIN, [own, OPENAI], at=NOON, requested_model="gpt-5")
    assert found == Cost(Decimal("0.0011"), "MODEL_PRICES/gpt-5")
    assert answer_cost("gpt-4o", PLAIN, [own, OPENAI], at=NOON) is None


# -- what is not known -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "model", "usage", "others"),
    [
        (OPENAI, "gpt-7", PLAIN, {}),
        (OPENAI, None, PLAIN, {}),
        (OPENAI, "gpt-5", {}, {}),
        (OPENAI, "gpt-5", {"total_tokens": 1_100}, {}),
        (OPENAI, "gpt-5", {"prompt_tokens": True, "completion_tokens": "7"}, {}),
        (OPENAI, "gpt-5", {"prompt_tokens": -1, "completion_tokens": float("nan")}, {}),
        (OPENAI, "gpt-5", {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}),
        (OPENAI, "gpt-5", {**PLAIN, "completion_tokens_details": {"audio_tokens": 90}}, {}),
        (OPENAI, None, {**PLAIN, "cost": 0.001, "is_byok": True, "cost_details": {}}, {}),
        (OPENAI, "gpt-5", PLAIN, {"service_tier": "scale"}),
        (OPENAI, "gpt-5", PLAIN, {"service_tier": "auto"}),
        (OPENAI, "gpt-4o", PLAIN, {"service_tier": "flex"}),
        (OPENAI, "gpt-5", PLAIN, {"requested_tier": "flex"}),
        (OPENAI, "gpt-5", {**PLAIN, "prompt_tokens_details": {"cached_tokens": 1_001}}, {}),
        (OPENAI, "gpt-5", {**PLAIN, "cost": -1, "prompt_tokens": None}, {}),
        (OPENAI, "gpt-audio", PLAIN, {}),
        (GOOGLE, "gemini-2.5-flash-image", PLAIN, {}),
        (GOOGLE, "gemini-2.5-flash",
         {**PLAIN, "prompt_tokens_details": {"audio_tokens": 10, "cached_tokens": 10}}, {}),
        (XAI, "grok-4.3",
         {**PLAIN, "total_tokens": 1_107, "completion_tokens_details": {"reasoning_tokens": 3}}, {}),
        (DEEPSEEK, "deepseek-flash", PLAIN, {"service_tier": "flex"}),
    ],
)  # fmt: skip
def test_a_cost_that_is_not_known_is_none_and_never_0(
    prices: PriceList, model: str | None, usage: dict[str, Any], others: dict[str, Any]
) -> None:
    assert cost(prices, model, usage, **others) is None


def test_a_requested_tier_that_leaves_the_choice_to_the_upstream_is_the_standard_one() -> None:
    standard = usd(OPENAI, "gpt-5", PLAIN)
    assert standard is not None
    for requested in (None, "auto", "default"):
        assert usd(OPENAI, "gpt-5", PLAIN, requested_tier=requested) == standard
    assert usd(OPENAI, "gpt-5", PLAIN, service_tier="default", requested_tier="flex") == standard


USAGE_NAMES = [
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "cached_tokens",
    "audio_tokens", "image_tokens", "reasoning_tokens", "cache_write_tokens", "cache_creation_input_tokens",
    "cache_read_input_tokens", "prompt_tokens_details", "completion_tokens_details", "input_tokens_details",
    "cached_tokens_details", "cost", "cost_details", "is_byok", "total_cost", "upstream_inference_cost",
    "cache_creation", "ephemeral_1h_input_tokens", "service_tier", "speed",
]  # fmt: skip
NAMES = st.sampled_from(USAGE_NAMES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(usage=st.dictionaries(NAMES, JSON), tier=st.none() | st.text(max_size=8))
def test_no_usage_raises_an_error_and_no_cost_is_negative(usage: dict[str, Any], tier: str | None) -> None:
    for prices, model in (
        (OPENAI, "gpt-audio"),
        (ANTHROPIC, "claude-opus-4-6"),
        (DEEPSEEK, "deepseek-flash"),
    ):
        found = cost(prices, model, usage, service_tier=tier)
        assert found is None or found.usd >= 0
    counts = token_counts(usage)
    assert counts is None or min(counts.kinds.values()) >= 0
