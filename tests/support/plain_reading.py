"""A plain reader, which parses and decodes each event; AnswerReader must give the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.dialects.dialect import EventDecoder
from chat_stream.events import ChatEvent, TextDelta
from chat_stream.reading import AnswerReader, DecodedEvent
from chat_stream.sse import EventStreamParser, EventTooLargeError, ServerSentEvent

Decoded = tuple[ServerSentEvent, Sequence[ChatEvent]]

_Read = TypeVar("_Read", DecodedEvent, Decoded)


class PlainReader:
    """Reads a stream as AnswerReader does, but decodes every event."""

    def __init__(self, decoder: EventDecoder) -> None:
        self._parser = EventStreamParser()
        self._decoder = decoder

    @property
    def rest(self) -> bytes:
        return self._parser.rest

    def feed(self, data: bytes) -> list[Decoded]:
        return [(event, self._decoder.decode(event)) for event in self._parser.feed(data)]


def check_reading(reads: Iterable[bytes], decoder: Callable[[], EventDecoder] = ChatCompletionDecoder) -> int:
    """Assert that both readers give the same for each read; return the number of events read in runs."""
    reader, plain = AnswerReader(decoder()), PlainReader(decoder())
    in_runs = 0
    for data in reads:
        results, expected = _fed(reader, data), _fed(plain, data)
        assert (results is None) == (expected is None), "only one reader finds an event too large"
        if results is None or expected is None:
            continue
        left = iter(expected)
        for result in results:
            in_runs += _check_decoded(result, left)
        assert next(left, None) is None, "an event was lost"
        assert reader.rest == plain.rest
    return in_runs


class _Reader(Protocol[_Read]):
    def feed(self, data: bytes) -> list[_Read]: ...


def _fed(reader: _Reader[_Read], data: bytes) -> list[_Read] | None:
    """The events of a read; None if one is too large."""
    try:
        return reader.feed(data)
    except EventTooLargeError:
        return None


def _check_decoded(decoded: DecodedEvent, expected: Iterator[Decoded]) -> int:
    """Assert that an event or run equals the next plain events; return the run's number of events, else 0."""
    events: list[Decoded] = []
    while sum(len(event.raw) for event, _ in events) < len(decoded.event.raw):
        one_more = next(expected, None)
        assert one_more is not None, "bytes were invented"
        events.append(one_more)
    if decoded == (*events[0], 1):  # not a run
        return 0
    assert b"".join(event.raw for event, _ in events) == decoded.event.raw
    for event, _ in events:
        assert event._replace(data="", raw=decoded.event.raw) == decoded.event
    texts = []
    for chat_event in (chat_event for _, chat_events in events for chat_event in chat_events):
        assert isinstance(chat_event, TextDelta)
        assert chat_event.choice == 0
        texts.append(chat_event.text)
    assert decoded.deltas == len(texts) > 0
    assert list(decoded.chat_events) == [TextDelta(0, "".join(texts))]
    return len(events)
