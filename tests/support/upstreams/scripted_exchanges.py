"""Exchanges of the upstream client with a scripted server, and the usual answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from errors import UpstreamError
from tests.support.network.loopback_listener import PATIENCE_S
from tests.support.upstreams.exchanges import connect, read
from tests.support.upstreams.scripted_server import ScriptedServer, Segment, chunked
from upstream.client import Upstream
from upstream.exchange import Exchange

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
EVENTS = (b'data: {"n": 1}\n\n', b'data: {"n": 2}\r\n\r\n', b"data: [DONE]\n\n")
BODY = b"".join(EVENTS)
GOOD = CHUNKED + chunked(*EVENTS)

Answer = list[Segment]


def ask(client: Upstream, timeout_s: float = 20.0) -> Exchange:
    """A request that has not been sent yet."""
    return client.exchange(
        "/chat/completions", b'{"model": "m"}', streamed=True, deadline_at=time.monotonic() + timeout_s
    )


@contextmanager
def exchange_with(*answers: Answer, **settings: Any) -> Iterator[tuple[Exchange, ScriptedServer]]:
    """An exchange with a server that gives these answers."""
    with ScriptedServer(*answers) as server:
        client = connect(server.url, **settings)
        exchange = ask(client)
        try:
            yield exchange, server
        finally:
            exchange.close()
            client.close()


def bodies_on(
    server: ScriptedServer, count: int = 2, *, has_more_behind: bool = False
) -> list[bytes | UpstreamError]:
    """The bodies, or errors, of consecutive exchanges of one client.

    Args:
        has_more_behind: whether the first answer is followed by bytes or a close, which must have arrived
            before the second request checks the connection. A closed connection counts as readable.
    """
    client = connect(server.url, upstream_retries=0)
    found: list[bytes | UpstreamError] = []
    for number in range(count):
        exchange = ask(client)
        try:
            found.append(read(exchange))
        except UpstreamError as error:
            found.append(error)
        exchange.close()
        if has_more_behind and number == 0:
            wait_until_readable(client)
    client.close()
    return found


def wait_until_readable(client: Upstream) -> None:
    """Wait until data has arrived on the client's last connection, in any of its layers."""
    give_up_at = time.monotonic() + PATIENCE_S
    connection = client._connection
    assert connection is not None
    while not connection.get_extra_info("is_readable"):
        assert time.monotonic() < give_up_at, "nothing followed the answer"
        time.sleep(0.001)
