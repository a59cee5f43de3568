"""When the relay received the pieces of an answer, so that callers can tell who holds them back (pure)."""

from __future__ import annotations

from typing import Any


class RelayTimings:
    """The relay's own clock readings for one answer, in milliseconds since it admitted the request.

    Each read from the upstream becomes at most one write to the caller, at once. So a caller who sees the
    pieces at other intervals knows that something between the relay and them holds the pieces back.
    """

    __slots__ = ("_first_ms", "_last_ms", "_longest_pause_ms", "_reads")

    def __init__(self) -> None:
        self._first_ms = self._last_ms = self._longest_pause_ms = self._reads = 0

    def note(self, elapsed_ms: int) -> None:
        """Take the time of a read from the upstream that brought events."""
        if self._reads:
            self._longest_pause_ms = max(self._longest_pause_ms, elapsed_ms - self._last_ms)
        else:
            self._first_ms = elapsed_ms
        self._last_ms = elapsed_ms
        self._reads += 1

    def metadata(self) -> dict[str, Any]:
        """For the `messageMetadata` of a UI message stream; empty if nothing has been read."""
        if not self._reads:
            return {}
        timings = {
            "firstEventMs": self._first_ms,
            "lastEventMs": self._last_ms,
            "longestPauseMs": self._longest_pause_ms,
            "reads": self._reads,
        }
        return {"timings": timings}


def server_timing(elapsed_ms: int) -> dict[str, str]:
    """The `server-timing` header (W3C Server Timing): how long the relay took until it began to answer."""
    return {"server-timing": f"relay;dur={elapsed_ms}"}
