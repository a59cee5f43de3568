"""Bodies read without httpcore, over real sockets: framing, and which connections are kept."""

from __future__ import annotations

import gzip
import os
import threading
import time
import zlib
from collections.abc import Callable

import pytest

from errors import UpstreamError
from tests.support.network.loopback_listener import PATIENCE_S
from tests.support.upstreams.exchanges import connect, failure, on_limit, read
from tests.support.upstreams.scripted_exchanges import (
    BODY,
    CHUNKED,
    EVENTS,
    GOOD,
    HEAD,
    Answer,
    ask,
    bodies_on,
    exchange_with,
)
from tests.support.upstreams.scripted_server import SILENT, ScriptedServer, chunked

pytestmark = pytest.mark.usefixtures("quick_backoff", "no_proxies")


# -- the head, and where the body begins ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_head_and_body_may_be_split_anywhere(size: int) -> None:
    segments: Answer = [GOOD[at : at + size] for at in range(0, len(GOOD), size)]
    with exchange_with(segments, [GOOD]) as (exchange, _):
        assert read(exchange) == BODY


@pytest.mark.parametrize("at", range(len(CHUNKED) - 5, len(CHUNKED) + 4))
def test_a_split_around_the_end_of_the_head_loses_nothing(at: int) -> None:
    with exchange_with([GOOD[:at], GOOD[at:]]) as (exchange, _):
        assert read(exchange) == BODY


@pytest.mark.parametrize("is_one_segment", [True, False])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_1xx_heads_before_the_answer_are_skipped(line_end: bytes, is_one_segment: bool) -> None:
    early = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]
    segments = [head.replace(b"\r\n", line_end) for head in (*early, CHUNKED)] + [chunked(*EVENTS)]
    with exchange_with([b"".join(segments)] if is_one_segment else list(segments)) as (exchange, _):
        assert read(exchange) == BODY


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"gzip", b"identity", b"gzip\r\ntransfer-encoding: chunked"]
)
def test_another_transfer_coding_is_an_error(coding: bytes) -> None:
    answer = HEAD + b"transfer-encoding: " + coding + b"\r\n\r\n" + chunked(*EVENTS)
    with exchange_with([answer]) as (exchange, _):
        assert failure(exchange).code == "upstream_unreadable"
        assert exchange.attempts == 1


