"""The interface of a renderer, which writes an answer in one format, and the headers of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from answers import NEVER_A_PAGE
from chat_stream.events import ChatEvent
from chat_stream.sse import ServerSentEvent
from errors import RelayError

if TYPE_CHECKING:
    from pricing.cost import Cost

STREAM_HEADERS: Mapping[str, str] = {
    **NEVER_A_PAGE,
    "cache-control": "no-cache, no-transform",  # a proxy that compresses also buffers
    "x-accel-buffering": "no",  # an nginx in between must not buffer the deltas
}

COMMENT = b": keep-alive\n\n"  # what an event stream sends while the upstream is silent


# The cost of the answer by its last usage; None if it is not known. Reads the prices when first called.
CostSoFar = Callable[[], "Cost | None"]


class Renderer(Protocol):
    """Turns the events of one answer into the bytes of one format."""

    headers: Mapping[str, str]
    keep_alive: bytes | None  # what is sent while the upstream is silent; None: nothing can be

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The caller's bytes for one upstream event that was decoded into `chat_events`."""

    def end(self, rest: bytes) -> bytes:
        """The last bytes of a complete answer; `rest` is what the upstream sent after its last event."""

    def content_beside_error(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The content of an event that also reports an error, unless `reported_failure` passes it on."""

    def failure(self, error: RelayError) -> bytes | None:
        """The last bytes of a broken answer, or None if only a broken connection can show the failure."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes | None:
        """The same for an error that the upstream itself reported in `event`."""
