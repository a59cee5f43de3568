"""What a renderer is: how one format spells an answer for the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from chat_stream.events import ChatEvent
from chat_stream.sse import ServerSentEvent
from errors import RelayError

# A model's words, or an upstream's, are never a page: opened in a browser they run nothing and load nothing.
NEVER_A_PAGE: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "x-content-type-options": "nosniff",  # a browser that sniffs also holds back the first 512 bytes
}

JSON_HEADERS: Mapping[str, str] = {
    **NEVER_A_PAGE,
    "content-type": "application/json",
    "cache-control": "no-store",
}

STREAM_HEADERS: Mapping[str, str] = {
    **NEVER_A_PAGE,
    "cache-control": "no-cache, no-transform",  # a proxy that compresses also buffers
    "x-accel-buffering": "no",  # nginx on the way must not collect the deltas
}

COMMENT = b": keep-alive\n\n"  # what an event stream says while the upstream is silent


class Renderer(Protocol):
    """How one format spells an answer."""

    headers: Mapping[str, str]
    keep_alive: bytes | None  # what may be sent while the upstream is silent; None: nothing may

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The caller's bytes for one upstream event, which was decoded into `chat_events`."""

    def end(self, rest: bytes) -> bytes:
        """The last bytes of a whole answer; `rest` is what the upstream sent behind its last event."""

    def besides(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """What an event that reports an error says besides, unless `reported_failure` passes that on."""

    def failure(self, error: RelayError) -> bytes | None:
        """The last bytes of a broken answer, or None if only breaking the connection off can tell."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes | None:
        """The same, for an error that the upstream itself reported in `event`."""
