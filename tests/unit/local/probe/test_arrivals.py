"""The judgement of arrival times: durations decide, whatever the clocks and the speed of the model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.probe.arrivals import (
    PICTURE_COLUMNS,
    Arrival,
    Pace,
    RelayTimings,
    in_numbers,
    longest_pause_s,
    merged,
    pace,
    picture,
    rate_after,
)


def steady(count: int, interval_s: float, first_s: float = 0.5) -> list[Arrival]:
    return [Arrival(first_s + number * interval_s, 50) for number in range(count)]


def timings_of(arrivals: list[Arrival]) -> RelayTimings:
    spread_s = arrivals[-1].at_s - arrivals[0].at_s
    return RelayTimings(spread_s, longest_pause_s(arrivals), len(arrivals))


SENT = steady(60, 0.04)
TIMINGS = timings_of(SENT)


def delayed(arrivals: list[Arrival], *, by_s: float) -> list[Arrival]:
    return [arrival._replace(at_s=arrival.at_s + by_s) for arrival in arrivals]


def in_groups(arrivals: list[Arrival], group_s: float) -> list[Arrival]:
    return [
        arrival._replace(at_s=(arrival.at_s // group_s + 1) * group_s) for arrival in arrivals
    ]  # each piece waits for the end of its group


@pytest.mark.parametrize("by_s", [0.0, 0.2, 5.0])
def test_an_answer_that_is_late_as_a_whole_is_streamed(by_s: float) -> None:
    assert pace(delayed(SENT, by_s=by_s), TIMINGS, same_answer=True, held_s=by_s) is Pace.STREAMED


@given(st.lists(st.floats(0, 0.2), min_size=60, max_size=60))
def test_jitter_of_a_network_or_a_busy_machine_is_no_fault(jitter_s: list[float]) -> None:
    late = sorted(arrival.at_s + extra_s for arrival, extra_s in zip(SENT, jitter_s, strict=True))
    heard = [Arrival(at_s, 50) for at_s in late]
    assert pace(heard, TIMINGS, same_answer=True, held_s=0) is Pace.STREAMED


@pytest.mark.parametrize("same_answer", [True, False])
def test_a_burst_at_the_end_is_a_burst(same_answer: bool) -> None:
    held_s = SENT[-1].at_s - SENT[0].at_s
    heard = [Arrival(SENT[-1].at_s + number * 0.001, 50) for number in range(60)]
    assert pace(heard, TIMINGS, same_answer=same_answer, held_s=held_s) is Pace.BURST


def test_a_model_that_is_quicker_the_second_time_is_no_burst() -> None:
    assert pace(steady(60, 0.005), TIMINGS, same_answer=False, held_s=0.05) is not Pace.BURST


def test_a_slow_model_whose_pieces_come_together_is_no_burst() -> None:
    thinking = [Arrival(9.0 + number * 0.002, 50) for number in range(60)]
    assert pace(thinking, timings_of(thinking), same_answer=True, held_s=0) is Pace.TOO_SHORT


@pytest.mark.parametrize("group_s", [0.3, 0.8, 1.5])
def test_groups_are_groups(group_s: float) -> None:
    heard = in_groups(SENT, group_s)
    assert pace(heard, TIMINGS, same_answer=True, held_s=0) in (Pace.GROUPED, Pace.BURST)


def test_pauses_of_the_model_itself_are_no_groups() -> None:
    sent = [Arrival(number * 0.02 + number // 15 * 1.5, 50) for number in range(60)]
    assert pace(delayed(sent, by_s=0.3), timings_of(sent), same_answer=True, held_s=0) is Pace.STREAMED


def test_a_fast_model_whose_writes_share_packets_is_streamed() -> None:
    sent = steady(600, 0.002)
    assert pace(in_groups(sent, 0.05), timings_of(sent), same_answer=True, held_s=0) is Pace.STREAMED


def test_an_answer_that_arrives_more_slowly_than_it_was_sent_is_slowed() -> None:
    assert pace(steady(60, 0.15), TIMINGS, same_answer=True, held_s=0) is Pace.SLOWED


def test_pieces_that_are_close_together_are_one_arrival() -> None:
    assert merged([Arrival(1.0, 1), Arrival(1.001, 2), Arrival(1.5, 3)]) == [Arrival(1.0, 3), Arrival(1.5, 3)]


def test_the_rate_of_the_tail_counts_only_the_tail() -> None:
    arrivals = [Arrival(0.0, 100), Arrival(1.0, 50), Arrival(3.0, 50)]
    assert rate_after(arrivals, 100) == pytest.approx(100 / 3)
    assert rate_after(arrivals, 200) is None
    assert rate_after(arrivals, 300) is None


def test_the_picture_shows_when_bytes_came_and_how_many() -> None:
    shown = picture([Arrival(0.0, 1), Arrival(5.0, 100)], 10.0).strip("|")
    assert len(shown) == PICTURE_COLUMNS
    assert (shown[0], shown[PICTURE_COLUMNS // 2]) == ("▁", "█")
    assert shown.replace(" ", "") == "▁█"
    assert picture([Arrival(0.0, 1)], 0.0, ascii_only=True).isascii()
    assert picture([], 1.0).strip("|") == " " * PICTURE_COLUMNS


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**6)), max_size=50).map(sorted))
def test_any_arrivals_can_be_shown_and_judged(pairs: list[tuple[float, int]]) -> None:
    arrivals = [Arrival(*pair) for pair in pairs]
    assert picture(arrivals, 50.0)
    assert "arriv" in in_numbers(arrivals)
    if arrivals:
        assert pace(arrivals, TIMINGS, same_answer=True, held_s=0) in Pace
