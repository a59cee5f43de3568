"""No caller gets another caller's answer: which connections are reused, over real sockets."""

from __future__ import annotations

import gzip
import ssl
import threading
from typing import Any

import pytest

from errors import UpstreamError
from tests.support.network.loopback_listener import PATIENCE_S
from tests.support.runtime.ways import WAYS, way_to_the_upstream
from tests.support.upstreams.exchanges import connect, read
from tests.support.upstreams.scripted_exchanges import (
    BODY,
    CHUNKED,
    EVENTS,
    GOOD,
    HEAD,
    Answer,
    ask,
    bodies_on,
    wait_until_readable,
)
from tests.support.upstreams.scripted_server import SILENT, ScriptedServer, Segment, chunked

pytestmark = pytest.mark.usefixtures("quick_backoff", "no_proxies")

every_way = pytest.mark.parametrize("way", WAYS)

EVIL = CHUNKED + chunked(b"data: of another caller\n\n")
LENGTH = HEAD + b"content-length: %d\r\n\r\n" % len(BODY)
LARGE = chunked(b"data: " + b"x" * 40_000 + b"\n\n")  # several TLS records


# -- bytes after the end -------------------------------------------------------------------------------------

AFTER_THE_END: list[bytes] = [
    EVIL,
    EVIL[:9],
    EVIL * 50,  # more than one record
    b"\n",
    b"\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + EVIL,
]
# How the proxy's TLS carries the server's: record by record, several in one, or the last one in part.
RECORDS: list[dict[str, Any]] = [{}, {"gather_s": 0.02}, {"gather_s": 0.02, "late_bytes": 7}]


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@every_way
@pytest.mark.parametrize(
    ("good", "is_one_segment"), [(GOOD, True), (LENGTH + BODY, False)], ids=["chunked", "length"]
)
def test_an_answer_after_the_end_reaches_no_caller_on_any_route(
    way: str, good: bytes, is_one_segment: bool, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Answer = [good + EVIL] if is_one_segment else [good, EVIL]
    with way_to_the_upstream(way, tls, monkeypatch, answer, [GOOD]) as (server, _):
        assert bodies_on(server, 3, has_more_behind=True) == [BODY] * 3
        assert server.connections == [1, 2, 2]


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@pytest.mark.parametrize(
    ("way", "excess", "records"),
    [("https proxy to https", excess, records) for excess in AFTER_THE_END for records in RECORDS[1:]]
    + [("https proxy to http", EVIL, records) for records in RECORDS],
)
def test_bytes_after_the_end_in_any_buffer_reach_no_caller(
    excess: bytes, way: str, records: dict[str, Any], tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with way_to_the_upstream(way, tls, monkeypatch, [GOOD, excess], [GOOD], **records) as (server, _):
        assert bodies_on(server, has_more_behind=True) == [BODY] * 2
        assert server.connections == [1, 2]


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@pytest.mark.parametrize("records", RECORDS, ids=str)
def test_bytes_after_a_body_of_many_records_reach_no_caller(
    records: dict[str, Any], tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Answer = [CHUNKED + LARGE, EVIL]
    with way_to_the_upstream("https proxy to https", tls, monkeypatch, answer, [GOOD], **records) as (
        server,
        _,
    ):
        large, body = bodies_on(server, has_more_behind=True)
        assert isinstance(large, bytes)
        assert len(large) == 40_008
        assert body == BODY
        assert server.connections == [1, 2]


@pytest.mark.parametrize("records", RECORDS, ids=str)
def test_ordinary_answers_share_one_connection_however_records_are_split(
    records: dict[str, Any], tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = [
        [GOOD],
        [CHUNKED, *(chunked(e, end=b"") for e in EVENTS), b"0\r\n\r\n"],
        [LENGTH, BODY],
    ]
    with way_to_the_upstream("https proxy to https", tls, monkeypatch, *answers, **records) as (server, _):
        assert bodies_on(server, 4) == [BODY] * 4
        assert server.connections == [1] * 4


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@every_way
def test_an_answer_injected_at_the_last_moment_reaches_no_caller(
    way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_chosen = threading.Event()
    answer: Answer = [GOOD, is_chosen, EVIL]
    with way_to_the_upstream(way, tls, monkeypatch, answer, [GOOD]) as (server, _):
        client = connect(server.url, upstream_retries=0)
        assert read_and_close(client) == BODY
        note = client.note_connection

        def inject(event: str, info: dict[str, Any]) -> None:
            """Inject after httpcore has chosen the connection and before the request is sent."""
            note(event, info)
            if event == "http11.send_request_headers.started" and not is_chosen.is_set():
                is_chosen.set()
                wait_until_readable(client)

        monkeypatch.setattr(client, "note_connection", inject)
        assert read_and_close(client) == BODY
        client.close()
        assert is_chosen.is_set()
        assert server.connections == [1, 2]


def read_and_close(client: Any) -> bytes:
    exchange = ask(client)
    body = read(exchange)
    exchange.close()
    return body


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
def test_an_answer_before_its_request_is_the_last_on_its_connection() -> None:
    class Hasty(ScriptedServer):
        def serve(self, connection: Any, number: int) -> None:
            if number == 1:
                connection.sendall(GOOD)
            super().serve(connection, number)

    with Hasty([SILENT], [GOOD]) as server:
        client = connect(server.url, upstream_retries=0)
        note, has_come = client.note_connection, threading.Event()

        def wait(event: str, info: dict[str, Any]) -> None:
            note(event, info)
            if event == "connection.connect_tcp.complete" and not has_come.is_set():
                wait_until_readable(client)
                has_come.set()

        client.note_connection = wait  # type: ignore[method-assign]
        assert read_and_close(client) == BODY
        assert server.was_asked.wait(PATIENCE_S)  # the answer can end before the server reads its request
        assert read_and_close(client) == BODY
        client.close()
        assert server.connections == [1, 2]


@pytest.mark.fast_transport_only("it does not look for bytes in the clear")
def test_bytes_in_the_clear_before_the_servers_tls_end_the_connection(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with way_to_the_upstream("http proxy to https", tls, monkeypatch, [GOOD], greeting=EVIL) as (server, _):
        (error,) = bodies_on(server, 1)
        assert isinstance(error, UpstreamError)
        assert error.code == "upstream_unreachable"
        assert server.received == []


# -- framing in doubt ----------------------------------------------------------------------------------------


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((status, b"content-type: text/event-stream", *lines, b"", b""))


SIZE = b"%d" % len(BODY)
TE = b"transfer-encoding: chunked"
CL = b"content-length: " + SIZE
IN_DOUBT: dict[str, bytes] = {
    "length with coding": head(CL, TE) + chunked(*EVENTS),
    "coding with length": head(TE, b"Content-Length: 5") + chunked(*EVENTS),
    "coding twice": head(TE, TE) + chunked(*EVENTS),
    "coding in a list": head(b"transfer-encoding: chunked, chunked") + chunked(*EVENTS),
    "length twice": head(CL, CL) + BODY,
    "length as a list": head(b"content-length: " + SIZE + b", " + SIZE) + BODY,
    "folded field": head(TE, b"x-a: 1", b" 2") + chunked(*EVENTS),
    "folded coding": head(b"transfer-encoding:", b" chunked") + chunked(*EVENTS),
    "folded length": head(b"content-length:", b"\t" + SIZE) + BODY,
    "bare line feeds": head(TE).replace(b"\r\n", b"\n") + chunked(*EVENTS),
    "one bare line feed": head(TE, b"x-a: 1\nx-b: 2") + chunked(*EVENTS),
    "end in bare line feeds": head(CL)[:-4] + b"\n\n" + BODY,
    "HTTP/1.0 kept alive": head(CL, b"connection: keep-alive", status=b"HTTP/1.0 200 OK") + BODY,
    "HTTP/1.0 chunked": head(TE, b"connection: keep-alive", status=b"HTTP/1.0 200 OK") + chunked(*EVENTS),
    "HTTP/1.2": head(CL, status=b"HTTP/1.2 200 OK") + BODY,
    "HTTP/2.0": head(CL, status=b"HTTP/2.0 200 OK") + BODY,
    "1xx with a length": b"HTTP/1.1 103 Early Hints\r\ncontent-length: 4\r\n\r\n" + head(CL) + BODY,
    "1xx with a coding": b"HTTP/1.1 100 Continue\r\n" + TE + b"\r\n\r\n" + head(TE) + chunked(*EVENTS),
    "1xx in bare line feeds": b"HTTP/1.1 100 Continue\n\n" + head(TE) + chunked(*EVENTS),
    "trailer with a length": head(TE) + chunked(*EVENTS, end=b"0\r\ncontent-length: 4\r\n\r\n"),
    "trailer with a coding": head(TE) + chunked(*EVENTS, end=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "trailer that is none": head(TE) + chunked(*EVENTS, end=b"0\r\nHTTP/1.1 200 OK: 1\r\n\r\n"),
    "trailer folded": head(TE) + chunked(*EVENTS, end=b"0\r\na: 1\r\n b: 2\r\n\r\n"),
    "trailer in a bare line feed": head(TE) + chunked(*EVENTS, end=b"0\r\na: 1\n\r\n"),
    "end in a bare line feed": head(TE) + chunked(*EVENTS, end=b"0\r\n\n"),
    "trailer with a bare return": head(TE) + chunked(*EVENTS, end=b"0\r\na: 1\rb\r\n\r\n"),
}


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@pytest.mark.parametrize(
    ("way", "name", "excess"),
    [*(("http", name, b"") for name in IN_DOUBT)]
    + [("https proxy to https", name, EVIL) for name in ("length with coding", "HTTP/1.2", "trailer folded")],
)
def test_a_connection_with_doubtful_framing_is_closed_after_its_answer(
    name: str, excess: bytes, way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments: list[Segment] = [IN_DOUBT[name], excess] if excess else [IN_DOUBT[name]]
    with way_to_the_upstream(way, tls, monkeypatch, segments, [GOOD]) as (server, _):
        client = connect(server.url, upstream_retries=0)
        assert read_and_close(client) == BODY
        assert server.closed.wait(PATIENCE_S)
        assert read_and_close(client) == BODY
        client.close()
        assert server.connections == [1, 2]


@pytest.mark.fast_transport_only("it may use a connection again that has more to say")
@pytest.mark.parametrize(("way", "injected"), [("http", b""), ("https proxy to https", EVIL)])
@pytest.mark.parametrize("framing", [b"", TE, CL, b"content-length: 0"])
@pytest.mark.parametrize("status", [b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"])
def test_a_status_without_a_body_is_the_last_on_its_connection(
    status: bytes,
    framing: bytes,
    injected: bytes,
    way: str,
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = head(*filter(None, (framing,)), status=status) + injected
    with way_to_the_upstream(way, tls, monkeypatch, [answer], [GOOD]) as (server, _):
        refused, body = bodies_on(server, has_more_behind=True)
        assert isinstance(refused, UpstreamError)
        assert body == BODY
        assert server.connections == [1, 2]


@pytest.mark.parametrize("way", ["http", "https proxy to https"])
@pytest.mark.parametrize(
    "answer",
    [
        head(b"content-length: 5", b"content-length: 6") + BODY,
        head(b"content-length: 5, 6") + BODY,
        head(TE, b"transfer-encoding: x") + chunked(*EVENTS),
        head(b"transfer-encoding: x, chunked") + chunked(*EVENTS),
        b"\r\n" + GOOD,
        b"junk" + GOOD,
        EVIL[20:] + GOOD,
        head(b"transfer-encoding : chunked") + chunked(*EVENTS),
    ],
)
def test_a_contradictory_head_is_an_error_and_ends_its_connection(
    answer: bytes, way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with way_to_the_upstream(way, tls, monkeypatch, [answer + EVIL], [GOOD]) as (server, _):
        error, body = bodies_on(server, has_more_behind=True)
        assert isinstance(error, UpstreamError)
        assert body == BODY
        assert server.connections == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n" + LENGTH + BODY,
        head(TE, b"x-empty:", b"x-latin: \xe9\xff", b"x-tab:\ta\tb ") + chunked(*EVENTS),
        head(b"TRANSFER-ENCODING:Chunked \t", status=b"HTTP/1.1 200") + chunked(*EVENTS),
        head(b"Content-Length:00" + SIZE, status=b"HTTP/1.1 200 ") + BODY,
        head(TE) + chunked(*EVENTS, end=b"0;a=b\r\nx-checksum: 1\r\n\r\n"),
        head(TE, b"content-encoding: gzip") + chunked(gzip.compress(BODY)),
    ],
)
def test_connections_with_certain_framing_are_kept_alive(answer: bytes) -> None:
    with ScriptedServer([answer], [GOOD]) as server:
        assert bodies_on(server, 3) == [BODY] * 3
        assert server.connections == [1, 1, 1]


def test_a_complete_error_keeps_its_connection() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"
    with ScriptedServer([refusal], [GOOD]) as server:
        refused, body = bodies_on(server)
        assert isinstance(refused, UpstreamError)
        assert body == BODY
        assert server.connections == [1, 1]
