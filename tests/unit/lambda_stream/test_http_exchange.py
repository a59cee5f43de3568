"""Parsing of HTTP answers, whatever pieces they arrive in: each case is fed whole and in small pieces."""

from __future__ import annotations

import pytest

from lambda_stream.http_exchange import (
    MAX_HEAD_BYTES,
    HttpAnswer,
    HttpConnection,
    MalformedResponseError,
    NoResponseError,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "sized": (b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", 202, b"{}"),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", 200, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "without a reason": (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    "chunked": (CHUNKED + b"3\r\nabc\r\n0a;ext=1\r\n0123456789\r\n0\r\n\r\n", 200, b"abc0123456789"),
    "chunked with a trailer": (CHUNKED + b"1\r\na\r\n0\r\nX-A: b\r\n\r\n", 200, b"a"),
    "after one 1xx": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "after several 1xx with headers": (
        b"HTTP/1.1 102 Processing\r\nA: b\r\nContent-Length: 5\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!",
        413,
        b"no!",
    ),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, b"x"),
}


def fed(data: bytes, piece_bytes: int, max_body_bytes: int | None = None) -> HttpAnswer:
    answer = HttpAnswer(max_body_bytes)
    for start in range(0, len(data), piece_bytes):
        answer.feed(data[start : start + piece_bytes])
    return answer


@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer_is_read_and_its_connection_can_be_reused(case: str, piece_bytes: int) -> None:
    data, status, body = WHOLE[case]
    answer = fed(data, piece_bytes)
    assert (answer.status, bytes(answer.body)) == (status, body)
    assert (answer.complete, answer.reusable) == (True, True)
    assert not fed(data[:-1], piece_bytes).complete, "complete before its last byte"


@pytest.mark.parametrize("piece_bytes", [1, 10_000])
@pytest.mark.parametrize("case", WHOLE)
def test_a_connection_with_data_after_the_answer_is_not_reused(case: str, piece_bytes: int) -> None:
    answer = fed(WHOLE[case][0] + b"HTTP/1.1 202", piece_bytes)
    assert (answer.complete, answer.reusable) == (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["close", "HTTP/1.0", "length and encoding"],
)
def test_a_connection_that_closes_or_is_ambiguous_is_not_reused(data: bytes) -> None:
    answer = fed(data, 1)
    assert (answer.complete, answer.reusable) == (True, False)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = fed(b"HTTP/1.1 200 OK\r\n\r\nhello", 1)
    assert not answer.complete
    answer.feed(b"")
    assert (answer.complete, answer.reusable, bytes(answer.body)) == (True, False, b"hello")


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD_BYTES,
    ],
)
def test_invalid_http_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        fed(data, 4096)


def test_an_end_before_the_answer_differs_from_one_in_its_middle() -> None:
    for nothing in (b"", b"HTTP/1.1 100 Continue\r\n\r\n"):
        with pytest.raises(NoResponseError):
            fed(nothing, 1).feed(b"")
    for half in (b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", CHUNKED + b"0\r\n"):
        with pytest.raises(MalformedResponseError, match="breaks off"):
            fed(half, 1).feed(b"")


def test_only_max_body_bytes_of_a_body_are_kept() -> None:
    answer = fed(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000, 64, max_body_bytes=10)
    assert (answer.complete, bytes(answer.body)) == (True, b"x" * 10)


@pytest.mark.parametrize(
    ("address", "line", "host"),
    [
        ("127.0.0.1:9001", "GET /next HTTP/1.1", "127.0.0.1:9001"),
        ("127.0.0.1:9000/.rt", "GET /.rt/next HTTP/1.1", "127.0.0.1:9000"),
        ("http://127.0.0.1:9000/.rt/", "GET /.rt/next HTTP/1.1", "127.0.0.1:9000"),
        ("[::1]:9001/a/b", "GET /a/b/next HTTP/1.1", "[::1]:9001"),
        ("runtime.local", "GET /next HTTP/1.1", "runtime.local"),
    ],
)
def test_an_address_may_have_a_path(address: str, line: str, host: str) -> None:
    head = HttpConnection(address).head("GET", "/next", {"A": "b"})
    assert head == f"{line}\r\nHost: {host}\r\nA: b\r\n\r\n".encode()


@pytest.mark.parametrize(
    "address",
    ["", ":9001", "host:port", "host:99999", "https://host:1", "a b:1", "host:1/a b", "a:1\r\nX: y"],
)
def test_a_malformed_address_is_an_error_that_quotes_it(address: str) -> None:
    with pytest.raises(ValueError, match="is not of the form host:port or host:port/path"):
        HttpConnection(address)
