"""The client of the Runtime API at its socket: what it sends at once and how long it waits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from lambda_stream import CallerGoneError
from lambda_stream.runtime_api import MIN_SETTLE_S, Invocation, RuntimeApi, StreamedResponse

PATIENCE_S = 10.0
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class RecordingSocket(socket.socket):
    """A socket that records the data of each `send`."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.sent: list[bytes] = []

    def send(self, data: Any, flags: int = 0) -> int:
        self.sent.append(bytes(data))
        return super().send(data, flags)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def client(listener: socket.socket) -> Iterator[RecordingSocket]:
    with RecordingSocket() as client:
        client.connect(listener.getsockname())
        yield client


@pytest.fixture
def server(listener: socket.socket, client: RecordingSocket) -> Iterator[socket.socket]:
    server, _ = listener.accept()
    with server:
        yield server


@pytest.fixture
def response(client: RecordingSocket, server: socket.socket) -> StreamedResponse:
    """An answer on the recording socket, with an hour left."""
    api = RuntimeApi("{}:{}".format(*server.getsockname()))
    api._connection.sock = client
    nothing: dict[str, None] = dict.fromkeys(
        ("function_arn", "trace_id", "client_context", "cognito_identity", "tenant_id", "invocation_id")
    )
    deadline_at = time.monotonic() + 3600
    return StreamedResponse(
        api, Invocation("r-1", b"", "", deadline_epoch_ms=None, deadline_at=deadline_at, **nothing)
    )


def test_head_prelude_and_delimiter_are_one_send_and_so_is_each_write(
    response: StreamedResponse, client: RecordingSocket, server: socket.socket
) -> None:
    response.open({"statusCode": 200})
    opening = server.recv(4096)
    assert opening.startswith(b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\n")
    assert opening.endswith(b'\r\n\r\n13\r\n{"statusCode": 200}\r\n8\r\n' + bytes(8) + b"\r\n")
    response.write(b"hello", float("inf"))
    response.end(None, float("inf"))
    assert client.sent == [b"5\r\nhello\r\n", b"0\r\n\r\n"]


def fill(client: socket.socket) -> None:
    """Send until the buffers between client and server are full."""
    with suppress(BlockingIOError):
        while True:
            socket.socket.send(client, bytes(65536))


SENDS: dict[str, Callable[[StreamedResponse, float], None]] = {
    "write": lambda response, give_up_at: response.write(b"x", give_up_at),
    "end": lambda response, give_up_at: response.end(None, give_up_at),
}


@pytest.mark.parametrize("act", SENDS)
def test_a_blocked_send_ends_at_give_up_at(
    response: StreamedResponse, client: RecordingSocket, act: str
) -> None:
    response.open({})
    fill(client)
    began_at = time.monotonic()
    with pytest.raises(CallerGoneError, match="not taken in time"):
        SENDS[act](response, began_at + 0.2)
    assert 0.2 <= time.monotonic() - began_at < PATIENCE_S


def test_past_give_up_at_a_missing_acknowledgement_is_waited_for_only_briefly(
    response: StreamedResponse, server: socket.socket
) -> None:
    response.open({})
    response.end(None, float("inf"))
    began_at = time.monotonic()
    with pytest.raises(CallerGoneError, match="did not acknowledge"):
        response.settle(began_at - 1)
    assert MIN_SETTLE_S <= time.monotonic() - began_at < PATIENCE_S


def test_an_acknowledgement_shortly_after_give_up_at_is_accepted(
    response: StreamedResponse, server: socket.socket
) -> None:
    response.open({})
    response.end(None, float("inf"))
    acknowledgement = threading.Timer(0.2, server.sendall, [ACCEPTED])
    acknowledgement.start()
    response.settle(time.monotonic() - 1)
    acknowledgement.join()
