"""A server that answers HTTP with the exact bytes that a test defines, segment by segment.

It reads complete requests and knows nothing else about HTTP, so it can send invalid answers.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.network.loopback_listener import PATIENCE_S, LoopbackListener

SEGMENT_PAUSE_S = 0.002  # so that each segment arrives in a separate read
SILENT = threading.Event()  # as a segment: nothing more is sent, and the connection stays open

Segment = bytes | float | threading.Event | None  # bytes; a pause; an event to wait for; None closes


class Received(NamedTuple):
    """A request, and the number of its connection, counted from 1."""

    connection: int
    head: bytes
    body: bytes


class ScriptedServer(LoopbackListener):
    """Answers the n-th request with the n-th answer, on any connection; the last answer repeats.

    `url` is for OPENAI_BASE_URL; `received` holds the requests so far; `was_asked` is set by the first
    request, and `closed` when the other side has closed a connection.
    """

    def __init__(self, *answers: Sequence[Segment], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.received: list[Received] = []
        self.was_asked = threading.Event()
        self.closed = threading.Event()
        self.url = f"{self.origin}/v1"
        self._answers = answers

    @property
    def connections(self) -> list[int]:
        """The connection of each request."""
        return [request.connection for request in self.received]

    def serve(self, connection: socket.socket, number: int) -> None:
        try:
            with connection.makefile("rb") as reader:
                while head := b"".join(iter(reader.readline, b"\r\n")) if reader.peek(1) else b"":
                    fields = dict(line.lower().split(b": ", 1) for line in head.splitlines() if b": " in line)
                    body = reader.read(int(fields.get(b"content-length", 0)))
                    self.received.append(Received(number, head, body))
                    self.was_asked.set()
                    answer = self._answers[min(len(self.received), len(self._answers)) - 1]
                    if not self._send(connection, answer):
                        return
            self.closed.set()
        except OSError:
            self.closed.set()

    @staticmethod
    def _send(connection: socket.socket, answer: Sequence[Segment]) -> bool:
        for segment in answer:
            if segment is None:
                return False
            if isinstance(segment, bytes):
                connection.sendall(segment)
                time.sleep(SEGMENT_PAUSE_S)
            elif isinstance(segment, float):
                time.sleep(segment)
            elif segment is SILENT:
                return True  # reading the next request waits until the other side closes
            else:
                segment.wait(PATIENCE_S)
        return True


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """The pieces as chunks of a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end
