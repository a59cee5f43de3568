"""The time limits of one exchange: how long the upstream may be silent, and how an exchange is cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from settings import Settings
from upstream import failures

DONE_GRACE_S = 1.0  # after [DONE] only the body's end is due; with it the connection can be reused


class TimeLimits:
    """The time limits of one exchange.

    One thread blocks while it reads from the upstream. A second one, the relay's watchdog, watches `limit_at`
    and ends the read with `cut`. httpx cannot interrupt a read, so a cut shuts the connection down.

    Args:
        deadline_at: `time.monotonic()` when the answer must have ended.
        shut_connection: unblocks any thread that waits on the upstream's connection.
    """

    def __init__(self, settings: Settings, deadline_at: float, shut_connection: Callable[[], None]) -> None:
        self._settings = settings
        self._deadline_at = deadline_at
        self._shut_connection = shut_connection
        self._limit_at: float | None = None
        self._on_limit: Callable[[float], None] = lambda limit_at: None
        self._has_received_event = False
        self._was_cut = threading.Event()
        self._cut_by: Exception | None = None
        self._cut_lock = threading.Lock()

    def left_s(self) -> float:
        """The seconds until the deadline; negative after it."""
        return self._deadline_at - time.monotonic()

    def set_limit_callback(self, on_limit: Callable[[float], None]) -> None:
        """Call `on_limit` with `limit_at` whenever that gets earlier: a waiting thread must wake in time."""
        self._on_limit = on_limit

    def begin_wait_for_first_byte(self) -> None:
        """Start `first_byte_timeout_s`: a streamed request is about to be sent."""
        self._set(time.monotonic() + self._settings.first_byte_timeout_s)

    def restart_idle(self, *, done: bool = False) -> None:
        """Restart the idle time: an event has arrived. Comments do not count, because they can hide a stall.

        Args:
            done: whether the event was the answer's last.
        """
        self._has_received_event = True
        self._set(time.monotonic() + (DONE_GRACE_S if done else self._settings.idle_timeout_s))

    def end(self) -> None:
        """Remove the limit: the exchange is over."""
        self._limit_at = None

    def _set(self, limit_at: float) -> None:
        is_nearer = self._limit_at is None or limit_at < self._limit_at
        self._limit_at = limit_at
        if is_nearer:
            self._on_limit(limit_at)

    def limit_at(self) -> float | None:
        """`time.monotonic()` when the upstream has been silent too long; None without a limit."""
        return None if self.was_cut else self._limit_at

    def cut_for_silence(self) -> None:
        """Cut because `limit_at` has passed."""
        settings = self._settings
        if self._has_received_event:
            self.cut(failures.interrupted(f"The upstream fell silent for {settings.idle_timeout_s:g} s."))
        else:
            self.cut(failures.first_byte_timeout(settings.first_byte_timeout_s))

    def cut(self, reason: Exception) -> None:
        """End the exchange from any thread: its reads and waits raise `reason`. The first reason counts."""
        with self._cut_lock:
            if self._cut_by is None:
                self._cut_by = reason
            self._was_cut.set()
        self._shut_connection()

    @property
    def was_cut(self) -> bool:
        """Whether `cut` has been called."""
        return self._was_cut.is_set()

    def raise_if_cut(self) -> None:
        """Raise the reason for the cut, if there was one."""
        if self._cut_by is not None:
            raise self._cut_by

    def wait(self, wait_s: float) -> None:
        """Sleep, unless the exchange is cut meanwhile. Raises the reason for the cut."""
        self._was_cut.wait(wait_s)
        self.raise_if_cut()
