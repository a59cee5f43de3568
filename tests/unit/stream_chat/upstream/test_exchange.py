"""The attempts of an exchange: requests, retries and waits; respx stands in for the upstream."""

from __future__ import annotations

import time
from email.utils import formatdate

import httpx
import pytest
import respx

from errors import RelayError
from product import PRODUCT
from tests.support.upstreams.exchanges import HELLO, HELLO_BYTES, StartExchange, failure, read
from tests.support.upstreams.respx_answers import EVENT_STREAM, json_answer, stream
from upstream.time_limits import TimeLimits


def test_the_request_has_its_headers_and_the_body_arrives_unchanged(
    start: StartExchange, model: respx.Route
) -> None:
    exchange = start(stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 1
    assert model.calls.last.request.headers.multi_items() == [
        ("host", "model.test"),
        ("user-agent", PRODUCT),
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("authorization", "Bearer sk-relay"),
    ]
    assert model.calls.last.request.content == b"{}"


@pytest.mark.parametrize(
    ("error", "status", "code", "attempts"),
    [
        (httpx.ConnectError("refused"), 502, "upstream_unreachable", 3),
        (httpx.ConnectTimeout("too long"), 504, "upstream_timeout", 3),
        (httpx.PoolTimeout("too long"), 504, "upstream_timeout", 3),
        (httpx.ReadError("reset"), 502, "upstream_unreachable", 3),
        (httpx.WriteError("reset"), 502, "upstream_unreachable", 3),
        (httpx.ProxyError("407"), 502, "upstream_unreachable", 3),
        (httpx.LocalProtocolError("a header"), 502, "upstream_unreachable", 3),
        (httpx.UnsupportedProtocol("ftp"), 502, "upstream_unreachable", 3),
        (httpx.ReadTimeout("too long"), 504, "deadline_exceeded", 1),
        (httpx.WriteTimeout("too long"), 504, "deadline_exceeded", 1),
    ],
)
def test_each_httpx_error_has_a_status_and_a_retry_rule(
    start: StartExchange, error: Exception, status: int, code: str, attempts: int
) -> None:
    exchange = start(error, upstream_retries=2)
    failed = failure(exchange)
    assert (failed.status, failed.code, exchange.attempts) == (status, code, attempts)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_transient_failure_is_retried(start: StartExchange, status: int) -> None:
    exchange = start(json_answer({"error": {}}, status), json_answer({}, status), stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 3


def test_x_should_retry_false_prevents_retries_and_is_passed_on(start: StartExchange) -> None:
    exchange = start(json_answer({"error": {"message": "m"}}, 429, x_should_retry="false"), stream(HELLO))
    assert (failure(exchange).status, exchange.attempts) == (429, 1)
    assert exchange.caller_headers == {"x-should-retry": "false"}


@pytest.mark.parametrize("location", ["/elsewhere", "mailto:a", "http:foo", "http://h:x/", "x" * 70_000])
def test_a_redirect_is_an_error_whatever_its_target(
    start: StartExchange, model: respx.Route, location: str
) -> None:
    error = failure(start(stream([], 307, {"location": location})))
    assert (error.status, error.code, model.call_count) == (502, "upstream_unexpected_status", 1)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_every_success_is_an_answer(start: StartExchange, status: int) -> None:
    exchange = start(stream(HELLO, status))
    assert (read(exchange), exchange.attempts) == (HELLO_BYTES, 1)


def test_the_wait_grows_with_each_retry_and_is_randomized(start: StartExchange, waits: list[float]) -> None:
    failure(start(json_answer({}, 503), upstream_retries=4))
    for wait_s, longest_s in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert longest_s / 2 <= wait_s <= longest_s


def test_retry_after_is_read_as_milliseconds_and_as_a_date(start: StartExchange, waits: list[float]) -> None:
    date = formatdate(time.time() + 5, usegmt=True)
    read(
        start(
            json_answer({}, 503, retry_after_ms="300"), json_answer({}, 503, retry_after=date), stream(HELLO)
        )
    )
    assert waits == [0.3, pytest.approx(4, abs=1.5)]


def test_a_retry_after_that_is_too_long_is_passed_on_at_once(start: StartExchange) -> None:
    exchange = start(json_answer({"error": {"message": "m"}}, 429, retry_after="11"))
    error = failure(exchange)
    assert exchange.attempts == 1
    assert error.status == 429
    assert error.headers == {"retry-after": "11"}


def test_no_retry_starts_that_the_deadline_would_cut(start: StartExchange) -> None:
    exchange = start(json_answer({}, 503, retry_after="5"), timeout_s=3)
    assert failure(exchange).status == 502
    assert exchange.attempts == 1


def test_an_answers_cookies_are_not_sent_with_the_next_request(
    start: StartExchange, model: respx.Route
) -> None:
    cookie = {**EVENT_STREAM, "set-cookie": "session=of-caller-one; Path=/", "retry-after": "0"}
    read(start(stream([], 503, cookie), stream(HELLO, headers=cookie)))
    assert model.call_count == 2
    assert "cookie" not in model.calls.last.request.headers


def test_the_upstreams_request_id_is_kept(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "x-request-id": "req_1"}
    exchange = start(stream(HELLO, headers=headers))
    read(exchange)
    assert exchange.request_id == "req_1"


def test_headers_of_a_retried_attempt_are_not_passed_on(
    start: StartExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = start(
        json_answer({}, 503, x_request_id="req_1"),
        json_answer({}, 401, x_request_id="req_2"),
        stream(HELLO, headers={**EVENT_STREAM, "x-request-id": "req_3"}),
    )
    shown: list[object] = []

    def read_key(*, limit_s: float, renew: bool) -> str:
        shown.append(exchange.caller_headers)
        return "sk-relay"

    key = exchange._upstream.key
    key.is_renewable = True
    monkeypatch.setattr(TimeLimits, "wait", lambda limits, wait_s: shown.append(exchange.caller_headers))
    monkeypatch.setattr(key, "read", read_key)
    read(exchange)
    assert shown == [{}, {}, {}]  # the first key, the wait for the second attempt, the renewed key
    assert exchange.caller_headers == {"x-request-id": "req_3"}


def test_no_silence_is_counted_between_attempts_nor_after_the_last(
    start: StartExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = start(json_answer({}, 503), stream(HELLO))
    limits: list[float | None] = []
    monkeypatch.setattr(TimeLimits, "wait", lambda limits_, wait_s: limits.append(limits_.limit_at()))
    read(exchange)
    assert exchange.limits.limit_at() is not None
    exchange.close()
    assert [*limits, exchange.limits.limit_at()] == [None, None]


@pytest.mark.parametrize(
    "kind", [httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ConnectError, httpx.RemoteProtocolError, None]
)
def test_an_attempt_that_ends_by_a_cut_raises_its_reason_even_after_the_head(
    start: StartExchange, kind: type[httpx.TransportError] | None
) -> None:
    def answer() -> httpx.Response:
        exchange.limits.cut(late)
        if kind is None:
            return json_answer({"error": {"message": "m"}}, 400)()
        raise kind("")

    exchange, late = start(answer), RelayError(504, "deadline_exceeded", "late")
    with pytest.raises(RelayError) as raised:
        read(exchange)
    assert (raised.value, exchange.attempts) == (late, 1)
