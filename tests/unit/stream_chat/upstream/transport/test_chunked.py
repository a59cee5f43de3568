"""The chunked coding; h11 is the oracle for what a valid body is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from upstream.transport.chunked import LAST_CHUNK, MAX_HEAD_BYTES, ChunkedDecoder, MalformedChunksError

SIZE_FORMS = (b"%x", b"%X", b"000%x", b"%020x")
EXTENSIONS = (b"", b";name", b"; name=value", b';name="va;lue"', b" ", b"\t")
TRAILERS = (b"", b"x-checksum: 1\r\n", b"a:\r\nb: 2\r\n", b"a: 1\n")

bodies = st.binary(max_size=80) | st.sampled_from(
    (b"\r\n", b"0\r\n\r\n", b"data: x\r\n\r\n", b"\n\n", b"5\r\nhello\r\n")
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body and its chunked form."""
    pieces = draw(st.lists(bodies.filter(bool), max_size=6))
    wire = b"".join(
        draw(st.sampled_from(SIZE_FORMS)) % len(piece)
        + draw(st.sampled_from(EXTENSIONS))
        + b"\r\n"
        + piece
        + b"\r\n"
        for piece in pieces
    )
    last = draw(st.sampled_from((b"0", b"000", b"0;name")))
    end = draw(st.sampled_from(TRAILERS)) + draw(st.sampled_from((b"\r\n", b"\n")))
    return b"".join(pieces), wire + last + b"\r\n" + end


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in arbitrary reads."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=12)) if data else []
    edges = [0, *sorted(set(cuts) - {0, len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def decoded(reads: Iterable[bytes]) -> tuple[bytes, bool, bytes]:
    """The body, whether it has ended, and the bytes after it."""
    decoder, body, excess = ChunkedDecoder(), b"", b""
    for read in reads:
        if decoder.ended:
            excess += read
        else:
            body += decoder.feed(read)
    return body, decoder.ended, decoder.excess + excess


def decoded_by_h11(wire: bytes) -> tuple[bytes, bool, bytes] | None:
    """The same, decoded by h11; None if h11 rejects it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + wire)
    body, ended = b"", False
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                ended = True
            elif event in (h11.NEED_DATA, h11.PAUSED):
                return body, ended, connection.trailing_data[0] if ended else b""
    except h11.RemoteProtocolError:
        return None


def verdict(reads: Iterable[bytes]) -> tuple[bytes, bool, bytes] | None:
    try:
        return decoded(reads)
    except MalformedChunksError:
        return None


@given(
    data=st.data(),
    coded=chunked_bodies(),
    excess=st.sampled_from((b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"x")),
)
def test_any_body_is_decoded_from_any_chunks_and_reads(
    data: st.DataObject, coded: tuple[bytes, bytes], excess: bytes
) -> None:
    body, wire = coded
    assert decoded_by_h11(wire + excess) == (body, True, excess)
    assert decoded([wire + excess]) == (body, True, excess)
    assert decoded(byte_by_byte(wire + excess)) == (body, True, excess)
    assert decoded(data.draw(splits(wire + excess))) == (body, True, excess)


@given(data=st.data(), coded=chunked_bodies())
def test_an_incomplete_body_yields_what_arrived_and_no_end(
    data: st.DataObject, coded: tuple[bytes, bytes]
) -> None:
    body, wire = coded
    at = data.draw(st.integers(0, len(wire) - 1))
    part, ended, excess = decoded(data.draw(splits(wire[:at])))
    assert not ended
    assert excess == b""
    assert decoded_by_h11(wire[:at]) == (part, False, b"")
    assert body.startswith(part)


@given(
    data=st.data(),
    wire=st.lists(
        st.sampled_from([b"5", b"0", b"A", b"\r", b"\n", b"\r\n", b";", b" ", b"x", b":", b"hello"]),
        max_size=14,
    ).map(b"".join),
)
@example(data=None, wire=b"5\r\nhello0\r\n\r\n")
@example(data=None, wire=b"5\r\nhello\n0\r\n\r\n")
def test_every_accepted_body_is_decoded_as_by_h11(data: st.DataObject | None, wire: bytes) -> None:
    reads = data.draw(splits(wire)) if data else byte_by_byte(wire)
    found = verdict(reads)
    assert found == verdict([wire])
    theirs = decoded_by_h11(wire)
    if found is not None and found[1] and theirs is not None:
        assert found == theirs
    assert found is not None or theirs is None or not theirs[1]
    if theirs is None and found is not None and found[1]:
        # h11 rejects white space before an extension (the standard's BWS) and trailers with unusual names.
        assert b" ;" in wire or b":" in wire


@pytest.mark.parametrize("split", [lambda wire: [wire], byte_by_byte])
@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n", b"x\r\nhello\r\n", b"0x5\r\nhello\r\n", b"-5\r\nhello\r\n", b"+5\r\nhello\r\n",
        b" 5\r\nhello\r\n", b"5_0\r\nhello\r\n", b"5 5\r\nhello\r\n", b"5,\r\nhello\r\n", b"5\nhello\r\n",
        b"5\rhello\r\n", b";name\r\nhello\r\n", b"5;na\nme\r\nhello\r\n", b"5\r\nhello5\r\nhello\r\n",
        b"5\r\nhello\n5\r\nhello\r\n", b"5\r\nhello\r5\r\nhello\r\n", b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello\r\n\r\n", b"fffffffffffffffffffff\r\nhello",
        b"<html><body>502 Bad Gateway</body></html>\r\n", b"data: {}\n\n", b"0\r\nHTTP/1.1 200 OK\r\n",
        b"0\n\n",
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused(wire: bytes, split: Callable[[bytes], list[bytes]]) -> None:
    with pytest.raises(MalformedChunksError):
        decoded(split(wire))


@pytest.mark.parametrize(
    "bad", [b"zz\r\n", b"5\r\nhello!", b"0\r\nno trailer\r\n", b"0\r\na:" + b"x" * 100_000]
)
def test_body_bytes_before_an_error_are_not_lost(bad: bytes) -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"3\r\na") == b"a"
    with pytest.raises(MalformedChunksError) as raised:
        decoder.feed(b"bc\r\n3\r\ndef\r\n" + bad)
    assert raised.value.decoded == b"bcdef" + (b"hello" if b"hello" in bad else b"")


def test_garbage_is_refused_before_its_line_ends() -> None:
    with pytest.raises(MalformedChunksError):
        ChunkedDecoder().feed(b"<!doctype")


@pytest.mark.parametrize("size", [b"f" * 20, b"7fffffffffffffff", b"8000000000000000", b"10000000000000000"])
def test_a_giant_size_reserves_no_memory(size: bytes) -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(size + b"\r\nhe") == b"he"
    assert decoder.feed(b"llo") == b"llo"
    assert not decoder.ended


def test_an_incomplete_chunk_is_returned_as_it_arrives() -> None:
    decoder = ChunkedDecoder()
    assert [decoder.feed(read) for read in (b"5\r\nhe", b"l", b"lo\r", b"\n")] == [b"he", b"l", b"lo", b""]
    assert (decoder.feed(LAST_CHUNK), decoder.ended, decoder.excess) == (b"", True, b"")


@pytest.mark.parametrize("pieces", [1, 1000])
@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"5;", b"x" * 100),
        (b"0\r\na: ", b"x" * 100),
        (b"0\r\n", b"a: 1\r\n" * 20),
        (b"5\r\nhello\r\n5 ", b" " * 100),
    ],
)
def test_endless_heads_and_trailers_are_refused_at_the_limit(
    start: bytes, endless: bytes, pieces: int
) -> None:
    wire = [start, *[endless] * 1000] if pieces > 1 else [start + endless * 1000]
    taken: list[bytes] = []
    with pytest.raises(MalformedChunksError):
        decoded(taken.append(read) or read for read in wire)  # type: ignore[func-returns-value]
    assert sum(map(len, taken[:-1])) <= MAX_HEAD_BYTES + len(start)


def test_long_heads_and_trailers_within_the_limit_are_accepted() -> None:
    wire = b"5;" + b"x" * (MAX_HEAD_BYTES // 2) + b"\r\nhello\r\n0\r\n" + b"a: 1\r\n" * 1000 + b"\r\n"
    assert decoded([wire]) == (b"hello", True, b"")
    assert decoded(byte_by_byte(wire)) == (b"hello", True, b"")


def _seconds(reads: list[bytes]) -> float:
    decoder = ChunkedDecoder()
    started_at = time.process_time()
    for read in reads:
        decoder.feed(read)
    return time.process_time() - started_at


@pytest.mark.parametrize(
    "reads_of",
    [
        lambda n: [b"1\r\nx\r\n" * n],  # one read of tiny chunks
        lambda n: [b"1\r\nx\r\n"] * n,
        lambda n: byte_by_byte(b"1\r\nx\r\n" * (n // 6)),
        lambda n: [b"%x\r\n" % (n * 10), *[b"x" * 10] * n],  # one chunk in tiny reads
        lambda n: byte_by_byte((b"1;" + b"e" * 500 + b"\r\nx\r\n") * (n // 2000)),
    ],
    ids=["tiny-chunks", "tiny-reads", "bytes", "one-chunk", "extensions"],
)
def test_decoding_takes_linear_time(reads_of: Callable[[int], list[bytes]]) -> None:
    few, many = reads_of(20_000), reads_of(160_000)
    took = min(_seconds(few) for _ in range(3))
    assert _seconds(many) < 8 * 3 * took + 0.05


def test_many_short_trailer_lines_in_one_read_are_refused_quickly() -> None:
    decoder = ChunkedDecoder()
    started_at = time.process_time()
    with pytest.raises(MalformedChunksError):
        decoder.feed(b"0\r\n" + b":\n" * 500_000)
    assert time.process_time() - started_at < 1
