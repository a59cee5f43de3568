"""A thread that calls functions on time while the handler waits for something else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from .response_stream import CallerGoneError, ResponseAbortedError

_log = logging.getLogger("lambda_stream")


class Watchdog:
    """A context manager whose thread fires alarms on time until the block ends.

    An alarm is a pair of functions: `due()` returns the `time.monotonic()` value at which to fire, or None
    for not now; `fire()` acts, and then `due` is called again. Both run in the watchdog's thread with `lock`
    held, so they may read and change what the lock guards. Leaving the block joins the thread: the caller
    must not hold the lock then.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._alarms: list[tuple[Callable[[], float | None], Callable[[], None]]] = []
        self._look_again = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._watch, name="lambda-stream-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._look_again.set()
        self._thread.join()
        # Alarms hold what they watch, which often holds the watchdog: a cycle would keep megabytes alive.
        self._alarms.clear()

    def add(self, due: Callable[[], float | None], fire: Callable[[], None]) -> None:
        """Add an alarm.

        An alarm whose `due` or `fire` raises is logged and removed; the others continue. So is an alarm whose
        `due` returns no later time after it has fired: it would fire for ever, with the lock held.
        """
        with self._lock:
            self._alarms.append((due, fire))
        self.wake()

    def wake(self) -> None:
        """Have every `due` called again, because a time may have become earlier."""
        self._look_again.set()

    def _watch(self) -> None:
        while True:
            self._look_again.clear()
            with self._lock:
                if self._over:
                    return
                next_due_at = self._fire_due_alarms()
            self._look_again.wait(None if next_due_at is None else max(0.0, next_due_at - time.monotonic()))

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
