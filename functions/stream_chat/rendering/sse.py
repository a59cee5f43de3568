"""The upstream's own events, for OpenAI's SDKs and whoever else reads server-sent events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from chat_stream.events import ChatEvent, UsageReported
from chat_stream.json_values import parsed_object
from chat_stream.sse import ServerSentEvent, with_blank_line
from errors import RelayError
from rendering.renderer import COMMENT, STREAM_HEADERS
from request.chat_request import ChatRequest

# A chunk that says anything new beside this, such as a provider's citations, is not only about usage.
_OF_A_USAGE_CHUNK = frozenset(
    (
        "choices", "created", "id", "model", "object", "obfuscation", "service_tier", "system_fingerprint",
        "usage",
    )
)  # fmt: skip


MAX_SEQUENCE_NUMBER = 2**53 - 1  # beyond it JavaScript's numbers skip some


class SseRenderer:
    """The upstream's events byte for byte, without the usage chunk that only the relay has asked for."""

    headers: Mapping[str, str] = {**STREAM_HEADERS, "content-type": "text/event-stream; charset=utf-8"}
    keep_alive: bytes | None = COMMENT

    def __init__(self, chat: ChatRequest) -> None:
        self._usage_wanted = chat.usage_wanted
        self._last_sent = b""
        # The data of the first chunk and of the one before: what both dialects' chunks repeat is in them.
        self._first_data = self._data_before = ""

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The event as it came."""
        if event.id:  # some decoders take a blank line for an event from now on [openai-python#2722]
            self.keep_alive = COMMENT[:-1]
        if event.data and not self._usage_wanted:
            if self._is_usage_chunk(event, chat_events):
                return b""
            self._first_data = self._first_data or event.data
            self._data_before = event.data
        return self._sent(event.raw)

    def _is_usage_chunk(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bool:
        """Whether it has no choices, reports usage, and says nothing else that is not said already."""
        if not any(isinstance(said, UsageReported) for said in chat_events):
            return False
        chunk = parsed_object(event.data)
        before = [parsed_object(data) for data in (self._first_data, self._data_before)]
        return not chunk.get("choices") and not any(
            _is_news(value, [earlier.get(key) for earlier in before])
            for key, value in chunk.items()
            if key not in _OF_A_USAGE_CHUNK
        )

    def end(self, rest: bytes) -> bytes:
        """What came behind the last event: a comment, or a `[DONE]` without its blank line."""
        return rest

    def besides(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """Nothing: the event passes whole, or is no chunk of an answer."""
        return b""

    def failure(self, error: RelayError) -> bytes:
        """An error event in OpenAI's shape, which makes its SDKs raise. No `[DONE]` follows."""
        return self._closing() + self._sent(b"data: " + error.document() + b"\n\n")

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes:
        """The upstream's event as it came if its shape makes SDKs raise; else the error in that shape.

        A chunk of the answer that has the error elsewhere passes before it.
        """
        chunk = parsed_object(event.data)
        if event.event != "message":
            return self.failure(error)
        if chunk.get("error") and isinstance(chunk["error"], dict):
            return self._sent(with_blank_line(event.raw))
        return (self._sent(event.raw) if chunk.get("choices") else b"") + self.failure(error)

    def _sent(self, event: bytes) -> bytes:
        """What is sent for an event with these bytes: every event passes here."""
        self._last_sent = event
        return event

    def _closing(self) -> bytes:
        """The end of the last event if its blank line is missing, so that no other one falls into it."""
        return with_blank_line(self._last_sent)[len(self._last_sent) :] if self._last_sent else b""


def _is_news(value: object, earlier: Sequence[object]) -> bool:
    """Whether a member says anything but usage that it has not said in one of the earlier chunks."""
    if isinstance(value, dict):
        members = [one for one in earlier if isinstance(one, dict)]
        return any(
            _is_news(inner, [one.get(key) for one in members])
            for key, inner in value.items()
            if key != "usage"
        )
    return value not in (None, "", [], False) and value not in earlier


class EventSourceRenderer(SseRenderer):
    """The same for a browser's EventSource, which asks again whenever its connection has ended.

    Whatever it gets carries an id or follows one, so that it asks again with a `Last-Event-ID`, which is
    answered 204: "a client can be told to stop reconnecting using the HTTP 204 No Content response code"
    (section 9.2.1 of the standard).

    Args:
        event_id: the id, which has no line end.
    """

    def __init__(self, chat: ChatRequest, event_id: str) -> None:
        super().__init__(chat)
        self._id = f"id: {event_id}\n".encode()

    def end(self, rest: bytes) -> bytes:
        """Nothing: what ends without a blank line is no event, and might take the id away."""
        return b""

    def _sent(self, event: bytes) -> bytes:
        """With the id as the last field, before the blank line: it outdoes one of the upstream's."""
        self.keep_alive = COMMENT[:-1]  # there has been an id now
        event = with_blank_line(event)
        blank_line_bytes = 2 if event.endswith(b"\r\n") else 1
        return event[:-blank_line_bytes] + self._id + event[-blank_line_bytes:]


class ResponsesSseRenderer(SseRenderer):
    """The same for the Responses API, whose errors are events of another form."""

    def __init__(self, chat: ChatRequest) -> None:
        super().__init__(chat)
        self._last: ServerSentEvent | None = None  # of those that have a number, as a ping has not

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The event as it came."""
        if '"sequence_number"' in event.data:
            self._last = event
        return super().render(event, chat_events)

    def failure(self, error: RelayError) -> bytes:
        """An `error` event with the fields that the API documents, and with the `error` object that it sends.

        OpenAI's SDKs raise for the object; of the documented fields alone they make an event like any other,
        which is easily overlooked.
        """
        details = error.details()
        document = {
            "type": "error",
            "sequence_number": self._next_number(),
            "code": details["code"],
            "message": details["message"],
            "param": details["param"],
            "error": details,
        }
        data = json.dumps(document, separators=(",", ":")).encode()
        return self._closing() + b"event: error\ndata: " + data + b"\n\n"

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes:
        """The upstream's event as it came if it is one of the API's own; else the error as such an event."""
        document = parsed_object(event.data)
        is_known = document.get("type") in ("error", "response.failed") or isinstance(
            document.get("error"), dict
        )
        return with_blank_line(event.raw) if is_known else self.failure(error)

    def _next_number(self) -> int:
        """Of the event that follows the last one sent."""
        number = parsed_object(self._last.data).get("sequence_number") if self._last else None
        # One of 4300 digits can be read, and one more has a digit that Python refuses to write.
        return number + 1 if type(number) is int and 0 <= number < MAX_SEQUENCE_NUMBER else 0
