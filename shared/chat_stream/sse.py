"""Server-sent events: bytes in, events out, to the letter of the WHATWG standard.

Quoted sentences are from https://html.spec.whatwg.org/multipage/server-sent-events.html, sections "Parsing an
event stream" and "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

# A model's whole answer in one event (a long tool call, an image in base64) stays well below this; the limit
# keeps an upstream that never ends an event from filling the function's memory.
MAX_EVENT_BYTES = 16 * 1024 * 1024

# No clock needs more, and int() of a long digit string takes quadratic time (and refuses 4300 digits).
_MAX_RETRY_DIGITS = 18

BOM = b"\xef\xbb\xbf"


_BLANK_LINES = (b"\n\n", b"\n\r", b"\r\r", b"\n\r\n", b"\r\r\n")  # each behind the end of a line


def with_blank_line(raw: bytes) -> bytes:
    """The bytes of an event, and the blank line that ends it, which the last one of a stream may lack."""
    if raw.endswith(_BLANK_LINES):
        return raw
    return raw + (b"\n" if raw.endswith(b"\n") else b"\n\n")  # a last CR becomes half of a CRLF


class EventTooLarge(ValueError):  # noqa: N818 - says what happened, as BrokenPipe and TimeoutExpired do
    """More bytes have come since the end of the last event than one event may have."""


class ServerSentEvent(NamedTuple):
    """One dispatched event. A named tuple: as frozen as a frozen dataclass, made in a third of its time."""

    event: str
    """The event type, "message" where the stream names none."""
    data: str
    """The data lines joined by LF, without the last LF."""
    id: str
    """The last event ID in effect when the event was dispatched, "" until one was set."""
    retry: int | None
    """The reconnection time in effect, in milliseconds, None until one was set."""
    raw: bytes
    """Every byte since the end of the event before it: comments, empty blocks and the closing blank line."""


# What ServerSentEvent(…) does, in half the time.
_made_of = partial(tuple.__new__, ServerSentEvent)


class EventStreamParser:
    """Splits a response body into events, whatever the sizes of the pieces it comes in.

    The raws of all events joined, and `rest`, are the stream byte for byte. An event is returned from the
    very feed that completes it: a CR ends a line at once, and if the CR that ended an event turns out to be
    half of a CRLF in the next feed, that LF belongs to the raw of the event after it.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        """"The last event ID string of the event source": set by the last blank line."""
        self.reconnection_time_ms: int | None = None
        """The last valid `retry` field, None until there was one."""
        self._max_event_bytes = max_event_bytes
        self._pending = bytearray()  # every byte since the end of the last event
        self._line_start = 0  # where in it the line begins that has not ended yet
        self._searched = 0  # up to where in it no line end was found
        self._first_line = True
        self._line_ended_in_cr = False
        # "When a stream is parsed, a data buffer, an event type buffer, and a last event ID buffer must be
        # associated with it. They must be initialized to the empty string." The data buffer is a list of
        # lines: a string would be copied for each line.
        self._data: list[bytes] = []
        self._event_type = b""
        self._last_event_id_buffer = ""

    @property
    def rest(self) -> bytes:
        """What has come since the last event ended; at the end of the stream the standard discards it."""
        return bytes(self._pending)

    @property
    def is_between_events(self) -> bool:
        """Whether the next byte belongs to no event, line or line end that has begun."""
        return not self._pending and not self._line_ended_in_cr

    def event_of(self, raw: bytes) -> ServerSentEvent:
        """An event of the type "message" with these bytes and no data, as it would be dispatched now."""
        return _made_of(("message", "", self.last_event_id, self.reconnection_time_ms, raw))

    def end(self) -> ServerSentEvent | None:
        """The event that the stream ends in without its blank line, if there is one; `rest` stays as it is.

        Outside the standard: "Once the end of the file is reached, any pending data must be discarded." But
        gateways leave the blank line out, and OpenAI's SDK reads the event all the same [openai-node#2725].
        Only whoever knows that the body is whole may ask, once, instead of feeding more.
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

        Raises EventTooLarge when an event, or what has come since the end of the last one, exceeds the limit:
        comments and blocks without data count, since they are part of the next event's raw. Every later feed
        raises it again. No event is lost by that as long as no single feed is larger than the limit.
        """
        # The one fast path, for bytes that are one `data: ` line and a blank one, ended by LF: a chat
        # completion has hardly any others, and line by line, as below, they cost five times as much. With
        # nothing pending all buffers are empty: such an event needs no state. It looks at text, for there
        # Python finds things in half the time that it takes in bytes.
        if not self._pending:
            line, _, rest = data.decode("utf-8", "replace").partition("\n")
            is_plain = rest == "\n" and line[:6] == "data: " and "\r" not in line
            if is_plain and len(data) <= self._max_event_bytes:
                self._first_line = self._line_ended_in_cr = False
                fields = ("message", line[6:], self.last_event_id, self.reconnection_time_ms, data)
                return [_made_of(fields)]
        events: list[ServerSentEvent] = []
        start = 0
        while (end := data.find(b"\n\ndata: ", start) + 2) > 1:  # where the next plain event may begin
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
            if data.startswith(b"\n"):  # the second half of a CRLF, not a line of its own
                self._line_start += 1
                self._searched = self._line_start
        for line_end, next_line_start in _line_ends(pending, self._searched):
            start = self._line_start
            line = bytes(memoryview(pending)[start:line_end]) if start < line_end else b""
            self._line_start = self._searched = next_line_start  # also where the event turns out too large
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
            raise EventTooLarge(f"an event of the stream is larger than {self._max_event_bytes} bytes")

    def _process_line(self, line: bytes) -> None:
        # "If the line starts with a U+003A COLON character (:): Ignore the line." Its field name is empty,
        # and so an unknown one. "Otherwise, the string is not empty but does not contain a U+003A COLON
        # character (:): process the field using the whole line as the field name, and the empty string as the
        # field value."
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
        # string and return." A data line without a value appends an LF as well: empty means no data line.
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
    """Where each line from `start` on ends, and where the next one begins.

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
        if (
            0 <= lf < start
        ):  # else it is still the next one: looked for each time, it would take quadratic time
            lf = data.find(b"\n", start)
        yield end, start
