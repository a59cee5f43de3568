"""Bodies with status 200, their kinds and their compression; respx stands in for the upstream."""

from __future__ import annotations

import gzip
import time
from typing import Any

import pytest

from errors import RelayError, UpstreamError
from tests.support.upstreams.exchanges import HELLO, HELLO_BYTES, StartExchange, failure, on_limit, read
from tests.support.upstreams.replay_upstream import DONE, completion, event
from tests.support.upstreams.respx_answers import BREAKS, json_answer, stream


@pytest.mark.parametrize("error", [None, *BREAKS])
def test_an_empty_answer_is_retried(start: StartExchange, error: Any) -> None:
    exchange = start(stream([], error=error), stream([b"\n\n"], error=error), stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 3


def test_an_answer_that_stays_empty_is_an_error(start: StartExchange) -> None:
    assert failure(start(stream([]))).code == "empty_stream"


@pytest.mark.parametrize("error", BREAKS)
def test_an_answer_that_breaks_off_is_not_retried(start: StartExchange, error: Any) -> None:
    exchange = start(stream([event("Hel")], error=error))
    error = failure(exchange)
    assert (error.code, error.outcome, exchange.attempts) == ("upstream_interrupted", "truncated", 1)


def test_html_with_status_200_is_a_configuration_error_and_not_retried(start: StartExchange) -> None:
    exchange = start(stream([b"<!doctype html><h1>Welcome</h1>"], headers={"content-type": "text/html"}))
    error = failure(exchange)
    assert (error.status, error.code, exchange.attempts) == (502, "not_event_stream", 1)
    assert "text/html" in error.message
    assert "Welcome" not in error.message


def test_html_with_the_type_of_events_is_detected(start: StartExchange) -> None:
    assert failure(start(stream([b"\n<html>"]))).code == "not_event_stream"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_with_a_wrong_type_are_read_as_events(start: StartExchange, size: int) -> None:
    pieces = [HELLO_BYTES[at : at + size] for at in range(0, len(HELLO_BYTES), size)]
    exchange = start(stream(pieces, headers={"content-type": "text/plain"}))
    assert read(exchange) == HELLO_BYTES
    assert not exchange.body.is_document


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_completion_is_detected_by_its_body(start: StartExchange, content_type: str) -> None:
    exchange = start(json_answer(completion("Hello"), content_type=content_type))
    exchange.open(on_limit)
    assert exchange.body.is_document
    assert b"Hello" in exchange.read_document()


def test_events_instead_of_a_document_are_detected(start: StartExchange) -> None:
    exchange = start(stream(HELLO), streamed=False)
    assert read(exchange) == HELLO_BYTES
    assert not exchange.body.is_document


def test_a_completion_over_the_limit_is_an_error(
    start: StartExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstream.body.answer_body.MAX_DOCUMENT_BYTES", 100)
    exchange = start(json_answer(completion("Hello" * 100)), streamed=False)
    exchange.open(on_limit)
    with pytest.raises(UpstreamError, match="too large"):
        exchange.read_document()


def test_a_broken_compression_is_an_interruption(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    exchange = start(stream([b"\x1f\x8bnot really gzip", DONE], headers=headers))
    assert (failure(exchange).code, exchange.attempts) == ("upstream_interrupted", 1)


def test_a_cut_ends_a_body_with_buffered_data(start: StartExchange) -> None:
    exchange = start(stream([gzip.compress(b"data: " + bytes(1_000_000))]))
    exchange.open(on_limit)
    chunks = exchange.body.chunks()
    next(chunks)
    next(chunks)
    exchange.limits.cut(RelayError(504, "deadline_exceeded", "late"))
    with pytest.raises(RelayError, match="late"):
        next(chunks)


def test_double_compression_is_refused_and_not_decompressed(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip, gzip"}
    twice = gzip.compress(gzip.compress(HELLO_BYTES))
    assert failure(start(stream([twice], headers=headers))).code == "not_event_stream"


TEXT_CODINGS = [
    "none", "utf-8", "UTF-8", "aws-chunked", "binary", "", "identity", "made-up", "br", "gzip", "deflate",
]  # fmt: skip


CODINGS = [(coding, False) for coding in (*TEXT_CODINGS, "identity, none", "gzip, br")]
CODINGS += [
    (coding, True) for coding in (*TEXT_CODINGS[:-3], "identity, gzip", "gzip, identity", "aws-chunked, GZIP")
]


@pytest.mark.parametrize(("coding", "is_packed"), CODINGS)
def test_the_bytes_decide_whether_they_are_decompressed_whatever_the_content_encoding(
    start: StartExchange, coding: str, is_packed: bool
) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": coding}
    plain = HELLO_BYTES if is_packed else b"\xef\xbb\xbf\r\n" + HELLO_BYTES
    body = gzip.compress(plain) if is_packed else plain
    for size in (1, 1000):
        exchange = start(stream([body[at : at + size] for at in range(0, len(body), size)], headers=headers))
        assert (read(exchange), exchange.attempts) == (plain, 1)


def test_undeclared_gzip_is_decompressed(start: StartExchange) -> None:
    assert read(start(stream([gzip.compress(HELLO_BYTES)]))) == HELLO_BYTES


def test_endless_blank_bytes_are_an_empty_answer(start: StartExchange) -> None:
    blanks = [b"\n" * 16384] * 64
    assert failure(start(stream(blanks), upstream_retries=0)).code == "empty_stream"


def test_blank_bytes_one_by_one_take_linear_time(start: StartExchange) -> None:
    blanks = (b" ",) * 60_000
    exchange = start(stream([blanks, b"{}"]), streamed=False)
    started_at = time.process_time()
    assert read(exchange) == b" " * 60_000 + b"{}"
    assert time.process_time() - started_at < 3
