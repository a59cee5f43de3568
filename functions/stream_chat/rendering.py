"""From the upstream's events to the caller's bytes: one class for each format, chosen by table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from chat_request import AnswerFormat, ChatRequest
from chat_stream.chat_events import ChatEvent, RefusalDelta, TextDelta, UsageReported
from chat_stream.sse import ServerSentEvent
from relay_error import RelayError

JSON_HEADERS: Mapping[str, str] = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}

_STREAM_HEADERS: Mapping[str, str] = {
    "cache-control": "no-cache, no-transform",  # a proxy that compresses also buffers
    "x-accel-buffering": "no",  # nginx on the way must not collect the deltas
    "x-content-type-options": "nosniff",  # a browser that sniffs text/plain holds the first 512 bytes back
}


class Renderer(Protocol):
    """How one format spells an answer."""

    headers: Mapping[str, str]
    keep_alive: bytes | None  # what may be sent while the upstream is silent; None: nothing may

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The caller's bytes for one upstream event, which was decoded into `chat_events`."""

    def end(self, rest: bytes) -> bytes:
        """The last bytes of a whole answer; `rest` is what the upstream sent behind its last event."""

    def failure(self, error: RelayError) -> bytes | None:
        """The last bytes of a broken answer, or None if only breaking the connection off can tell."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes | None:
        """The same, for an error that the upstream itself reported in `event`."""


class TextRenderer:
    """The visible text of the first choice, and nothing else.

    A refusal is shown as well: without it the caller would see an empty success.
    """

    headers: Mapping[str, str] = {**_STREAM_HEADERS, "content-type": "text/plain; charset=utf-8"}
    keep_alive: bytes | None = None  # every byte of this format is answer

    def __init__(self, chat: ChatRequest) -> None:
        pass

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The deltas of choice 0 in UTF-8."""
        text = "".join(
            e.text for e in chat_events if isinstance(e, (TextDelta, RefusalDelta)) and e.choice == 0
        )
        return text.encode()

    def end(self, rest: bytes) -> bytes:
        """Nothing: the text has been sent."""
        return b""

    def failure(self, error: RelayError) -> None:
        """None: an error message would read like a part of the answer."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> None:
        """None, as for every failure of this format."""


class SseRenderer:
    """The upstream's events byte for byte, without the usage chunk that only the relay has asked for."""

    headers: Mapping[str, str] = {**_STREAM_HEADERS, "content-type": "text/event-stream; charset=utf-8"}
    keep_alive: bytes | None = b": keep-alive\n\n"

    def __init__(self, chat: ChatRequest) -> None:
        self._usage_wanted = chat.usage_wanted

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The event as it came."""
        if not self._usage_wanted and any(isinstance(e, UsageReported) for e in chat_events):
            return b"" if _json_of(event).get("choices") == [] else event.raw
        return event.raw

    def end(self, rest: bytes) -> bytes:
        """What came behind the last event: a comment, or a `[DONE]` without its blank line."""
        return rest

    def failure(self, error: RelayError) -> bytes:
        """An error event in OpenAI's shape, which makes its SDKs raise. No `[DONE]` follows.

        Only whole events have been sent before it, so none is open that it could fall into.
        """
        return b"data: " + error.document() + b"\n\n"

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes:
        """The upstream's event as it came if its shape makes SDKs raise; else the error in that shape."""
        is_known_shape = event.event == "message" and isinstance(_json_of(event).get("error"), dict)
        return event.raw if is_known_shape else self.failure(error)


def _json_of(event: ServerSentEvent) -> Mapping[str, object]:
    try:
        document = json.loads(event.data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest], Renderer]] = {
    "text": TextRenderer,
    "sse": SseRenderer,
}
