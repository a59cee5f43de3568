"""The upstream client and a real server: what needs a socket. The unit tests of exchanges cover the rest."""

from __future__ import annotations

import gc
import gzip
import time
import tracemalloc
from contextlib import suppress
from typing import Any
from weakref import ref

import pytest

from errors import UpstreamError
from settings_reading.readers import SettingsError
from tests.support.runtime.exchanges import (
    HELLO,
    HELLO_BYTES,
    StartExchange,
    asking,
    connect,
    failure,
    on_limit,
    open_connections,
    read,
)
from tests.support.runtime.scripted_exchanges import Answer
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion, event
from tests.support.upstreams.scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("quick_backoff")


def test_the_body_arrives_unchanged(start: StartExchange, replay: ReplayUpstream, model: str) -> None:
    exchange = start(Reply(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 1
    (received,) = replay.exchanges(model)
    assert received.headers["authorization"] == "Bearer sk-relay"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["accept"] == "text/event-stream"


def test_a_connection_is_reused(replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(HELLO))
    client = connect(replay.url)
    sockets = set()
    for _ in range(3):
        exchange = client.exchange(
            "/chat/completions", asking(model), streamed=True, deadline_at=time.monotonic() + 9
        )
        read(exchange)
        exchange.close()
        assert open_connections(client) == 1
        sockets.add(id(client._connection))
    client.close()
    assert len(sockets) == 1


def test_a_redirect_is_never_followed(start: StartExchange, replay: ReplayUpstream, model: str) -> None:
    error = failure(start(Reply([b""], 307, {"location": replay.url + "/elsewhere"})))
    assert (error.status, error.code) == (502, "upstream_unexpected_status")
    assert len(replay.exchanges(model)) == 1


def test_an_unreachable_upstream_is_retried_and_then_502() -> None:
    client = connect("http://127.0.0.1:1/v1", upstream_retries=2)
    exchange = client.exchange("/chat/completions", b"{}", streamed=True, deadline_at=time.monotonic() + 20)
    error = failure(exchange)
    client.close()
    assert (error.status, error.code, exchange.attempts) == (502, "upstream_unreachable", 3)


@pytest.mark.parametrize("ends", ["clean", "cut", "unframed"])
def test_an_empty_answer_is_retried(start: StartExchange, ends: Any) -> None:
    exchange = start(Reply([], ends=ends), Reply([b"\n\n"], ends=ends), Reply(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 3


@pytest.mark.parametrize("ends", ["cut", "reset"])
def test_an_answer_that_breaks_off_is_not_retried(start: StartExchange, ends: Any) -> None:
    exchange = start(Reply([event("Hel"), 0.2], ends=ends))
    error = failure(exchange)
    assert (error.code, error.outcome, exchange.attempts) == ("upstream_interrupted", "truncated", 1)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_completion_is_detected_by_its_body(start: StartExchange, content_type: str) -> None:
    exchange = start(Reply.json(completion("Hello"), content_type=content_type))
    exchange.open(on_limit)
    assert exchange.body.is_document
    assert b"Hello" in exchange.read_document()


def test_an_unrequested_compression_is_decompressed(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    assert read(start(Reply([gzip.compress(HELLO_BYTES)], headers=headers))) == HELLO_BYTES


def test_a_refusal_that_is_too_large_gets_the_relays_message(start: StartExchange) -> None:
    error = failure(start(Reply.json({"error": {"message": "x" * 100_000}}, 400)))
    assert error.body is None


def test_an_answers_cookies_are_not_sent_with_the_next_request(replay: ReplayUpstream, model: str) -> None:
    headers = {"content-type": "text/event-stream", "set-cookie": "session=of-caller-one; Path=/"}
    replay.answer(model, Reply(HELLO, headers=headers))
    client = connect(replay.url)
    for _ in range(2):
        exchange = client.exchange(
            "/chat/completions", asking(model), streamed=True, deadline_at=time.monotonic() + 9
        )
        read(exchange)
        exchange.close()
    client.close()
    assert all("cookie" not in exchange.headers for exchange in replay.exchanges(model))


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
