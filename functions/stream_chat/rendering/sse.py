"""The upstream's own events, for OpenAI's SDKs and all other readers of server-sent events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from chat_stream.events import ChatEvent, UsageReported
from chat_stream.json_values import parsed_object
from chat_stream.sse import ServerSentEvent, with_blank_line
from errors import RelayError
from rendering.renderer import COMMENT, STREAM_HEADERS, CostSoFar
from request.chat_request import ChatRequest

# A chunk with any other new field, such as a provider's citations, does not only report usage.
_USAGE_CHUNK_FIELDS = frozenset((
    "choices", "created", "id", "model", "object", "obfuscation", "service_tier", "system_fingerprint",
    "usage",
))  # fmt: skip


MAX_SEQUENCE_NUMBER = 2**53 - 1  # beyond it JavaScript's numbers skip integers


class SseRenderer:
    """The upstream's events byte for byte, without a usage chunk that only the relay requested.

    If the caller is to see the cost, the event with the usage is written anew with it.
    """

    headers: Mapping[str, str] = {**STREAM_HEADERS, "content-type": "text/event-stream; charset=utf-8"}
    keep_alive: bytes | None = COMMENT

    def __init__(self, chat: ChatRequest, cost: CostSoFar | None = None) -> None:
        self._usage_wanted = chat.usage_wanted
        self._cost = cost if chat.cost_wanted else None
        self._last_sent = b""
        # The first and the previous chunk: fields that chunks repeat are in one of them.
        self._first_data = self._data_before = ""

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The event as it came."""
        if event.id:  # from now on some decoders take a blank line for an event [openai-python#2722]
            self.keep_alive = COMMENT[:-1]
        if event.data and not self._usage_wanted:
            if self._is_usage_chunk(event, chat_events):
                return b""
            self._first_data = self._first_data or event.data
            self._data_before = event.data
        if self._cost is not None and any(isinstance(reported, UsageReported) for reported in chat_events):
            from rendering.usage_cost import event_with_cost  # only where the setting is used

            return self._sent(event_with_cost(event, self._cost))
        return self._sent(event.raw)

    def _is_usage_chunk(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bool:
        """Whether the chunk has no choices, reports usage and has no other new content."""
        if not any(isinstance(chat_event, UsageReported) for chat_event in chat_events):
            return False
        chunk = parsed_object(event.data)
        before = [parsed_object(data) for data in (self._first_data, self._data_before)]
        return not chunk.get("choices") and not any(
            _is_new(value, [earlier.get(key) for earlier in before])
            for key, value in chunk.items()
            if key not in _USAGE_CHUNK_FIELDS
        )

    def end(self, rest: bytes) -> bytes:
        """The bytes after the last event: a comment, or a `[DONE]` without its blank line."""
        return rest

    def content_beside_error(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """Nothing: the event passes whole, or is not a chunk of an answer."""
        return b""

    def failure(self, error: RelayError) -> bytes:
        """An error event in OpenAI's shape, which makes its SDKs raise. No `[DONE]` follows."""
        return self._closing() + self._sent(b"data: " + error.document() + b"\n\n")

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes:
        """The upstream's event unchanged if its shape makes SDKs raise; otherwise the error in that shape.

        A chunk of the answer that reports the error elsewhere is passed on before it.
        """
        chunk = parsed_object(event.data)
        if event.event != "message":
            return self.failure(error)
        if chunk.get("error") and isinstance(chunk["error"], dict):
            return self._sent(with_blank_line(event.raw))
        return (self._sent(event.raw) if chunk.get("choices") else b"") + self.failure(error)

    def _sent(self, event: bytes) -> bytes:
        """The bytes that are sent for an event. Every event passes through here."""
        self._last_sent = event
        return event

    def _closing(self) -> bytes:
        """The blank line that the last event may lack, so that the next event does not become part of it."""
        return with_blank_line(self._last_sent)[len(self._last_sent) :] if self._last_sent else b""


def _is_new(value: object, earlier: Sequence[object]) -> bool:
    """Whether a member has content, other than usage, that it did not have in one of the earlier chunks."""
    if isinstance(value, dict):
        members = [one for one in earlier if isinstance(one, dict)]
        return any(
            _is_new(inner, [one.get(key) for one in members])
            for key, inner in value.items()
            if key != "usage"
        )
    return value not in (None, "", [], False) and value not in earlier


class EventSourceRenderer(SseRenderer):
    """The same for a browser's EventSource, which reconnects whenever its connection ends.

    Every event that it gets has an id or follows one that has, so it reconnects with a `Last-Event-ID` and
    gets a 410, which stops it (`refuse_reconnect`). `event_id` contains no line end.
    """

    def __init__(self, chat: ChatRequest, event_id: str, cost: CostSoFar | None = None) -> None:
        super().__init__(chat, cost)
        self._id = f"id: {event_id}\n".encode()

    def end(self, rest: bytes) -> bytes:
        """Nothing: bytes without a final blank line are no event, and might reset the id."""
        return b""

    def _sent(self, event: bytes) -> bytes:
        """With the id as the last field before the blank line, where it overrides one of the upstream's."""
        self.keep_alive = COMMENT[:-1]  # an id has been sent
        event = with_blank_line(event)
        blank_line_bytes = 2 if event.endswith(b"\r\n") else 1
        return event[:-blank_line_bytes] + self._id + event[-blank_line_bytes:]


class ResponsesSseRenderer(SseRenderer):
    """The same for the Responses API, whose error events have another form."""

    def __init__(self, chat: ChatRequest, cost: CostSoFar | None = None) -> None:
        super().__init__(chat, cost)
        self._last: ServerSentEvent | None = None  # the last event with a number; a ping has none

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The event as it came."""
        if '"sequence_number"' in event.data:
            self._last = event
        return super().render(event, chat_events)

    def failure(self, error: RelayError) -> bytes:
        """An `error` event with the fields that the API documents and the `error` object that it sends.

        OpenAI's SDKs raise for the object. With the documented fields alone they yield an ordinary event,
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
        """The upstream's event unchanged if the API itself has such events; otherwise the error as one."""
        document = parsed_object(event.data)
        is_error = document.get("type") in ("error", "response.failed")
        is_known = is_error or isinstance(document.get("error"), dict)
        return with_blank_line(event.raw) if is_known else self.failure(error)

    def _next_number(self) -> int:
        """The sequence number after that of the last event."""
        number = parsed_object(self._last.data).get("sequence_number") if self._last else None
        # Python parses a number of 4300 digits but refuses to print one of 4301.
        return number + 1 if type(number) is int and 0 <= number < MAX_SEQUENCE_NUMBER else 0