@pytest.mark.fast_transport_only("it cannot tell a part of a head from no answer")
@pytest.mark.parametrize(
    "answer",
    [
        [b"\r\n" + GOOD],
        [b"SSH-2.0-OpenSSH_9.6\r\n", None],
        [b"HTTP/1.1 two hundred\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab"],
        [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nx: " + b"x" * 150_000],
        [CHUNKED[:-2], None],
    ],
)  # fmt: skip
def test_an_unreadable_head_is_an_error_and_not_retried(answer: Answer) -> None:
    with exchange_with(answer) as (exchange, _):
        assert failure(exchange).code == "upstream_unreadable"
        assert exchange.attempts == 1


def test_a_connection_that_closes_at_once_without_an_answer_is_retried() -> None:
    with exchange_with([None], [None], [GOOD]) as (exchange, _):
        assert read(exchange) == BODY
        assert exchange.attempts == 3


@pytest.mark.parametrize("answer", [[0.3, None], [CHUNKED, 0.3, None], [CHUNKED, 0.3, b"0\r\n\r\n"]])
def test_an_answer_that_ends_without_a_byte_after_a_while_is_not_retried(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstream.exchange.MAYBE_SERVED_AFTER_S", 0.1)
    with exchange_with(answer) as (exchange, _):
        assert failure(exchange).code in ("upstream_interrupted", "empty_stream")
        assert exchange.attempts == 1


# -- bodies and their connections ----------------------------------------------------------------------------


def length(size: int) -> bytes:
    return b"content-length: %d\r\n\r\n" % size


@pytest.mark.parametrize(
    "answer",
    [
        [HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(*EVENTS)],
        [CHUNKED.replace(b"1.1", b"1.0") + chunked(*EVENTS)],
        [HEAD.replace(b"1.1", b"1.0") + length(len(BODY)) + BODY],
        [HEAD + b"\r\n" + BODY, None],
        [HEAD.replace(b"1.1", b"1.0") + b"\r\n", *EVENTS, None],
        [GOOD, None],
    ],
)  # fmt: skip
def test_a_connection_to_be_closed_is_not_reused(answer: Answer) -> None:
    with ScriptedServer(answer, [GOOD]) as server:
        assert bodies_on(server, has_more_behind=True) == [BODY, BODY]
        assert server.connections == [1, 2]


@pytest.mark.fast_transport_only("it knows one class of broken chunks")
@pytest.mark.parametrize(
    "answer",
    [
        [CHUNKED + chunked(*EVENTS, end=b""), None],
        [CHUNKED + chunked(*EVENTS, end=b"0\r\n"), None],
        [CHUNKED + chunked(*EVENTS)[:-9], None],
        [CHUNKED + chunked(*EVENTS, end=b"zz\r\n")],
        [CHUNKED + chunked(*EVENTS, end=b"5\r\nhello!\r\n")],
        [CHUNKED + chunked(*EVENTS, end=b"5;" + b"x" * 100_000)],
        [CHUNKED + chunked(*EVENTS, end=b"0\r\n" + b"a: b\r\n" * 10_000)],
        [HEAD + length(len(BODY) + 1) + BODY, None],
    ],
)  # fmt: skip
def test_an_incomplete_or_malformed_body_is_interrupted_and_its_connection_dropped(answer: Answer) -> None:
    with ScriptedServer(answer, [GOOD]) as server:
        broken, body = bodies_on(server, has_more_behind=True)
        assert isinstance(broken, UpstreamError)
        assert (broken.code, broken.outcome) == ("upstream_interrupted", "truncated")
        assert body == BODY
        assert server.connections == [1, 2]


@pytest.mark.fast_transport_only("it drops the chunks before a broken one of the same read")
@pytest.mark.parametrize("is_one_segment", [True, False])
def test_the_events_before_a_malformed_chunk_arrive(is_one_segment: bool) -> None:
    good, bad = CHUNKED + chunked(*EVENTS, end=b""), b"zz\r\n"
    with exchange_with([good + bad] if is_one_segment else [good, bad]) as (exchange, _):
        exchange.open(on_limit)
        chunks = exchange.body.chunks()
        assert next(chunks) == BODY
        with pytest.raises(UpstreamError):
            next(chunks)


def test_an_unread_body_closes_its_connection() -> None:
    with ScriptedServer([CHUNKED + chunked(*EVENTS, end=b""), SILENT], [GOOD]) as server:
        client = connect(server.url)
        exchange = ask(client)
        exchange.open(on_limit)
        exchange.close()
        assert server.closed.wait(PATIENCE_S)
        assert read(ask(client)) == BODY
        client.close()
        assert server.connections == [1, 2]


@pytest.mark.parametrize(
    "body",
    [b"data: a\r\n\r\ndata: b\r\n\r\n", b"data: 0\r\n\r\n" * 3, b"\r\n\r\ndata: x\n\n", b"\n\ndata: \r\n\r"],
)
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("size", [1, 1000])
def test_blank_lines_in_a_body_do_not_end_it(body: bytes, framing: str, size: int) -> None:
    head, wire, end = {
        "chunked": (CHUNKED, chunked(body), b""),
        "length": (HEAD + length(len(body)), body, b""),
        "close": (HEAD + b"\r\n", body, None),
    }[framing]
    segments: Answer = [head, *(wire[at : at + size] for at in range(0, len(wire), size))]
    with exchange_with([*segments, end], [*segments, end]) as (exchange, _):
        assert read(exchange) == body


@pytest.mark.parametrize("framing", ["length", "close"])
def test_blank_lines_in_a_body_that_httpcore_reads_take_linear_time(framing: str) -> None:
    body = b"data: x\n\n" + b"\r\n" * 500_000
    head = HEAD + (length(len(body)) if framing == "length" else b"\r\n")
    with exchange_with([head, body, None]) as (exchange, _):
        started_at = time.process_time()
        assert read(exchange) == body
        assert time.process_time() - started_at < 2


@pytest.mark.fast_transport_only("it gives each chunk by itself")
def test_each_read_of_a_body_is_one_item_and_arrives_at_once() -> None:
    more = threading.Event()
    with exchange_with([CHUNKED, chunked(*EVENTS[:2], end=b""), more, chunked(EVENTS[2])]) as (exchange, _):
        exchange.open(on_limit)
        chunks = exchange.body.chunks()
        assert next(chunks) == EVENTS[0] + EVENTS[1]
        more.set()
        assert list(chunks) == [EVENTS[2]]


def test_a_large_body_arrives_unchanged() -> None:
    body = b"data: " + os.urandom(3_000_000).hex().encode() + b"\n\n"
    wire = chunked(*(body[at : at + 70_001] for at in range(0, len(body), 70_001)))
    with exchange_with([CHUNKED + wire]) as (exchange, _):
        assert read(exchange) == body


# -- unrequested compression ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (b"gzip", gzip.compress),
        (b"X-GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", lambda body: zlib.compress(body, wbits=-15)),
        (b"Deflate", lambda body: zlib.compress(body, wbits=-15)),
        (b"Identity", lambda body: body),
        (b"", lambda body: body),
    ],
)
def test_a_compressed_body_is_decompressed_and_its_connection_kept(
    encoding: bytes, compress: Callable[[bytes], bytes]
) -> None:
    head = HEAD + b"content-encoding: " + encoding + b"\r\n"
    wire = compress(BODY)
    framed = chunked(wire[:1], wire[1:])
    answers: list[Answer] = [
        [head + b"transfer-encoding: chunked\r\n\r\n" + framed],
        [head + length(len(wire)) + wire],
    ]
    with ScriptedServer(*answers, *answers) as server:
        assert bodies_on(server, 4) == [BODY] * 4
        assert server.connections == [1] * 4


@pytest.mark.parametrize("status", [401, 429, 503])
def test_the_status_of_an_error_counts_whatever_its_encoding(status: int) -> None:
    answer = b"HTTP/1.1 %d Error\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\n\x0b\x02\x80{}" % status
    with exchange_with([answer], upstream_retries=1) as (exchange, _):
        error = failure(exchange)
        assert error.code == {401: "upstream_auth_failed", 429: "upstream_rate_limited"}.get(
            status, "upstream_error"
        )
        assert error.body is None
        assert exchange.attempts == (1 if status == 401 else 2)


def test_an_unknown_encoding_of_an_answer_is_refused() -> None:
    answer = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: br\r\n\r\n") + chunked(b"\x0b\x02\x80{}")
    with exchange_with([answer]) as (exchange, _):
        error = failure(exchange)
        assert (error.code, exchange.attempts) == ("not_event_stream", 1)
        assert "content-encoding br" in error.message


# -- the socket by itself ------------------------------------------------------------------------------------
