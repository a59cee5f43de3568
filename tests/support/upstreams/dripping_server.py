"""A loopback server that keeps sending small pieces, each within any read timeout, and never finishes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import NamedTuple

from tests.support.network.loopback_listener import LoopbackListener

PAUSE_S = 0.05


class Drip(NamedTuple):
    """`start` is sent once, then `drop` over and over."""

    start: bytes
    drop: bytes
    scheme: str = "http"


DRIPS: Mapping[str, Drip] = {
    "head": Drip(b"HTTP/1.1 200 OK\r\nx-slow: ", b"x"),
    "early hints": Drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "continue": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", b" "),
    "chunks": Drip(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "handshake": Drip(b"\x16\x03\x03\x40\x00", b"\x02", "https"),  # a ServerHello of 16 KiB
}


class DrippingServer(LoopbackListener):
    """Answers every request drop by drop, or completely with `whole` if that is set.

    Attributes:
        url: the server's URL.
        connections: the number of connections so far.
        begun: released when an answer drop by drop begins.
        ended: released when the other side has closed the connection of such an answer.
    """

    def __init__(self, drip: Drip, whole: bytes | None = None) -> None:
        super().__init__()
        self.url = f"{drip.scheme}://{self.address}"
        self.whole = whole
        self.connections = 0
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self._drip = drip
        self._released = threading.Event()

    def serve(self, connection: socket.socket, number: int) -> None:
        self.connections = number
        connection.recv(65536)
        if self.whole is not None:
            connection.sendall(self.whole)
            return
        self.begun.release()
        try:
            connection.sendall(self._drip.start)
            while not self._released.wait(PAUSE_S):
                connection.sendall(self._drip.drop)
        finally:
            self.ended.release()

    def release(self) -> None:
        self._released.set()
