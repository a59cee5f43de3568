"""The fast transport and its connections without the rest of the client, over real sockets."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time

import httpcore
import pytest

from tests.support.upstreams.scripted_server import SILENT, ScriptedServer
from upstream.certificates import trusted_certificates
from upstream.transport.connection import SENT_BYTES, Network

pytestmark = [
    pytest.mark.usefixtures("no_proxies"),
    pytest.mark.fast_transport_only("it tests the transport itself"),
]


def test_a_body_cannot_be_taken_before_its_head_has_ended() -> None:
    with ScriptedServer([b"HTTP/1.1 200 OK\r\n", 0.05, b"\r\nrest"]) as server:
        connection = Network().connect_tcp("127.0.0.1", server.port)
        connection.write(b"POST / HTTP/1.1\r\n\r\n")
        connection.read(100)
        assert not connection.take_body()
        assert connection.read(100) == b"\r\nrest"  # httpcore reads the body itself: nothing is held back
        connection.close()


def test_a_connection_with_buffered_bytes_counts_as_readable() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    with ScriptedServer([head + b"rest", SILENT]) as server:
        connection = Network().connect_tcp("127.0.0.1", server.port)
        connection.write(b"POST / HTTP/1.1\r\n\r\n")
        assert connection.read(100) == head
        assert connection.get_extra_info("is_readable")
        assert connection.take_body()
        assert connection.read_body() == b"rest"
        assert not connection.get_extra_info("is_readable")
        connection.close()


def test_reading_a_closed_connection_raises_httpcores_error() -> None:
    with ScriptedServer([b"HTTP/1.1 200 OK\r\n\r\n", SILENT]) as server:
        connection = Network().connect_tcp("127.0.0.1", server.port)
        connection.write(b"POST / HTTP/1.1\r\n\r\n")
        connection.read(100)
        assert connection.take_body()
        connection.close()
        with pytest.raises(httpcore.ReadError):
            connection.read_body()


def test_a_small_request_leaves_whole_and_a_large_one_in_pieces() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Network().connect_tcp("127.0.0.1", listener.getsockname()[1])
        server, _ = listener.accept()
        with server:
            connection.write(b"head ")
            connection.write(b"body")
            assert not select.select([server], [], [], 0.05)[0]
            connection.write(b"")
            assert server.recv(100) == b"head body"
            connection.write(b"head ")
            connection.write(bytes(SENT_BYTES))
            assert server.recv(5) == b"head "
        connection.close()


def test_a_reset_within_a_head_is_distinguished_from_one_before_any_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Network().connect_tcp("127.0.0.1", listener.getsockname()[1])
        server, _ = listener.accept()
        with server:
            connection.write(b"POST / HTTP/1.1\r\n\r\n")
            server.sendall(b"HTTP/1.1 200 OK\r\ncontent-")
            assert connection.read(100) == b"HTTP/1.1 200 OK\r\ncontent-"
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with pytest.raises(httpcore.RemoteProtocolError):
            connection.read(100)
        connection.close()


def test_tls_bytes_received_before_the_shutdown_are_still_read(tls: ssl.SSLContext) -> None:
    with ScriptedServer([b"HTTP/1.1 200 OK\r\n\r\n", b"rest", SILENT], tls=tls) as server:
        plain = Network().connect_tcp("127.0.0.1", server.port)
        connection = plain.start_tls(trusted_certificates(), "127.0.0.1")
        connection.write(b"POST / HTTP/1.1\r\n\r\n")
        connection.read(100)
        assert connection.take_body()
        time.sleep(0.1)  # the rest has arrived
        socket.socket.shutdown(connection.get_extra_info("socket"), socket.SHUT_RDWR)
        assert connection.read_body() == b"rest"
        assert connection.read_body() == b""
        connection.close()
