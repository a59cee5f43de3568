"""The event stream parser against test vectors, a reference implementation, and its size limit."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat_stream.sse import (
    MAX_EVENT_BYTES,
    EventStreamParser,
    EventTooLargeError,
    ServerSentEvent,
    with_blank_line,
)
from tests.support.conformance_cases import SPLIT_SIZES, SseVector, cuts, split, split_at, sse_vectors

VECTORS = sse_vectors()
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])


def events_of(vector: SseVector) -> list[tuple[str, str, str, int | None]]:
    return [(event["event"], event["data"], event["id"], event["retry"]) for event in vector.expected]


def check(vector: SseVector, reads: list[bytes]) -> None:
    parser = EventStreamParser()
    events = [event for read in reads for event in parser.feed(read)]
    assert [event[:4] for event in events] == events_of(vector)
    assert parser.last_event_id == vector.last_event_id
    assert parser.reconnection_time_ms == vector.reconnection_time_ms
    assert b"".join(event.raw for event in events) + parser.rest == vector.body


def test_there_are_vectors() -> None:
    assert len(VECTORS) == 94


@each_vector
def test_vector_is_parsed_as_the_standard_says(vector: SseVector) -> None:
    for size in SPLIT_SIZES:
        check(vector, list(split(vector.body, size)))
    # Each event is returned by the feed that completes it.
    parser = EventStreamParser()
    delivered = [offset for offset, read in enumerate(split(vector.body, 1), 1) for _ in parser.feed(read)]
    assert delivered == vector.deliver_by_offset


@given(st.sampled_from([vector for vector in VECTORS if len(vector.body) < 4096]), st.data())
def test_vector_is_parsed_as_the_standard_says_however_it_is_cut(
    vector: SseVector, data: st.DataObject
) -> None:
    check(vector, split_at(vector.body, data.draw(cuts(len(vector.body)))))


# A slow but obviously correct reference: decode everything, normalize line ends, follow the standard.


def reference_events(body: bytes) -> list[tuple[str, str, str, int | None]]:
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _unterminated = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    events: list[tuple[str, str, str, int | None]] = []
    data = event_type = last_event_id = ""
    retry: int | None = None
    for line in lines:
        if line == "":
            if data != "":
                events.append((event_type or "message", data.removesuffix("\n"), last_event_id, retry))
            data = event_type = ""
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                event_type = value
            elif field == "data":
                data += value + "\n"
            elif field == "id" and "\0" not in value:
                last_event_id = value
            elif field == "retry" and value != "" and all(digit in "0123456789" for digit in value):
                retry = int(value)
    return events


PIECES = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b":", b" ", b"\0", b"7", b"x"),
    *(
        b"data", b"data: ", b"data:x\n\n", b"data: {}\n\n", b"event", b"event: e", b"id", b"id: 1",
        b"retry: 12",
    ),
    *(
        b"\xef\xbb\xbf", b"\xef", b"\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xf0\x9f", b"\xff", b"\xc3",
        b"\xe2\x80\xa8",
    ),
]  # fmt: skip
bodies = st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=40).map(b"".join)


@given(bodies, st.data())
@example(b"data: a\r\n\r\ndata: b\n\n", None)
def test_any_bytes_in_any_split_are_parsed_as_by_the_reference(
    body: bytes, data: st.DataObject | None
) -> None:
    reads = split_at(body, data.draw(cuts(len(body)))) if data else list(split(body, 1))
    parser = EventStreamParser()
    events = [event for read in reads for event in parser.feed(read)]
    assert [event[:4] for event in events] == reference_events(body)
    assert b"".join(event.raw for event in events) + parser.rest == body


def test_line_feed_of_a_split_crlf_belongs_to_the_next_raw() -> None:
    parser = EventStreamParser()
    [first] = parser.feed(b"data: a\r\n\r")
    assert first.raw == b"data: a\r\n\r"
    assert parser.feed(b"\n") == []
    assert parser.rest == b"\n"
    [second] = parser.feed(b"data: b\n\n")
    assert second == ServerSentEvent(event="message", data="b", id="", retry=None, raw=b"\ndata: b\n\n")


def test_comments_and_empty_blocks_belong_to_the_raw_of_the_next_event() -> None:
    parser = EventStreamParser()
    assert parser.feed(b": hello\n\nretry: 5\n\n") == []
    [event] = parser.feed(b"event: e\ndata: x\n\n: bye")
    assert event.raw == b": hello\n\nretry: 5\n\nevent: e\ndata: x\n\n"
    assert parser.rest == b": bye"


@pytest.mark.parametrize("digits", [b"1" * 19, b"9" * 5000])
def test_absurdly_long_reconnection_time_is_ignored(digits: bytes) -> None:
    parser = EventStreamParser()
    parser.feed(b"retry: 7\nretry: " + digits + b"\ndata: x\n\n")
    assert parser.reconnection_time_ms == 7


ENDLESS = {
    "one line": b"data: " + b"x" * 4090,
    "comments": b": " + b"x" * 62 + b"\n",
    "comment blocks": b": " + b"x" * 61 + b"\n\n",
    "data lines": b"data: " + b"x" * 57 + b"\n",
    "blocks without data": b"event: " + b"x" * 55 + b"\n\n",
    "carriage returns": b": " + b"x" * 61 + b"\r",
}


@pytest.mark.parametrize("unit", ENDLESS.values(), ids=ENDLESS.keys())
def test_event_of_16_mib_is_read_and_a_larger_one_refused(unit: bytes) -> None:
    parser = EventStreamParser()
    filler = (unit * (64 * 1024 // len(unit) + 1))[: 64 * 1024]
    for _ in range(MAX_EVENT_BYTES // len(filler)):
        assert parser.feed(filler) == []
    assert len(parser.rest) == MAX_EVENT_BYTES
    with pytest.raises(EventTooLargeError, match="16777216 bytes"):
        parser.feed(b":")
    with pytest.raises(EventTooLargeError):
        parser.feed(b"\n\ndata: x\n\n")


@pytest.mark.parametrize("event", [b"data: x\n\n", b"data: x\n\nid: 1\n\n", b"id: 1\r\rdata\n\n"])
def test_every_feed_after_a_refusal_is_refused(event: bytes) -> None:
    parser = EventStreamParser(max_event_bytes=100)
    with pytest.raises(EventTooLargeError):
        parser.feed(b"data: x\n\nid: 1\ndata: " + b"x" * 100 + b"\n\ndata: y\r\n\r\n")
    for _ in range(5):
        with pytest.raises(EventTooLargeError):
            parser.feed(event)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("head", [b"", b": c\n", b"data: x\n\n"])
def test_size_limit_counts_every_byte_since_the_end_of_the_last_event(head: bytes, whole: bool) -> None:
    def feed(event_bytes: int) -> list[ServerSentEvent]:
        counted = len(head) if head.startswith(b":") else 0
        body = head + b"data: " + b"x" * (event_bytes - counted - 8) + b"\n\n"
        parser = EventStreamParser(max_event_bytes=100)
        return [event for read in split(body, None if whole else 1) for event in parser.feed(read)]

    assert len(feed(100)[-1].raw) == 100
    with pytest.raises(EventTooLargeError):
        feed(101)


def test_size_limit_is_per_event_and_not_per_stream() -> None:
    parser = EventStreamParser(max_event_bytes=100)
    assert len(parser.feed(b"data: x\n\n" * 1000)) == 1000
    assert len(parser.feed(b"event: e\ndata: x\n\n" * 1000)) == 1000


def feeding_time_s(read: bytes, times: int) -> float:
    """The best of three measurements, since the machine may be busy."""

    def run() -> float:
        parser = EventStreamParser()
        started = time.process_time()
        for _ in range(times):
            parser.feed(read)
        return time.process_time() - started

    return min(run() for _ in range(3))


@pytest.mark.parametrize(
    ("read", "times"),
    [
        pytest.param(b"x", 20_000, id="a line byte by byte"),
        pytest.param(b"\n", 20_000, id="blank lines byte by byte"),
        pytest.param(b"x" * 64 * 1024, 60, id="a line in reads of 64 KiB"),
        pytest.param(b": x\n\n" * 400, 60, id="comments"),
        pytest.param(b"data: x\n" * 400, 60, id="data lines"),
        pytest.param(b"data: x\r" * 400, 60, id="data lines ended by CR"),
    ],
)
def test_time_grows_linearly_with_the_size_of_an_event(read: bytes, times: int) -> None:
    # Four times the size takes 4 times as long if time is linear and 16 times if it is quadratic.
    assert feeding_time_s(read, 4 * times) < 10 * feeding_time_s(read, times) + 0.005


# -- the end of a complete body ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize(
    "begin", [b"", b"\xef\xbb\xbf", b"data: 1\n\n", b"id: 7\rdata: 1\r\r", b"data: 1\r\n\r\n"]
)
@pytest.mark.parametrize("size", SPLIT_SIZES)
def test_end_returns_the_last_event_without_its_blank_line(
    begin: bytes, ending: bytes, size: int | None
) -> None:
    last = b": c\nevent: error\nid: 8\ndata: a\ndata: b" + ending
    parser, closed = EventStreamParser(), EventStreamParser()
    events = [event for read in split(begin + last, size) for event in parser.feed(read)]
    rest = parser.rest
    end = parser.end()
    [*before, whole] = closed.feed(with_blank_line(begin + last))
    assert end is not None
    # The LF of a CRLF that was split over two reads belongs to the next event.
    assert with_blank_line(rest).removeprefix(b"\n") == whole.raw
    assert [one._replace(raw=b"") for one in (*events, end)] == [
        one._replace(raw=b"") for one in (*before, whole)
    ]
    assert parser.rest == rest == end.raw
    assert closed.rest == b""


@pytest.mark.parametrize(
    "stream", [b"", b"data: 1\n\n", b"data: 1\n\n: comment\n", b"event: x", b"id: 1\n\n"]
)
def test_end_returns_none_if_no_event_is_open(stream: bytes) -> None:
    parser = EventStreamParser()
    parser.feed(stream)
    assert parser.end() is None


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\r\r\n", b"\n\r"])
def test_blank_line_is_added_only_if_missing(blank: bytes) -> None:
    assert with_blank_line(b"data: 1" + blank) == b"data: 1" + blank
