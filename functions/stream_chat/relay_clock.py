"""The clock of one relay: when it began, when it must have ended, when the caller needs a sign of life."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from lambda_stream import ResponseStream, Watchdog
from settings import Settings
from upstream.client import Exchange
from upstream.failures import deadline_exceeded

LONGEST_INVOCATION_S = 15 * 60  # Lambda's limit; without a deadline it exceeds what a socket can wait for


class RelayClock:
    """Begins to run when it is made.

    Args:
        remaining_s: how long this invocation may last.

    Attributes:
        started_at: when it began.
        deadline_at: `time.monotonic()` when the answer must have ended, so that there is time left to send
            the caller an error and to hand off the transcript.
    """

    def __init__(self, remaining_s: float, settings: Settings) -> None:
        self.started_at = datetime.now(UTC)
        self._began_at = time.monotonic()
        remaining_s = min(remaining_s, LONGEST_INVOCATION_S)
        # Reserve at most a quarter of the remaining time.
        reserve_s = min(settings.deadline_reserve_s, remaining_s / 4)
        self.deadline_at = self._began_at + remaining_s - reserve_s
        self._keep_alive_s = settings.keep_alive_s

    def elapsed_ms(self) -> int:
        """Milliseconds since the beginning."""
        return round((time.monotonic() - self._began_at) * 1000)

    def watch(
        self,
        watchdog: Watchdog,
        exchange: Exchange,
        stream: ResponseStream,
        keep_alive: Callable[[], None] | None,
    ) -> None:
        """Set the watchdog's alarms: the exchange is cut when it is silent for too long or at the deadline.

        Args:
            keep_alive: called whenever the caller has received nothing for KEEP_ALIVE_S; None if nothing may
                be sent to them then.
        """

        def next_keep_alive_at() -> float | None:
            return None if exchange.was_cut else stream.last_write_at + self._keep_alive_s

        def deadline() -> float | None:
            return None if exchange.was_cut else self.deadline_at

        if keep_alive is not None:
            watchdog.add(next_keep_alive_at, keep_alive)
        watchdog.add(exchange.limit_at, exchange.cut_for_silence)
        watchdog.add(deadline, lambda: exchange.cut(deadline_exceeded()))
