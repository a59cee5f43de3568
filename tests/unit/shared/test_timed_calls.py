"""Calls with a time limit, whatever the peer does, and the threads of those that were abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from timed_calls import MAX_ABANDONED, TimedCalls


class Hanging:
    """A call that runs until it is released."""

    def __init__(self) -> None:
        self.release, self.done = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.release.wait(20)
        self.done.set()
        return "late"


@pytest.fixture
def calls() -> TimedCalls:
    return TimedCalls("test-calls")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    call = Hanging()
    yield call
    call.release.set()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "test-calls"]


def test_a_call_that_ends_in_time_returns_its_result(calls: TimedCalls) -> None:
    assert calls.in_time(5, lambda: 7) == 7


def test_a_call_that_fails_in_time_raises_its_own_error(calls: TimedCalls) -> None:
    def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        calls.in_time(5, fail)


@pytest.mark.parametrize("limit_s", [0.1, 0, -1])
def test_a_call_that_does_not_end_in_time_is_abandoned_and_goes_on_running(
    calls: TimedCalls, hanging: Hanging, limit_s: float
) -> None:
    started_at = time.monotonic()
    with pytest.raises(TimeoutError):
        calls.in_time(limit_s, hanging)
    assert time.monotonic() - started_at < 10  # the call takes 20 s
    assert all(thread.daemon for thread in threads())
    hanging.release.set()
    assert hanging.done.wait(10)


def test_a_peer_that_hangs_forever_costs_a_few_threads_and_then_no_time(
    calls: TimedCalls, hanging: Hanging
) -> None:
    for _ in range(MAX_ABANDONED):
        with pytest.raises(TimeoutError):
            calls.in_time(0.01, hanging)
    started_at = time.monotonic()
    for _ in range(100):
        with pytest.raises(TimeoutError):
            calls.in_time(10, hanging)
    assert time.monotonic() - started_at < 10  # as long as a single call that waits
    assert len(threads()) == MAX_ABANDONED
    hanging.release.set()
    for thread in threads():
        thread.join(10)
    assert calls.in_time(10, lambda: 7) == 7


def test_calls_that_are_within_their_time_do_not_keep_others_from_beginning(
    calls: TimedCalls, hanging: Hanging
) -> None:
    begun = [calls.begin(20, hanging) for _ in range(3 * MAX_ABANDONED)]
    hanging.release.set()
    assert [call.result() for call in begun] == ["late"] * len(begun)


def test_a_late_result_is_dropped(calls: TimedCalls, hanging: Hanging) -> None:
    call = calls.begin(0.01, hanging)
    with pytest.raises(TimeoutError):
        call.result()
    assert call.is_late
    hanging.release.set()
    assert hanging.done.wait(10)
