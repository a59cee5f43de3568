"""The upstream's own events, for OpenAI's SDKs and whoever else reads server-sent events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from chat_request import ChatRequest
from chat_stream.chat_events import ChatEvent, UsageReported
from chat_stream.sse import ServerSentEvent
from relay_error import RelayError
from renderer import STREAM_HEADERS


class SseRenderer:
    """The upstream's events byte for byte, without the usage chunk that only the relay has asked for."""

    headers: Mapping[str, str] = {**STREAM_HEADERS, "content-type": "text/event-stream; charset=utf-8"}
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
