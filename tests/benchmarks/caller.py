"""The caller: calls a contestant and records the time of each read."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.benchmarks.contestants import Request
from tests.benchmarks.paced_upstream import STAMP, Pace

READ_BYTES = 64 * 1024
LIMIT_S = 20.0


class Answer(NamedTuple):
    """The timing of one answer. Delays are milliseconds from the upstream's write to this process's read."""

    first_byte_ms: float  # from the start of the request to the first byte of the body
    delays_ms: list[float]


class Caller:
    """One kept-alive connection to a contestant."""

    def __init__(self, url: str, request: Request) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=LIMIT_S)
        self._request = request

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def warm_up(self) -> None:
        """Send a request on a new connection, because some servers soon close idle connections."""
        self._connection.close()
        self.ask(Pace(0, 1, 10))

    def ask(self, pace: Pace, on_first: Callable[[], None] = lambda: None) -> Answer:
        """Request an answer at this pace and read it to its end.

        Args:
            on_first: called when the first delta has been read.
        """
        started_at = time.monotonic()
        self._send(pace)
        response = self._connection.getresponse()
        assert response.status == 200, response.read()
        first_byte_at: float | None = None
        delays_ms: list[float] = []
        rest = b""
        while data := response.read1(READ_BYTES):
            read_at_us = time.monotonic_ns() / 1000
            if first_byte_at is None:
                first_byte_at = time.monotonic()
            data = rest + data
            end = 0
            for stamp in STAMP.finditer(data):
                delays_ms.append((read_at_us - int(stamp[0])) / 1000)
                end = stamp.end()
                if len(delays_ms) == 1:
                    on_first()
            rest = data[max(end, len(data) - 400) :]  # a stamp can be split over two reads
        assert first_byte_at is not None
        assert len(delays_ms) == pace.events, f"{len(delays_ms)} deltas of {pace.events}"
        return Answer((first_byte_at - started_at) * 1000, delays_ms)

    def _send(self, pace: Pace) -> None:
        if self._request == "GET text":
            self._connection.request("GET", f"/chatCompletion?message=hi&model={pace.model}")
            return
        body = {"model": pace.model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
