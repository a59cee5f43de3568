"""The upstream client and a real server: what needs a socket. The unit tests of exchanges cover the rest."""

from __future__ import annotations

import gc
import time
import tracemalloc
from contextlib import suppress
from weakref import ref

import pytest

from errors import UpstreamError
from settings_reading.readers import SettingsError
from tests.support.upstreams.exchanges import connect, failure, on_limit
from tests.support.upstreams.scripted_exchanges import Answer
from tests.support.upstreams.scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("quick_backoff")


def test_an_unreachable_upstream_is_retried_and_then_502() -> None:
    client = connect("http://127.0.0.1:1/v1", upstream_retries=2)
    exchange = client.exchange("/chat/completions", b"{}", streamed=True, deadline_at=time.monotonic() + 20)
    error = failure(exchange)
    client.close()
    assert (error.status, error.code, exchange.attempts) == (502, "upstream_unreachable", 3)


def test_a_base_url_that_httpx_cannot_read_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL"):
        connect("https://1.2.3.999/v1")


@pytest.mark.parametrize("answer", [[b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"], [None]])
def test_a_failed_exchange_keeps_no_memory(answer: Answer) -> None:
    with ScriptedServer(answer) as server:
        client = connect(server.url, upstream_retries=1)
        gc.collect()
        gc.disable()  # it may find a reference cycle late, and each request has up to 6 MB
        tracemalloc.start()
        try:
            for _ in range(4):
                exchange = client.exchange(
                    "/chat/completions", bytes(2_000_000), streamed=True, deadline_at=time.monotonic() + 9
                )
                with suppress(
                    UpstreamError
                ):  # pytest.raises keeps the error, whose traceback refers to the exchange
                    exchange.open(on_limit)
                exchange.close()
                server.received.clear()
            is_freed = ref(exchange)
            del exchange
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
        client.close()
    assert is_freed() is None
    assert kept_bytes < 3_000_000  # the server holds the last request
