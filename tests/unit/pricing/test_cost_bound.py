"""The most that a request can cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pricing.cost import answer_cost, cost_bound
from pricing.price_list import PriceList

PRICES = [
    PriceList(
        "p",
        {
            "tiered": {
                "input": {"0": 1, "1000": 3, "2000": 2}, "cached_input": 0.1, "cache_write": 2.5, "output": 4,
                "tiers": {"priority": {"input": 20, "output": 40}},
            },
            "busy": {"input": 1, "output": 2, "hours": {"01:00-04:00": {"input": 5}}},
            "spoken": {"input": 1, "output": 2, "input_audio": 9, "output_audio": 50},
            "unknown": None,
        },
    )
]  # fmt: skip


def bound(model: str, input_tokens: int, output_tokens: int, tier: str | None = None) -> Decimal | None:
    found = cost_bound(
        model, PRICES, input_tokens=input_tokens, output_tokens=output_tokens, requested_tier=tier
    )
    return found and found.usd * 1_000_000


def test_each_token_is_one_of_the_dearest_kind() -> None:
    assert bound("tiered", 1_000, 10) == Decimal("2.5") * 1_000 + 4 * 10
    assert bound("spoken", 100, 10) == 9 * 100 + 50 * 10


def test_the_dearest_level_within_reach_counts() -> None:
    assert bound("tiered", 1_001, 0) == 3 * 1_001
    assert bound("tiered", 5_000, 0) == 3 * 5_000


def test_the_dearest_hour_of_the_day_counts() -> None:
    assert bound("busy", 100, 10) == 5 * 100 + 2 * 10


def test_the_requested_tier_counts() -> None:
    assert bound("tiered", 10, 1, "priority") == 20 * 10 + 40 * 1
    assert bound("tiered", 10, 1, "auto") == bound("tiered", 10, 1)
    assert bound("tiered", 10, 1, "flex") is None


def test_without_a_price_there_is_no_bound() -> None:
    assert bound("unknown", 1, 1) is None
    assert bound("other", 1, 1) is None


@given(
    model=st.sampled_from(["tiered", "busy", "spoken"]),
    counts=st.lists(st.integers(0, 3_000), min_size=4, max_size=4),
    hour=st.integers(0, 23),
)
def test_no_answer_costs_more_than_its_bound(model: str, counts: list[int], hour: int) -> None:
    plain, cached, audio, output = counts
    prompt = plain + cached + audio
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "prompt_tokens_details": {
            "cached_tokens": cached,
            "cache_write_tokens": plain,
            "audio_tokens": audio,
        },
        "completion_tokens_details": {"audio_tokens": output // 2},
    }
    at = datetime(2026, 11, 29, tzinfo=UTC) + timedelta(hours=hour)
    cost = answer_cost(model, usage, PRICES, at=at)
    most = bound(model, prompt, output)
    assert most is not None
    assert cost is None or cost.usd * 1_000_000 <= most
