"""Read an answer the plain way, parsing and decoding each event: every other reading must equal this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.dialects.dialect import EventDecoder
from chat_stream.events import ChatEvent, TextDelta
from chat_stream.reading import AnswerReader, Said
from chat_stream.sse import EventStreamParser, EventTooLarge, ServerSentEvent

Decoded = tuple[ServerSentEvent, Sequence[ChatEvent]]

_Read = TypeVar("_Read", Said, Decoded)


class PlainReader:
    """The reference for AnswerReader: it reads event by event."""

    def __init__(self, decoder: EventDecoder) -> None:
        self._parser = EventStreamParser()
        self._decoder = decoder

    @property
    def rest(self) -> bytes:
        return self._parser.rest

    def feed(self, data: bytes) -> list[Decoded]:
        return [(event, self._decoder.decode(event)) for event in self._parser.feed(data)]


def check_reading(reads: Iterable[bytes], decoder: Callable[[], EventDecoder] = ChatCompletionDecoder) -> int:
    """Assert that both readers give the same for each read. Returns the number of events read in runs."""
    reader, plain = AnswerReader(decoder()), PlainReader(decoder())
    in_runs = 0
    for data in reads:
        said, expected = _fed(reader, data), _fed(plain, data)
        assert (said is None) == (expected is None), "only one of the readers finds an event too large"
        if said is None or expected is None:
            continue
        left = iter(expected)
        for one in said:
            in_runs += _check_said(one, left)
        assert next(left, None) is None, "an event was lost"
        assert reader.rest == plain.rest
    return in_runs


class _Reader(Protocol[_Read]):
    def feed(self, data: bytes) -> list[_Read]: ...


def _fed(reader: _Reader[_Read], data: bytes) -> list[_Read] | None:
    """The result of the read; None if an event is too large."""
    try:
        return reader.feed(data)
    except EventTooLarge:
        return None


def _check_said(said: Said, expected: Iterator[Decoded]) -> int:
    """Assert that it equals the next events. Returns the number of events in its run, 0 if it is not one."""
    events: list[Decoded] = []
    while sum(len(event.raw) for event, _ in events) < len(said.event.raw):
        one_more = next(expected, None)
        assert one_more is not None, "bytes were invented"
        events.append(one_more)
    if said == (*events[0], 1):  # an event that is not part of a run
        return 0
    assert b"".join(event.raw for event, _ in events) == said.event.raw
    for event, _ in events:
        assert event._replace(data="", raw=said.event.raw) == said.event
    texts = []
    for chat_event in (chat_event for _, chat_events in events for chat_event in chat_events):
        assert isinstance(chat_event, TextDelta)
        assert chat_event.choice == 0
        texts.append(chat_event.text)
    assert said.deltas == len(texts) > 0
    assert list(said.chat_events) == [TextDelta(0, "".join(texts))]
    return len(events)
