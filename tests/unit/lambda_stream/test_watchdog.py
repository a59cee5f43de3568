from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from lambda_stream import CallerGoneError, Watchdog

PATIENCE_S = 10.0


def test_an_alarm_fires_when_it_is_due_with_the_lock_held() -> None:
    lock = threading.RLock()
    fired = threading.Event()
    held_by_others: list[bool] = []
    moment: float | None = time.monotonic() + 0.05

    def fire() -> None:
        nonlocal moment
        thread = threading.Thread(target=lambda: held_by_others.append(not lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        moment = None
        fired.set()

    with Watchdog(lock) as watchdog:
        watchdog.add(lambda: moment, fire)
        due_at = moment
        assert fired.wait(PATIENCE_S)
        assert due_at is not None
        assert time.monotonic() >= due_at
    assert held_by_others == [True]


def test_an_alarm_with_a_later_time_fires_again() -> None:
    lock = threading.RLock()
    times: list[float] = []
    enough = threading.Event()
    next_at = time.monotonic()

    def fire() -> None:
        nonlocal next_at
        times.append(time.monotonic())
        next_at += 0.01
        if len(times) == 3:
            enough.set()

    with Watchdog(lock) as watchdog:
        watchdog.add(lambda: None if enough.is_set() else next_at, fire)
        assert enough.wait(PATIENCE_S)
    assert len(times) == 3


def test_wake_has_the_alarms_asked_again() -> None:
    moment: float | None = None
    fired = threading.Event()
    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(lambda: None if fired.is_set() else moment, fired.set)
        moment = time.monotonic()
        watchdog.wake()
        assert fired.wait(PATIENCE_S)


def test_a_wake_during_a_call_of_due_is_not_lost() -> None:
    lock = threading.RLock()
    fired = threading.Event()
    asked: list[None] = []

    def due() -> float | None:
        asked.append(None)
        if len(asked) == 1:
            watchdog.wake()  # as if another thread had set an earlier time just after it was read
            return None
        return None if fired.is_set() else 0.0

    with Watchdog(lock) as watchdog:
        with lock:  # so that the wake of `add` itself comes before the first call of `due`
            watchdog.add(due, fired.set)
        assert fired.wait(PATIENCE_S)


def test_an_alarm_that_stays_due_is_logged_and_removed_and_the_others_continue(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lock = threading.RLock()
    fired: list[str] = []
    last = threading.Event()
    with Watchdog(lock) as watchdog:
        watchdog.add(lambda: 1.0, lambda: fired.append("stays due"))
        later = time.monotonic() + 0.2
        watchdog.add(lambda: None if last.is_set() else later, last.set)
        assert last.wait(PATIENCE_S)
    assert fired == ["stays due"]
    (record,) = caplog.records
    assert "removed" in record.message


def test_an_alarm_that_fails_is_logged_once_and_the_others_continue(caplog: pytest.LogCaptureFixture) -> None:
    fired = threading.Event()

    def fail() -> None:
        raise ValueError("alarming")

    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(lambda: 0.0, fail)
        watchdog.add(lambda: None if fired.is_set() else 0.0, fired.set)
        assert fired.wait(PATIENCE_S)
        watchdog.wake()
    assert caplog.text.count("ValueError: alarming") == 1


def test_an_alarm_that_finds_the_caller_gone_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fired = threading.Event()

    def write() -> None:
        fired.set()
        raise CallerGoneError("hung up")

    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(lambda: 0.0, write)
        assert fired.wait(PATIENCE_S)
    assert caplog.text == ""


def test_a_block_uses_the_thread_of_the_one_before() -> None:
    with Watchdog(threading.RLock()):
        before = threading.active_count()
    for _ in range(20):
        fired = threading.Event()
        with Watchdog(threading.RLock()) as watchdog:
            watchdog.add(lambda: time.monotonic() + 3600, lambda: None)
            watchdog.add(partial(lambda event: None if event.is_set() else 0.0, fired), fired.set)
            assert fired.wait(PATIENCE_S)
            assert threading.active_count() == before


def test_a_block_within_another_has_a_thread_of_its_own() -> None:
    ended = threading.Event()
    blocked, inner_fired = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        assert ended.wait(PATIENCE_S)

    with Watchdog(threading.RLock()) as outer:
        outer.add(lambda: None if blocked.is_set() else 0.0, block)
        assert blocked.wait(PATIENCE_S)
        with Watchdog(threading.RLock()) as inner:
            inner.add(lambda: None if inner_fired.is_set() else 0.0, inner_fired.set)
            assert inner_fired.wait(PATIENCE_S)
        ended.set()


def test_a_time_after_the_next_wake_leaves_the_thread_asleep_and_an_earlier_one_wakes_it() -> None:
    """Each wake costs the thread that waits for the upstream two switches."""
    asked, fired = threading.Event(), threading.Event()
    times = [time.monotonic() + 3600]

    def due() -> float | None:
        if threading.current_thread() is not threading.main_thread():
            asked.set()
        return None if fired.is_set() else times[0]

    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(due, fired.set)
        assert asked.wait(PATIENCE_S)
        asked.clear()
        watchdog.wake(times[0] + 1)
        assert not asked.wait(0.05)
        times[0] = 0.0
        watchdog.wake(times[0])
        assert fired.wait(PATIENCE_S)


def test_no_alarm_fires_after_the_block() -> None:
    """A kept thread may still be about to look at the alarms of an earlier block."""
    fired: list[bool] = []
    for _ in range(200):
        ended = threading.Event()
        with Watchdog(threading.RLock()) as watchdog:
            watchdog.add(time.monotonic, partial(lambda event: fired.append(event.is_set()), ended))
        ended.set()
    assert True not in fired
