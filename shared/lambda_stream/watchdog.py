"""One small thread that watches the clock while a handler waits for something else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from .response_stream import CallerGone, ResponseAborted

_log = logging.getLogger("lambda_stream")


class Watchdog:
    """Alarms that go off on time while the block runs, each with `lock` held.

    An alarm is a pair: `due()` gives the `time.monotonic()` moment at which to fire, or None for not now;
    `fire()` acts, and then `due` is asked again. Both run in the watchdog's thread with `lock` held, so they
    see and change what the lock guards. The thread ends when the block is left, which must not be done with
    the lock held.
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
        self._alarms.clear()  # they hold what they watch, and that often the watchdog: megabytes, in a circle

    def add(self, due: Callable[[], float | None], fire: Callable[[], None]) -> None:
        """Add an alarm. The others go on when one is logged and taken off.

        That happens to an alarm whose `due` or `fire` raises, and to one whose `due` gives no later moment
        after it has fired: it would fire for ever, with the lock held.
        """
        with self._lock:
            self._alarms.append((due, fire))
        self.wake()

    def wake(self) -> None:
        """Have every `due` asked again: a moment may have come nearer."""
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
        """Fire what is due. Gives back the moment of the next alarm; the lock is held."""
        next_due_at: float | None = None
        for alarm in tuple(self._alarms):
            due, fire = alarm
            fired_for: float | None = None
            try:
                moment = due()
                if moment is not None and moment <= time.monotonic():
                    fire()
                    fired_for, moment = moment, due()
            except (CallerGone, ResponseAborted):
                self._alarms.remove(alarm)  # the handler's next write says so
                continue
            except Exception:  # noqa: BLE001  (the handler's own)
                _log.exception("an alarm failed and is taken off")
                self._alarms.remove(alarm)
                continue
            if fired_for is not None and moment is not None and moment <= fired_for:
                _log.error("an alarm has fired and is still due for that moment: it is taken off")
                self._alarms.remove(alarm)
                continue
            if moment is not None and (next_due_at is None or moment < next_due_at):
                next_due_at = moment
        return next_due_at
