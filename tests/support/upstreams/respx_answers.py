"""Answers of a mocked upstream, for respx."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx

BASE_URL = "http://model.test/v1"
EVENT_STREAM = {"content-type": "text/event-stream"}

BREAKS = [
    httpx.ReadError("Connection reset by peer"),
    httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
]

Answer = Callable[[], httpx.Response]


class Pieces(httpx.SyncByteStream):
    """A body that arrives in pieces, and may then break off."""

    def __init__(self, pieces: Sequence[Any], error: httpx.TransportError | None) -> None:
        self._pieces, self._error = pieces, error

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield from piece if isinstance(piece, tuple) else (piece,)
        if self._error is not None:
            raise self._error


def stream(
    pieces: Sequence[Any],
    status: int = 200,
    headers: Mapping[str, str] = EVENT_STREAM,
    error: httpx.TransportError | None = None,
) -> Answer:
    """An answer with a body in pieces."""
    return lambda: httpx.Response(status, headers=headers, stream=Pieces(pieces, error))


def json_answer(document: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON body."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return stream([body], status, {"content-type": "application/json", **names})
