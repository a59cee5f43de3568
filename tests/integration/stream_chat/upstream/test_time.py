"""The upstream client's time limits, and cuts from another thread in every phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from errors import RelayError, UpstreamError
from lambda_stream import Watchdog
from tests.support.upstreams.exchanges import HELLO, StartExchange, asking, connect, failure, on_limit, read
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event
from upstream.exchange import Exchange


def failure_under_watch(exchange: Exchange) -> UpstreamError:
    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(exchange.limits.limit_at, exchange.limits.cut_for_silence)
        return failure(exchange, watchdog.wake)


@pytest.mark.parametrize("reply", [Reply(HELLO, head_after=30.0), Reply([b": working\n\n"], ends="silent")])
def test_silence_before_the_first_event_is_504_and_not_retried(start: StartExchange, reply: Reply) -> None:
    exchange = start(reply, first_byte_timeout_s=0.3)
    error = failure_under_watch(exchange)
    assert (error.status, error.code, exchange.attempts) == (504, "upstream_timeout", 1)


def test_the_idle_limit_may_be_longer_than_the_first_bytes(start: StartExchange) -> None:
    exchange = start(Reply([event("a"), 2.4, DONE]), first_byte_timeout_s=2.0, idle_timeout_s=15)
    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(exchange.limits.limit_at, exchange.limits.cut_for_silence)
        exchange.open(watchdog.wake)
        chunks = exchange.body.chunks()
        got = next(chunks)
        exchange.limits.restart_idle()
        assert got + b"".join(chunks) == event("a") + DONE


@pytest.mark.parametrize("pieces", [[b'{"choices"', 0.4, b": ", 0.4, b"[]}"], [0.6, b'{"choices": []}']])
def test_an_unstreamed_answer_is_limited_by_the_deadline_alone(start: StartExchange, pieces: Any) -> None:
    json_type = {"content-type": "application/json"}
    reply = Reply(pieces, headers=json_type, head_after=0.5)
    exchange = start(reply, streamed=False, first_byte_timeout_s=0.3, idle_timeout_s=0.3)
    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(exchange.limits.limit_at, exchange.limits.cut_for_silence)
        exchange.open(watchdog.wake)
        assert exchange.read_document() == b'{"choices": []}'


def test_each_piece_of_an_unrequested_document_restarts_the_idle_time(start: StartExchange) -> None:
    json_type = {"content-type": "application/json"}
    exchange = start(
        Reply([b"{", 1.0, b'"choices"', 1.0, b": ", 1.0, b"[]}"], headers=json_type), idle_timeout_s=2.5
    )
    with Watchdog(threading.RLock()) as watchdog:
        watchdog.add(exchange.limits.limit_at, exchange.limits.cut_for_silence)
        exchange.open(watchdog.wake)
        assert exchange.read_document() == b'{"choices": []}'


def test_the_deadline_ends_the_wait_for_the_head(start: StartExchange) -> None:
    exchange = start(Reply(HELLO, head_after=30.0), timeout_s=0.3)
    assert failure(exchange).code == "deadline_exceeded"


def assert_a_cut_ends(exchange: Exchange, act: Callable[[Exchange], object]) -> None:
    """Cut the exchange from another thread; what blocks on it must end with the reason."""
    reason = RelayError(504, "deadline_exceeded", "late")
    cut = threading.Timer(0.3, exchange.limits.cut, [reason])
    started_at = time.monotonic()
    cut.start()
    with pytest.raises(RelayError) as raised:
        act(exchange)
    cut.join()
    assert raised.value is reason
    assert time.monotonic() - started_at < 15  # the client's own limits are longer


def open_it(exchange: Exchange) -> None:
    exchange.open(on_limit)


@pytest.mark.parametrize("ends", ["clean", "unframed"])
def test_a_cut_ends_a_blocked_read_at_once(start: StartExchange, ends: Any) -> None:
    never = threading.Event()
    exchange = start(Reply([event("Hel"), never], ends=ends))
    exchange.open(on_limit)
    assert_a_cut_ends(exchange, lambda exchange: b"".join(exchange.body.chunks()))


def test_a_cut_ends_the_wait_for_the_head_on_new_and_reused_connections(
    replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(HELLO), Reply(HELLO, head_after=30.0))
    client = connect(replay.url)

    def exchange() -> Exchange:
        deadline_at = time.monotonic() + 20
        return client.exchange("/chat/completions", asking(model), streamed=True, deadline_at=deadline_at)

    read(exchange())
    for _ in range(2):
        cut = exchange()
        assert_a_cut_ends(cut, open_it)
        cut.close()
    client.close()


def test_a_cut_ends_the_wait_for_a_retry(start: StartExchange) -> None:
    assert_a_cut_ends(start(Reply.json({}, 503, retry_after="9"), Reply(HELLO)), open_it)


def test_a_cut_before_the_connection_exists_ends_the_exchange_and_the_first_reason_counts(
    start: StartExchange,
) -> None:
    exchange = start(Reply(HELLO))
    first = RelayError(504, "first", "")
    exchange.limits.cut(first)
    exchange.limits.cut(RelayError(504, "second", ""))
    with pytest.raises(RelayError) as raised:
        exchange.open(on_limit)
    assert raised.value is first


def test_the_first_byte_limit_applies_until_an_event_and_then_the_idle_limit(start: StartExchange) -> None:
    exchange = start(Reply(HELLO), first_byte_timeout_s=100, idle_timeout_s=30)
    assert exchange.limits.limit_at() is None
    started_at = time.monotonic()
    exchange.open(on_limit)
    assert exchange.limits.limit_at() == pytest.approx(started_at + 100, abs=20)
    exchange.limits.restart_idle()
    assert exchange.limits.limit_at() == pytest.approx(time.monotonic() + 30, abs=9)
    exchange.limits.restart_idle(done=True)
    assert exchange.limits.limit_at() == pytest.approx(time.monotonic() + 1, abs=8)


def test_an_earlier_limit_wakes_the_waiting_thread(start: StartExchange) -> None:
    exchange = start(Reply(HELLO), first_byte_timeout_s=100, idle_timeout_s=10)
    limits: list[float] = []
    exchange.open(limits.append)
    exchange.limits.restart_idle()
    exchange.limits.restart_idle()
    exchange.limits.restart_idle(done=True)
    assert len(limits) == 3  # the head, the first event, [DONE]; but not the second event
