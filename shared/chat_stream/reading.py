"""Reads a streamed answer: bytes in, events out, each with its chat events and its bytes (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from chat_stream.dialects.dialect import EventDecoder
from chat_stream.dialects.event_payloads import payloads_in
from chat_stream.events import ChatEvent, TextDelta
from chat_stream.sse import MAX_EVENT_BYTES, EventStreamParser, ServerSentEvent


class DecodedEvent(NamedTuple):
    """One event with its chat events, or a run of events that hold nothing but text."""

    event: ServerSentEvent
    """For a run: the bytes of all its events; `data` is empty."""
    chat_events: Sequence[ChatEvent]
    deltas: int = 1
    """The number of deltas that each chat event stands for."""


_new_decoded_event = partial(tuple.__new__, DecodedEvent)  # the same as DecodedEvent(…), in half the time


def last_events(parser: EventStreamParser) -> list[ServerSentEvent]:
    """The last event of a complete body, if only its blank line is missing; [] if it was cut off.

    An event is complete if its data is JSON or the sentinel. So is an error event whose data is plain text.
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
    """Reads one stream, in pieces of any size."""

    def __init__(self, decoder: EventDecoder, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._parser = EventStreamParser(max_event_bytes)
        self._max_event_bytes = max_event_bytes
        self._decoder = decoder
        self._runs = decoder.text_runs
        self._is_between_events = False
        self._has_read_all = False

    @property
    def rest(self) -> bytes:
        """The bytes after the last event, unless `end` has read them as an event."""
        return b"" if self._has_read_all else self._parser.rest

    def end(self) -> list[DecodedEvent]:
        """The last event of a complete body, if only its blank line is missing; [] if there is none."""
        events = last_events(self._parser)
        self._has_read_all = bool(events)
        return [DecodedEvent(event, self._decoder.decode(event)) for event in events]

    def feed(self, data: bytes) -> list[DecodedEvent]:
        """Take the next bytes of the stream and return the events that they complete.

        Raises EventTooLargeError, as EventStreamParser does.
        """
        results: list[DecodedEvent] = []
        # A longer read may hold an event that is too large, which only the parser notices.
        runs = self._runs if len(data) <= self._max_event_bytes else None
        start = 0
        while start < len(data):
            run = runs.take(data, start) if runs and self._is_between_events else None
            if run is not None:
                end, text, deltas = run
                raw = data[start:end]
                results.append(
                    _new_decoded_event((self._parser.event_of(raw), (TextDelta(0, text),), deltas))
                )
            else:
                end = data.find(b"\n\ndata: ", start) + 2 if runs and runs.may_follow else 0
                end = end if end > 1 else len(data)
                self._read(data[start:end], results)
            start = end
        return results

    def _read(self, data: bytes, results: list[DecodedEvent]) -> None:
        """Parse these bytes, decode each event that they complete, and append it to `results`."""
        self._is_between_events = False  # stays so if the parser raises EventTooLargeError
        for event in self._parser.feed(data):
            chat_events = self._decoder.decode(event)
            if self._runs:
                self._runs.learn(event, chat_events)
            results.append(DecodedEvent(event, chat_events))
        self._is_between_events = self._parser.is_between_events
