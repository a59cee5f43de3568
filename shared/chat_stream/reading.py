"""A streamed answer read: bytes in, what they say out, with the bytes that say it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from chat_stream.dialects.dialect import EventDecoder
from chat_stream.dialects.event_payloads import payloads_in
from chat_stream.events import ChatEvent, TextDelta
from chat_stream.sse import MAX_EVENT_BYTES, EventStreamParser, ServerSentEvent


class Said(NamedTuple):
    """What an event says; a run of events that say nothing but text is one."""

    event: ServerSentEvent
    """Of a run its bytes, all of them, and no data."""
    chat_events: Sequence[ChatEvent]
    deltas: int = 1
    """How many deltas stand in place of each chat event."""


_made_of = partial(tuple.__new__, Said)  # what Said(…) does, in half the time


def last_events(parser: EventStreamParser) -> list[ServerSentEvent]:
    """The event that a whole body ends in without its blank line, if it is whole itself: one, or none.

    JSON and the sentinel are; so are words of an error event that are no JSON at all.
    """
    event = parser.end()
    if event is None:
        return []
    try:
        is_whole = bool(payloads_in(event.data))
    except RecursionError:
        return []
    is_plain_error = event.event == "error" and not event.data.lstrip().startswith(("{", "["))
    return [event] if is_whole or is_plain_error else []


class AnswerReader:
    """Reads one stream, whatever the sizes of the pieces it comes in."""

    def __init__(self, decoder: EventDecoder, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._parser = EventStreamParser(max_event_bytes)
        self._max_event_bytes = max_event_bytes
        self._decoder = decoder
        self._runs = decoder.text_runs
        self._is_between_events = False
        self._has_read_all = False

    @property
    def rest(self) -> bytes:
        """What has come since the last event ended, and was not read as one at the end."""
        return b"" if self._has_read_all else self._parser.rest

    def end(self) -> list[Said]:
        """What the event says that a whole body ends in without its blank line; [] without one."""
        events = last_events(self._parser)
        self._has_read_all = bool(events)
        return [Said(event, self._decoder.decode(event)) for event in events]

    def feed(self, data: bytes) -> list[Said]:
        """Take the next bytes of the stream and return what the events say that they complete.

        Raises EventTooLarge, as EventStreamParser does.
        """
        said: list[Said] = []
        runs = (
            self._runs if len(data) <= self._max_event_bytes else None
        )  # else an event in it may be too large
        start = 0
        while start < len(data):
            run = runs.take(data, start) if runs and self._is_between_events else None
            if run is not None:
                end, text, deltas = run
                raw = data[start:end]
                said.append(_made_of((self._parser.event_of(raw), (TextDelta(0, text),), deltas)))
            else:
                # What fits a frame most likely begins right behind this event.
                end = data.find(b"\n\ndata: ", start) + 2 if runs and runs.has_frame else 0
                end = end if end > 1 else len(data)
                self._read(data[start:end], said)
            start = end
        return said

    def _read(self, data: bytes, said: list[Said]) -> None:
        """Add what the events say that these bytes complete, read in the ordinary way."""
        self._is_between_events = False  # as after EventTooLarge
        for event in self._parser.feed(data):
            chat_events = self._decoder.decode(event)
            if self._runs:
                self._runs.learn(event, chat_events)
            said.append(Said(event, chat_events))
        self._is_between_events = self._parser.is_between_events
