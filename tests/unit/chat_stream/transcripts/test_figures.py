"""The figures of an answer: tokens in every spelling, cost, speed."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.transcripts.figures import AnswerFigures, answer_figures


def document(usage: Any = None, **changes: Any) -> dict[str, Any]:
    """As much of a transcript as has figures: two seconds of an answer after half a second of waiting."""
    timings = {"time_to_first_token_ms": 500, "duration_ms": 2500}
    return {
        "response": {"usage": usage, "choices": [{"reasoning": None}]},
        "timings": timings | changes.pop("timings", {}),
        **changes,
    }


CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 61,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
RESPONSES = {
    "input_tokens": 100,
    "output_tokens": 61,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens_details": {"reasoning_tokens": 20},
}


@pytest.mark.parametrize("usage", [CHAT, RESPONSES])
def test_both_dialects_have_the_same_figures(usage: dict[str, Any]) -> None:
    assert answer_figures(document(usage)) == AnswerFigures(100, 61, 64, 20, None, 20.0)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": "7", "completion_tokens": True, "prompt_tokens_details": [1]},
        {"prompt_tokens": -1, "completion_tokens": 1.5},
        {"prompt_tokens": 10**400, "completion_tokens": float("inf")},
    ],
)
def test_an_invalid_count_gives_no_figure(usage: Any) -> None:
    assert answer_figures(document(usage)) == AnswerFigures(None, None, None, None, None, None)


def test_reasoning_that_was_shown_counts_for_the_speed() -> None:
    shown = document(CHAT)
    shown["response"]["choices"][0]["reasoning"] = "Let me think."
    assert answer_figures(shown).output_tokens_per_s == 30.0


@pytest.mark.parametrize("timings", [{"time_to_first_token_ms": None}, {"duration_ms": 599}])
def test_an_answer_that_arrives_at_once_has_no_speed(timings: dict[str, Any]) -> None:
    assert answer_figures(document(CHAT, timings=timings)).output_tokens_per_s is None


def test_a_speed_that_rounds_to_nothing_is_none() -> None:
    slow = {"prompt_tokens": 7, "completion_tokens": 2.0}
    figures = answer_figures(document(slow, timings={"duration_ms": 900_000}))
    assert (figures.output_tokens, figures.output_tokens_per_s) == (2, None)


def test_a_single_token_has_no_speed() -> None:
    assert answer_figures(document({"prompt_tokens": 1, "completion_tokens": 1})).output_tokens_per_s is None


@pytest.mark.parametrize(
    ("cost", "figure"),
    [({"usd": 0.25}, 0.25), ({"usd": 0}, 0.0), (None, None), ({"usd": "1"}, None), ({}, None), (1, None)],
)
def test_the_cost_is_read_if_the_transcript_has_one(cost: Any, figure: float | None) -> None:
    assert answer_figures(document(cost=cost)).cost_usd == figure
