"""Whether an upstream streams, judged by arrival times and token counts."""

from __future__ import annotations

import pytest

from local.doctor.pacing import Flow, Read, flow, visible_tokens


def reads(count: int, interval_s: float, first_s: float, deltas: int = 1) -> list[Read]:
    return [Read(first_s + number * interval_s, deltas) for number in range(count)]


def test_a_model_that_thinks_long_and_then_writes_fast_streams() -> None:
    assert flow(reads(60, 0.004, first_s=9.0), tokens=150) is Flow.STREAMED


@pytest.mark.parametrize("tokens", [150, None])
def test_an_answer_that_comes_faster_than_any_model_writes_was_finished_before(tokens: int | None) -> None:
    assert flow(reads(60, 0.00001, first_s=2.0), tokens) is Flow.AT_ONCE
    assert flow([Read(2.0, 60)], tokens) is Flow.AT_ONCE
    assert flow([Read(2.0, 1)], 150) is Flow.AT_ONCE


def test_a_model_without_any_delay_holds_nothing_back() -> None:
    assert flow(reads(60, 0.0, first_s=0.01), tokens=60) is Flow.STREAMED


def test_a_busy_machine_that_reads_late_is_no_fault() -> None:
    assert flow([*reads(30, 0.02, 0.5), Read(1.6, 20), Read(1.7, 10)], tokens=60) is Flow.STREAMED


def test_groups_are_groups_unless_the_model_itself_writes_large_deltas() -> None:
    assert flow(reads(5, 0.6, first_s=0.8, deltas=12), tokens=60) is Flow.GROUPED
    assert flow(reads(12, 0.6, first_s=0.8), tokens=600) is Flow.STREAMED


def test_a_few_words_prove_nothing() -> None:
    assert flow(reads(3, 0.0, first_s=2.0), tokens=3) is Flow.TOO_SHORT
    assert flow([], None) is Flow.TOO_SHORT


def test_tokens_of_the_reasoning_are_not_visible() -> None:
    chat = {"completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 40}}
    assert visible_tokens(chat) == 60
    assert visible_tokens({"output_tokens": 7, "output_tokens_details": None}) == 7
    assert visible_tokens({"total_tokens": 7}) is None
    assert visible_tokens(None) is None
