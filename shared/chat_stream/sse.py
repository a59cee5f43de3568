"""Parses server-sent events exactly as the WHATWG standard says: bytes in, events out.

Quoted sentences are from https://html.spec.whatwg.org/multipage/server-sent-events.html, sections "Parsing an
event stream" and "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

# Well above a model's whole answer in one event (a long tool call, an image in base64). The limit stops an
# upstream that never ends an event from filling the function's memory.
MAX_EVENT_BYTES = 16 * 1024 * 1024

# Enough for any duration. int() takes quadratic time for long digit strings and refuses over 4300 digits.
_MAX_RETRY_DIGITS = 18

BOM = b"\xef\xbb\xbf"


# The end of a line followed by an empty line.
_BLANK_LINES = (b"\n\n", b"\n\r", b"\r\r", b"\n\r\n", b"\r\r\n")


def with_blank_line(raw: bytes) -> bytes:
    """The bytes of an event with its closing blank line, which the last event of a stream may lack."""
    if raw.endswith(_BLANK_LINES):
        return raw
    return raw + (b"\n" if raw.endswith(b"\n") else b"\n\n")  # completes a last CR to a CRLF


class EventTooLargeError(ValueError):
    """The bytes since the end of the last event exceed the limit for one event."""


class ServerSentEvent(NamedTuple):
    """One dispatched event. A named tuple is created in a third of the time of a frozen dataclass."""

    event: str
    """The event type; "message" if the stream names none."""
    data: str
    """The data lines, joined by LF, without a final LF."""
    id: str
    """The last event ID in effect when the event was dispatched; "" until one is set."""
    retry: int | None
    """The reconnection time in effect, in milliseconds; None until one is set."""
    raw: bytes
    """Every byte since the end of the previous event: comments, empty blocks and the closing blank line."""


# The same as ServerSentEvent(…), in half the time.
_new_event = partial(tuple.__new__, ServerSentEvent)


class EventStreamParser:
    """Splits a response body into events, fed in pieces of any size.

    The `raw` of all events, followed by `rest`, is the stream byte for byte. Each event is returned by the
    feed that completes it: a CR ends a line at once. If the CR that ended an event turns out to be half of a
    CRLF in the next feed, the LF belongs to the `raw` of the next event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        """"The last event ID string of the event source", as of the last blank line."""
        self.reconnection_time_ms: int | None = None
        """The last valid `retry` field; None until there is one."""
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()  # all bytes since the end of the last event
        self._line_start = 0  # where the unfinished line begins in `_pending`
        self._searched = 0  # `_pending` has no line end between `_line_start` and here
        self._first_line = True
        self._line_ended_in_cr = False
        # "When a stream is parsed, a data buffer, an event type buffer, and a last event ID buffer must be
        # associated with it. They must be initialized to the empty string." The data buffer is a list of
        # lines here: a string would be copied for each line.
        self._data: list[bytes] = []
        self._event_type = b""
        self._last_event_id_buffer = ""

    @property
    def rest(self) -> bytes:
        """The bytes since the end of the last event, which the standard discards at the end of the stream."""
        return bytes(self._pending)

    @property
    def is_between_events(self) -> bool:
        """Whether the next byte begins a new event: no event, line or CRLF is unfinished."""
        return not self._pending and not self._line_ended_in_cr

    def event_of(self, raw: bytes) -> ServerSentEvent:
        """A "message" event with these bytes and no data, with the ID and reconnection time now in effect."""
        return _new_event(("message", "", self.last_event_id, self.reconnection_time_ms, raw))

    def end(self) -> ServerSentEvent | None:
        """The last event of the stream if its blank line is missing, else None; `rest` stays as it is.

        The standard says: "Once the end of the file is reached, any pending data must be discarded." But some
        gateways omit the blank line, and OpenAI's SDK reads the event anyway [openai-node#2725]. Call this
        once, after the last feed, and only if the body is known to be complete.
        """
        line = bytes(memoryview(self._pending)[self._line_start :])
        if self._first_line:
            line = line.removeprefix(BOM)
        if line:
            self._process_line(line)
        self._line_start = len(self._pending)
        return self._dispatch(self._pending, 0)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the stream and return the events that they complete, often none.

        Raises EventTooLargeError if an event, or the bytes since the end of the last one, exceed the limit.
        Comments and blocks without data count, since they are part of the next event's `raw`. Every later
        feed raises it again. No event is lost as long as no single feed is larger than the limit.
        """
        # Fast path for bytes that are one `data: ` line and a blank line, both ended by LF, as nearly all
        # events of chat completions are: reading them line by line, as below, costs five times as much. While
        # nothing is pending all buffers are empty, so such an event needs no state. The search is done in
        # text, where Python takes half the time that it takes in bytes.
        if not self._pending:
            line, _, rest = data.decode("utf-8", "replace").partition("\n")
            is_plain = rest == "\n" and line[:6] == "data: " and "\r" not in line
            if is_plain and len(data) <= self._max_event_bytes:
                self._first_line = self._line_ended_in_cr = False
                fields = ("message", line[6:], self.last_event_id, self.reconnection_time_ms, data)
                return [_new_event(fields)]
        events: list[ServerSentEvent] = []
        start = 0
        while (end := data.find(b"\n\ndata: ", start) + 2) > 1:  # the next event may take the fast path
            events += self.feed(data[start:end])
            start = end
        if start:
            events += self.feed(data[start:])
        else:
            self._feed_lines(data, events)
        return events

    def _feed_lines(self, data: bytes, events: list[ServerSentEvent]) -> None:
        pending = self._pending
        if len(pending) <= self._max_event_bytes:
            pending += data
        event_start = 0
        if self._line_ended_in_cr and data:
            self._line_ended_in_cr = False
            if data.startswith(b"\n"):  # the second half of a CRLF, not an empty line
                self._line_start += 1
                self._searched = self._line_start
        for line_end, next_line_start in _line_ends(pending, self._searched):
            start = self._line_start
            line = bytes(memoryview(pending)[start:line_end]) if start < line_end else b""
            self._line_start = self._searched = next_line_start  # before _dispatch, which may raise
            if self._first_line:
                # "Streams must be decoded using the UTF-8 decode algorithm", which "strips one leading UTF-8
                # Byte Order Mark (BOM), if any".
                self._first_line = False
                line = line.removeprefix(BOM)
            if line:
                self._process_line(line)
                continue
            event = self._dispatch(pending, event_start)
            if event is not None:
                events.append(event)
                event_start = self._line_start
        self._searched = len(pending)
        self._line_ended_in_cr = self._line_start == len(pending) and pending.endswith(b"\r")
        self._check_size(len(pending) - event_start)
        del pending[:event_start]
        self._line_start -= event_start
        self._searched -= event_start

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_event_bytes:
            raise EventTooLargeError(f"an event of the stream is larger than {self._max_event_bytes} bytes")

    def _process_line(self, line: bytes) -> None:
        # "If the line starts with a U+003A COLON character (:): Ignore the line." Such a line has an empty
        # field name, which is unknown. "Otherwise, the string is not empty but does not contain a U+003A
        # COLON character (:): process the field using the whole line as the field name, and the empty string
        # as the field value."
        field, _, value = line.partition(b":")
        # "If value starts with a U+0020 SPACE character, remove it from value."
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._event_type = value
        elif field == b"id":
            # "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field
            # value. Otherwise, ignore the field."
            if b"\0" not in value:
                self._last_event_id_buffer = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit():
            # "If the field value consists of only ASCII digits, then interpret the field value as an integer
            # in base ten, and set the event stream's reconnection time to that integer."
            digits = value.lstrip(b"0") or b"0"
            if len(digits) <= _MAX_RETRY_DIGITS:
                self.reconnection_time_ms = int(digits)
        # "Otherwise: The field is ignored."

    def _dispatch(self, pending: bytearray, event_start: int) -> ServerSentEvent | None:
        # "Set the last event ID string of the event source to the value of the last event ID buffer."
        # The buffer is not reset.
        self.last_event_id = self._last_event_id_buffer
        lines, event_type = self._data, self._event_type
        self._event_type = b""
        # "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
        # string and return." A data line without a value appends an LF: only no data line means empty.
        if not lines:
            return None
        self._check_size(self._line_start - event_start)
        self._data = []
        return ServerSentEvent(
            # "Initialize event's type attribute to "message" … If the event type buffer has a value other
            # than the empty string, change the type of the newly created event to equal the value of it."
            event=event_type.decode("utf-8", "replace") or "message",
            # "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last
            # character from the data buffer."
            data=b"\n".join(lines).decode("utf-8", "replace"),
            id=self.last_event_id,
            retry=self.reconnection_time_ms,
            raw=bytes(memoryview(pending)[event_start : self._line_start]),
        )


def _line_ends(data: bytearray, start: int) -> Iterator[tuple[int, int]]:
    """For each line from `start` on: where it ends and where the next one begins.

    "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a
    single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character."
    """
    lf = data.find(b"\n", start)
    while True:
        cr = data.find(b"\r", start, lf if lf >= 0 else len(data))
        end = cr if cr >= 0 else lf
        if end < 0:
            return
        start = end + 2 if 0 <= cr == lf - 1 else end + 1
        if 0 <= lf < start:  # searching for the same LF again for each CR would take quadratic time
            lf = data.find(b"\n", start)
        yield end, start
