"""Exchanges of the upstream client with a replayed upstream."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from errors import UpstreamError
from settings import Settings
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer
from upstream.client import Upstream
from upstream.exchange import Exchange
from upstream.transport.transport import FastTransport

HELLO = answer("Hello")
HELLO_BYTES = b"".join(piece for piece in HELLO if isinstance(piece, bytes))

TRANSPORT: Callable[..., httpx.BaseTransport] = FastTransport

StartExchange = Callable[..., Exchange]


def asking(model: str) -> bytes:
    """The part of a request's body that the replayed upstream reads."""
    return json.dumps({"model": model}).encode()


def connect(url: str, **values: Any) -> Upstream:
    """Create a client with these settings."""
    settings = Settings(**{"openai_base_url": url, "openai_api_key": "sk-relay", **values})
    return Upstream(settings, TRANSPORT)


@contextmanager
def exchanges(replay: ReplayUpstream, model: str) -> Iterator[StartExchange]:
    """Yield a function that scripts the replies and returns the exchange that will get them."""
    opened: list[tuple[Exchange, Upstream]] = []

    def start(*replies: Reply, streamed: bool = True, timeout_s: float = 20.0, **values: Any) -> Exchange:
        replay.answer(model, *replies)
        client = connect(replay.url, **values)
        exchange = client.exchange(
            "/chat/completions", asking(model), streamed=streamed, deadline_at=time.monotonic() + timeout_s
        )
        opened.append((exchange, client))
        return exchange

    yield start
    for exchange, client in opened:
        exchange.close()
        client.close()


def open_connections(client: Upstream) -> int:
    """Return the number of connections that the client has open, as httpcore counts them."""
    transport: Any = client.client._transport
    pool = transport._pool if isinstance(transport, httpx.HTTPTransport) else transport._connections
    return len(pool.connections)


def on_limit(limit_at: float) -> None:
    """Ignore the limit."""


def read(exchange: Exchange, on_limit: Callable[[float], None] = on_limit) -> bytes:
    """Open the exchange and return the whole body."""
    exchange.open(on_limit)
    return b"".join(exchange.body.chunks())


def failure(exchange: Exchange, on_limit: Callable[[float], None] = on_limit) -> UpstreamError:
    """Return the error with which the exchange ends."""
    with pytest.raises(UpstreamError) as raised:
        read(exchange, on_limit)
    return raised.value
