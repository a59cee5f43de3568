"""A thread that calls functions on time while the handler waits for something else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from .response_stream import CallerGoneError, ResponseAbortedError

_log = logging.getLogger("lambda_stream")


class Watchdog:
    """A context manager with a thread that fires alarms on time until the block ends.

    An alarm is a pair of functions: `due()` returns the `time.monotonic()` value at which to fire, or None
    for not now; `fire()` acts, and then `due` is called again. Both are called with `lock` held, so they may
    read and change what the lock guards. `fire` runs in the watchdog's thread. Leaving the block waits for an
    alarm that fires; none fires after that.

    A process keeps its threads for later blocks: starting and ending one takes as long as relaying several
    events. A kept thread sleeps until it would have been needed last.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._alarms: list[tuple[Callable[[], float | None], Callable[[], None]]] = []

    def __enter__(self) -> Watchdog:
        self._thread = _Thread.idle()
        self._thread.watchdog = self
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._thread.watchdog = None
            # Alarms hold what they watch, which often holds the watchdog: a cycle would keep megabytes alive.
            self._alarms.clear()
        self._thread.keep()

    def add(self, due: Callable[[], float | None], fire: Callable[[], None]) -> None:
        """Add an alarm.

        An alarm whose `due` or `fire` raises is logged and removed; the others continue. So is an alarm whose
        `due` returns no later time after it has fired: it would fire for ever, with the lock held.
        """
        with self._lock:
            self._alarms.append((due, fire))
            try:
                moment = due()
            except Exception:  # noqa: BLE001  (the handler's own)
                moment = 0.0  # the thread calls `due` again, and logs the error
        if moment is not None:
            self.wake(moment)

    def wake(self, at: float = 0.0) -> None:
        """Have every `due` called again, because a time may have become earlier.

        Args:
            at: the new time, if it is known: the thread is left asleep if it wakes before that anyway.
        """
        self._thread.wake(at)

    def look(self) -> float | None:
        """Fire the alarms that are due. Returns the time of the next alarm; None without one."""
        with self._lock:
            return self._fire_due_alarms()

    def _fire_due_alarms(self) -> float | None:
        """Fire the alarms that are due. Returns the time of the next alarm. The lock must be held."""
        next_due_at: float | None = None
        for alarm in tuple(self._alarms):
            due, fire = alarm
            fired_for: float | None = None
            try:
                moment = due()
                if moment is not None and moment <= time.monotonic():
                    fire()
                    fired_for, moment = moment, due()
            except (CallerGoneError, ResponseAbortedError):
                self._alarms.remove(alarm)  # the handler's next write raises it too
                continue
            except Exception:  # noqa: BLE001  (the handler's own)
                _log.exception("an alarm failed and is removed")
                self._alarms.remove(alarm)
                continue
            if fired_for is not None and moment is not None and moment <= fired_for:
                _log.error("an alarm has fired and is still due for the same time: it is removed")
                self._alarms.remove(alarm)
                continue
            if moment is not None and (next_due_at is None or moment < next_due_at):
                next_due_at = moment
        return next_due_at


class _Thread(threading.Thread):
    """A thread that serves one watchdog at a time.

    Attributes:
        watchdog: the one that it serves now.
    """

    _kept: ClassVar[list[_Thread]] = []

    def __init__(self) -> None:
        super().__init__(name="lambda-stream-watchdog", daemon=True)
        self.watchdog: Watchdog | None = None
        self._look_again = threading.Event()
        self._wakes_at = float("inf")

    @classmethod
    def idle(cls) -> _Thread:
        """A thread that serves no watchdog."""
        with suppress(IndexError):
            thread = cls._kept.pop()
            if thread.is_alive():  # not in a forked process
                return thread
        thread = cls()
        thread.start()
        return thread

    def keep(self) -> None:
        """Offer this thread to the next watchdog."""
        self._kept.append(self)

    def wake(self, at: float) -> None:
        """Look at the alarms again, at `at` at the latest."""
        if at < self._wakes_at:
            self._look_again.set()

    def run(self) -> None:
        """Fire the alarms of each watchdog in turn."""
        while True:
            self._look_again.clear()
            # Every wake from here on sets the event: the time that it announces may be read too late.
            self._wakes_at = float("inf")
            watchdog = self.watchdog
            next_at = watchdog.look() if watchdog else None
            del watchdog  # it must not outlive its block
            if next_at is None:
                self._look_again.wait()
            else:
                self._wakes_at = next_at
                self._look_again.wait(max(0.0, next_at - time.monotonic()))
