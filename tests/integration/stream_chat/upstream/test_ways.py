"""Every route to the upstream: TLS, proxies, both; and cuts that end whatever blocks on it."""

from __future__ import annotations

import gc
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from errors import RelayError, UpstreamError
from settings_reading.readers import SettingsError
from tests.support.network.connect_proxy import ConnectProxy
from tests.support.runtime.ways import WAYS, way_to_the_upstream
from tests.support.upstreams.exchanges import connect, failure, on_limit, open_connections, read
from tests.support.upstreams.scripted_exchanges import BODY, CHUNKED, EVENTS, GOOD, Answer, ask, bodies_on
from tests.support.upstreams.scripted_server import SILENT, ScriptedServer, chunked
from upstream.client import Upstream
from upstream.exchange import SENT_BYTES

pytestmark = pytest.mark.usefixtures("quick_backoff", "no_proxies")

LATE = RelayError(504, "deadline_exceeded", "late")


@pytest.fixture(autouse=True, scope="module")
def _older_objects_are_not_collected() -> None:
    """Without those of other modules, gc.collect() takes a fraction of the time."""
    gc.collect()
    gc.freeze()


every_way = pytest.mark.parametrize("way", WAYS)


@every_way
def test_bodies_arrive_on_every_route_over_one_connection(
    way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = [[GOOD], [CHUNKED, *(chunked(event, end=b"") for event in EVENTS), b"0\r\n\r\n"]]
    with way_to_the_upstream(way, tls, monkeypatch, *answers) as (server, proxy):
        assert bodies_on(server, 3) == [BODY] * 3
        assert server.connections == [1, 1, 1]
        for request in server.received:
            assert request.head.split(b"\r\n")[0].endswith(b"/v1/chat/completions HTTP/1.1")
            assert f"\r\nhost: 127.0.0.1:{server.port}\r\n".encode() in request.head.lower()
            assert request.body == b'{"model": "m"}'
        if proxy is not None:
            (head,) = proxy.heads
            target = f"127.0.0.1:{server.port}" if way.endswith("https") else f"{server.url}/chat/completions"
            method = "CONNECT" if way.endswith("https") else "POST"
            assert head.startswith(f"{method} {target} HTTP/1.1\r\n".encode())
            assert b"Proxy-Authorization: Basic dXNAZXI6cDpzcw==" in head  # us@er:p:ss
            if method == "CONNECT":
                assert b"sk-relay" not in head
                assert not any(b"proxy-authorization" in request.head.lower() for request in server.received)


@every_way
def test_large_requests_arrive_whole_by_every_way(
    way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [random.randbytes(size) for size in (SENT_BYTES - 1, SENT_BYTES, 5 * SENT_BYTES + 1)]
    with way_to_the_upstream(way, tls, monkeypatch, [GOOD]) as (server, _):
        client = connect(server.url)
        for content in contents:
            exchange = client.exchange(
                "/chat/completions", content, streamed=True, deadline_at=time.monotonic() + 20
            )
            assert read(exchange) == BODY
            exchange.close()
        client.close()
        assert [request.body for request in server.received] == contents
        assert server.connections == [1, 1, 1]


@pytest.mark.fast_transport_only("its socket cannot be shut down in a handshake, nor below TLS within TLS")
@every_way
@pytest.mark.parametrize("phase", ["head", "body"])
def test_a_cut_ends_a_blocked_read_on_every_route(
    way: str, phase: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Answer = [SILENT] if phase == "head" else [CHUNKED + chunked(EVENTS[0], end=b""), SILENT]
    with way_to_the_upstream(way, tls, monkeypatch, answer) as (server, _):
        assert_a_cut_ends(connect(server.url))


def assert_a_cut_ends(client: Upstream) -> None:
    exchange = ask(client)
    timer = threading.Timer(0.1, exchange.limits.cut, [LATE])
    started_at = time.monotonic()
    timer.start()
    with pytest.raises(RelayError) as raised:
        read(exchange)
    took_s = time.monotonic() - started_at
    exchange.close()
    timer.join()
    client.close()
    gc.collect()  # an unclosed socket fails the test
    assert raised.value is LATE
    assert 0.09 < took_s < 10  # the client's own limits are longer


@contextmanager
def silent_listener() -> Iterator[int]:
    """Accepts connections and never sends a byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.fast_transport_only("its socket cannot be shut down in a handshake, nor below TLS within TLS")
def test_a_cut_ends_an_unanswered_tls_handshake(tls: ssl.SSLContext) -> None:
    with silent_listener() as port:
        assert_a_cut_ends(connect(f"https://127.0.0.1:{port}/v1", connect_timeout_s=10))


@pytest.mark.fast_transport_only("its socket cannot be shut down in a handshake, nor below TLS within TLS")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cut_ends_the_wait_for_a_silent_proxy(
    scheme: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_listener() as port:
        monkeypatch.setenv("https_proxy", f"{scheme}://127.0.0.1:{port}")
        assert_a_cut_ends(connect("https://127.0.0.1:9/v1", connect_timeout_s=10))


@pytest.mark.fast_transport_only("its socket cannot be shut down in a handshake, nor below TLS within TLS")
@pytest.mark.parametrize("is_proxy_secure", [False, True])
def test_a_cut_ends_a_tls_handshake_through_a_proxy(
    is_proxy_secure: bool, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_listener() as port, ConnectProxy(tls if is_proxy_secure else None) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert_a_cut_ends(connect(f"https://127.0.0.1:{port}/v1", connect_timeout_s=10))


SECURE_WAYS = [way for way in WAYS if "https" in way]


@pytest.mark.fast_transport_only("it leaves the socket open")
@pytest.mark.parametrize("way", SECURE_WAYS)
def test_a_cut_at_any_step_leaves_no_socket_and_no_connection_behind(
    way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with way_to_the_upstream(way, tls, monkeypatch, [GOOD]) as (server, _):
        steps = cut_at(server.url, None)
        assert any(step.endswith("start_tls.started") for step in steps)
        for step in range(len(steps)):
            cut_at(server.url, step)
            gc.collect()  # an unclosed socket fails the test


def cut_at(url: str, step: int | None) -> list[str]:
    """Cut an exchange at one of the steps that httpcore traces, and return the steps."""
    client = connect(url, upstream_retries=0)
    exchange, note, steps = ask(client), client.note_connection, list[str]()

    def note_and_cut(event: str, info: dict[str, Any]) -> None:
        note(event, info)
        if len(steps) == step:
            exchange.limits.cut(LATE)
            time.sleep(0.01)  # until the other side has closed too
        steps.append(event)

    client.note_connection = note_and_cut  # type: ignore[method-assign]
    with suppress(RelayError):
        read(exchange)
    exchange.close()
    assert open_connections(client) == (1 if step is None else 0), steps[-1]
    client.close()
    return steps


@pytest.mark.fast_transport_only("it leaves the socket open")
def test_a_connection_reset_before_tls_leaves_no_socket_behind(tls: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(f"https://127.0.0.1:{listener.getsockname()[1]}/v1", upstream_retries=0)
        note = client.note_connection

        def note_and_reset(event: str, info: dict[str, Any]) -> None:
            note(event, info)
            if event == "connection.connect_tcp.complete":
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

        client.note_connection = note_and_reset  # type: ignore[method-assign]
        assert failure(ask(client)).code == "upstream_unreachable"
        client.close()
        gc.collect()  # an unclosed socket fails the test


@pytest.mark.fast_transport_only("it leaves the socket open")
def test_tunnels_whose_tls_fails_do_not_use_up_the_connections(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with way_to_the_upstream("http proxy to https", tls, monkeypatch, [GOOD]) as (server, proxy):
        assert proxy is not None
        client = connect(server.url, upstream_retries=0, connect_timeout_s=5)
        proxy.greeting = b"no TLS"
        for _ in range(12):
            assert failure(ask(client)).code == "upstream_unreachable"
        proxy.greeting = b""
        assert read(ask(client)) == BODY
        client.close()


def test_an_unanswered_handshake_times_out(tls: ssl.SSLContext) -> None:
    with silent_listener() as port:
        client = connect(f"https://127.0.0.1:{port}/v1", connect_timeout_s=0.2, upstream_retries=0)
        assert failure(ask(client)).code == "upstream_timeout"
        client.close()


@pytest.mark.fast_transport_only("its timeout is for each address, and not for looking up the name")
def test_an_endless_name_lookup_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()

    def look_up(*name: object, **options: object) -> object:
        let_go.wait(30)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    client = connect("http://upstream.example/v1", connect_timeout_s=0.2, upstream_retries=0)
    started_at = time.monotonic()
    assert failure(ask(client)).code == "upstream_timeout"
    assert time.monotonic() - started_at < 20
    let_go.set()
    client.close()


@pytest.mark.fast_transport_only("its timeout is for each address, and not for looking up the name")
def test_a_name_with_many_silent_addresses_fails_after_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect_to(connection: socket.socket, address: object) -> None:
        time.sleep(connection.gettimeout() or 0)
        raise TimeoutError

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port)) for port in range(1, 30)]
    monkeypatch.setattr("socket.getaddrinfo", lambda *name, **options: addresses)
    monkeypatch.setattr("socket.socket.connect", connect_to)
    client = connect("http://upstream.example/v1", connect_timeout_s=1, upstream_retries=0)
    started_at = time.monotonic()
    assert failure(ask(client)).code == "upstream_timeout"
    assert time.monotonic() - started_at < 20
    client.close()


def test_a_cut_ends_a_request_that_the_upstream_does_not_read() -> None:
    with silent_listener() as port:
        client = connect(f"http://127.0.0.1:{port}/v1")
        exchange = client.exchange(
            "/chat/completions", b" " * 20_000_000, streamed=True, deadline_at=time.monotonic() + 20
        )
        threading.Timer(0.1, exchange.limits.cut, [LATE]).start()
        with pytest.raises(RelayError, match="late"):
            exchange.open(on_limit)
        client.close()
    gc.collect()  # an unclosed socket fails the test


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"502 Bad Gateway", b"301 Moved"])
def test_a_refusing_proxy_is_an_unreachable_upstream(
    status: bytes, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nno"
    with ConnectProxy(refusal=refusal) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        client = connect("https://127.0.0.1:9/v1", upstream_retries=1)
        assert failure(ask(client)).code == "upstream_unreachable"
        client.close()
        assert len(proxy.heads) == 2


def test_a_proxy_that_answers_no_http_has_asked_no_upstream(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ConnectProxy(refusal=b"no HTTP\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        client = connect("https://127.0.0.1:9/v1", upstream_retries=1)
        exchange = ask(client)
        assert (failure(exchange).code, exchange.attempts) == ("upstream_unreachable", 2)
        client.close()


@pytest.mark.parametrize("proxy", ["http://proxy.internal:3128", "https://proxy.internal", "10.0.0.1:3128"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_remote_proxy_for_this_machine_is_refused_without_tls(
    host: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(SettingsError, match="NO_PROXY"):
        connect(f"http://{host}:11434/v1")
    monkeypatch.setenv("no_proxy", host.strip("[]"))
    if host != "[::1]":
        connect(f"http://{host}:11434/v1").close()


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "127.0.0.1:{port}"])
def test_no_proxy_makes_the_connection_direct(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([GOOD]) as server, ConnectProxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", no_proxy.format(port=server.port))
        assert bodies_on(server, 1) == [BODY]
        assert proxy.heads == []


def test_an_untrusted_certificate_is_an_unreachable_upstream(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with ScriptedServer([GOOD], tls=tls) as server:
        client = connect(server.url, upstream_retries=0)
        assert failure(ask(client)).code == "upstream_unreachable"
        client.close()
        assert server.received == []


def test_the_environments_certificates_apply_in_any_case_of_the_scheme(tls: ssl.SSLContext) -> None:
    with ScriptedServer([GOOD], tls=tls) as server:
        client = connect(server.url.replace("https", "HTTPS"))
        assert read(ask(client)) == BODY
        client.close()


def test_tls_that_breaks_off_in_a_chunked_body_is_an_interruption(tls: ssl.SSLContext) -> None:
    with ScriptedServer([CHUNKED + chunked(*EVENTS, end=b""), None], tls=tls) as server:
        (error,) = bodies_on(server, 1)
        assert isinstance(error, UpstreamError)
        assert error.code == "upstream_interrupted"


@pytest.mark.fast_transport_only("it raises UnicodeError")
@pytest.mark.parametrize("host", ["a..b", "x" * 64, "no-such-host.invalid"])
def test_a_name_that_is_invalid_in_dns_is_an_unreachable_upstream(host: str) -> None:
    client = connect(f"http://{host}/v1", upstream_retries=0)
    assert failure(ask(client)).code == "upstream_unreachable"
    client.close()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://h:443/v1", "h"),
        ("http://h:80/v1", "h"),
        ("https://h:80/v1", "h:80"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
    ],
)
def test_the_host_header_omits_the_default_port(url: str, host: str) -> None:
    client = connect(url)
    assert client.host == host
    client.close()
