"""What an exchange makes of statuses, headers, bodies and errors: respx answers in the upstream's place."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any

import httpx
import pytest
import respx

from errors import UpstreamError
from settings import Settings
from tests.support.runtime.exchanges import HELLO, HELLO_BYTES, StartExchange, failure, on_limit, read
from tests.support.upstreams.replay_upstream import DONE, completion, event
from upstream.client import Upstream
from upstream.time_limits import TimeLimits

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


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited between attempts; the tests do not wait for them."""
    waited: list[float] = []
    monkeypatch.setattr(TimeLimits, "wait", lambda limits, wait_s: waited.append(wait_s))
    return waited


@pytest.fixture
def model(respx_mock: respx.MockRouter) -> respx.Route:
    """The upstream's endpoint."""
    return respx_mock.post(f"{BASE_URL}/chat/completions")


@pytest.fixture
def start(model: respx.Route, waits: list[float]) -> Iterator[StartExchange]:
    """Begin an exchange that meets these answers, the last of them again and again."""
    clients = []

    def start(
        *answers: Answer | Exception, streamed: bool = True, timeout_s: float = 20.0, **values: Any
    ) -> Any:
        left = list(answers)

        def answer(_: httpx.Request) -> httpx.Response:
            given = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(given, Exception):
                raise given
            return given()

        model.side_effect = answer
        settings = {"openai_base_url": BASE_URL, "openai_api_key": "sk-relay", **values}
        client = Upstream(Settings(**settings))
        clients.append(client)
        deadline_at = time.monotonic() + timeout_s
        return client.exchange("/chat/completions", b"{}", streamed=streamed, deadline_at=deadline_at)

    yield start
    for client in clients:
        client.close()


def test_the_request_says_what_is_wanted_and_the_body_arrives_as_it_was_sent(
    start: StartExchange, model: respx.Route
) -> None:
    exchange = start(stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 1
    assert model.calls.last.request.headers.multi_items() == [
        ("host", "model.test"),
        ("user-agent", "delta-relay"),
        ("accept", "text/event-stream"),
        ("accept-encoding", "identity"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("authorization", "Bearer sk-relay"),
    ]
    assert model.calls.last.request.content == b"{}"


def test_no_key_means_no_authorization_header(start: StartExchange, model: respx.Route) -> None:
    read(start(stream(HELLO), openai_api_key=""))
    assert "authorization" not in model.calls.last.request.headers


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
def test_each_error_of_httpx_has_a_status_and_is_retried_or_not(
    start: StartExchange, error: Exception, status: int, code: str, attempts: int
) -> None:
    exchange = start(error, upstream_retries=2)
    failed = failure(exchange)
    assert (failed.status, failed.code, exchange.attempts) == (status, code, attempts)


def test_an_error_before_an_answer_is_mended_by_another_attempt(start: StartExchange) -> None:
    exchange = start(httpx.ConnectError("refused"), stream(HELLO))
    assert (read(exchange), exchange.attempts) == (HELLO_BYTES, 2)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_failure_is_tried_again(start: StartExchange, status: int) -> None:
    exchange = start(json_answer({"error": {}}, status), json_answer({}, status), stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 3


@pytest.mark.parametrize(("status", "shown"), [(408, 504), (409, 502), (429, 429), (500, 502), (503, 502)])
def test_a_failure_that_stays_is_told_after_the_last_attempt(
    start: StartExchange, status: int, shown: int
) -> None:
    exchange = start(json_answer({"error": {"message": "m"}}, status), upstream_retries=1)
    assert failure(exchange).status == shown
    assert exchange.attempts == 2


@pytest.mark.parametrize("status", [504, 522, 524, 598, 599])
def test_a_gateways_timeout_is_not_asked_for_again(start: StartExchange, status: int) -> None:
    exchange = start(json_answer({}, status), stream(HELLO))
    assert (failure(exchange).status, exchange.attempts) == (504, 1)


def test_an_upstream_that_says_not_to_retry_is_asked_once_and_its_word_passed_on(
    start: StartExchange,
) -> None:
    exchange = start(json_answer({"error": {"message": "m"}}, 429, x_should_retry="false"), stream(HELLO))
    assert (failure(exchange).status, exchange.attempts) == (429, 1)
    assert exchange.caller_headers == {"x-should-retry": "false"}


def test_an_upstream_that_says_to_retry_is_asked_again(start: StartExchange) -> None:
    exchange = start(json_answer({}, 400, x_should_retry="true"), stream(HELLO))
    assert (read(exchange), exchange.attempts) == (HELLO_BYTES, 2)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_every_success_is_an_answer(start: StartExchange, status: int) -> None:
    exchange = start(stream(HELLO, status))
    assert (read(exchange), exchange.attempts) == (HELLO_BYTES, 1)


def test_retry_after_is_waited_for(start: StartExchange, waits: list[float]) -> None:
    read(start(json_answer({}, 503, retry_after="1"), stream(HELLO)))
    assert waits == [1]


def test_the_wait_grows_with_each_retry_and_is_never_the_same_for_all(
    start: StartExchange, waits: list[float]
) -> None:
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


def test_a_retry_after_that_is_too_long_is_told_on_at_once(start: StartExchange) -> None:
    exchange = start(json_answer({"error": {"message": "m"}}, 429, retry_after="11"))
    error = failure(exchange)
    assert exchange.attempts == 1
    assert error.status == 429
    assert error.headers == {"retry-after": "11"}


def test_no_retry_is_begun_that_the_deadline_would_cut(start: StartExchange) -> None:
    exchange = start(json_answer({}, 503, retry_after="5"), timeout_s=3)
    assert failure(exchange).status == 502
    assert exchange.attempts == 1


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_of_the_request_is_passed_on_with_its_own_words(start: StartExchange, status: int) -> None:
    document = {"error": {"message": "bad field", "vendor": True}}
    exchange = start(json_answer(document, status))
    error = failure(exchange)
    assert (error.status, exchange.attempts) == (status, 1)
    assert error.document() == b'{"error":{"message":"bad field","vendor":true}}'


@pytest.mark.parametrize("body", [b"<html>no</html>", b"[]", b'"words"', b"x" * 100_000])
def test_a_refusal_in_another_shape_is_told_in_the_relays_words(start: StartExchange, body: bytes) -> None:
    error = failure(start(json_answer(body, 400)))
    assert error.body is None
    assert error.status == 400


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_relay_key_is_502_without_a_word_about_the_key(start: StartExchange, status: int) -> None:
    exchange = start(json_answer({"error": {"message": "Incorrect API key provided: sk-relay"}}, status))
    error = failure(exchange)
    assert (error.status, error.code, exchange.attempts) == (502, "upstream_auth_failed", 1)
    assert b"sk-relay" not in error.document()


def test_a_key_that_an_error_reflects_is_blacked_out(start: StartExchange) -> None:
    error = failure(start(json_answer({"error": {"message": "header Bearer sk-relay is odd"}}, 400)))
    assert error.document() == b'{"error":{"message":"header Bearer [redacted] is odd"}}'


def test_a_redirect_is_never_followed(start: StartExchange, model: respx.Route) -> None:
    error = failure(start(stream([b""], 307, {"location": f"{BASE_URL}/elsewhere"})))
    assert (error.status, error.code) == (502, "upstream_unexpected_status")
    assert model.call_count == 1


@pytest.mark.parametrize("error", [None, *BREAKS])
def test_an_empty_answer_is_tried_again(start: StartExchange, error: Any) -> None:
    exchange = start(stream([], error=error), stream([b"\n\n"], error=error), stream(HELLO))
    assert read(exchange) == HELLO_BYTES
    assert exchange.attempts == 3


def test_an_answer_that_stays_empty_is_an_error(start: StartExchange) -> None:
    assert failure(start(stream([]))).code == "empty_stream"


@pytest.mark.parametrize("error", BREAKS)
def test_an_answer_that_breaks_off_is_not_tried_again(start: StartExchange, error: Any) -> None:
    exchange = start(stream([event("Hel")], error=error))
    error = failure(exchange)
    assert (error.code, error.outcome, exchange.attempts) == ("upstream_interrupted", "truncated", 1)


def test_html_with_status_200_is_a_configuration_error_and_not_tried_again(start: StartExchange) -> None:
    exchange = start(stream([b"<!doctype html><h1>Welcome</h1>"], headers={"content-type": "text/html"}))
    error = failure(exchange)
    assert (error.status, error.code, exchange.attempts) == (502, "not_event_stream", 1)
    assert "text/html" in error.message
    assert "Welcome" not in error.message


def test_html_under_the_right_type_is_still_html(start: StartExchange) -> None:
    assert failure(start(stream([b"\n<html>"]))).code == "not_event_stream"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_under_a_wrong_type_are_events(start: StartExchange, size: int) -> None:
    pieces = [HELLO_BYTES[at : at + size] for at in range(0, len(HELLO_BYTES), size)]
    exchange = start(stream(pieces, headers={"content-type": "text/plain"}))
    assert read(exchange) == HELLO_BYTES
    assert not exchange.body.is_document


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_a_completion_is_known_by_its_body(start: StartExchange, content_type: str) -> None:
    exchange = start(json_answer(completion("Hello"), content_type=content_type))
    exchange.open(on_limit)
    assert exchange.body.is_document
    assert b"Hello" in exchange.read_document()


def test_events_in_place_of_a_document_are_told_from_one(start: StartExchange) -> None:
    exchange = start(stream(HELLO), streamed=False)
    assert read(exchange) == HELLO_BYTES
    assert not exchange.body.is_document


def test_a_completion_over_the_limit_is_an_error(
    start: StartExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upstream.body.answer_body.MAX_DOCUMENT_BYTES", 100)
    exchange = start(json_answer(completion("Hello" * 100)), streamed=False)
    exchange.open(on_limit)
    with pytest.raises(UpstreamError, match="too large"):
        exchange.read_document()


def test_a_body_that_comes_compressed_all_the_same_is_inflated(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    assert read(start(stream([gzip.compress(HELLO_BYTES)], headers=headers))) == HELLO_BYTES


def test_a_broken_compression_is_an_interruption(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    exchange = start(stream([b"\x1f\x8bnot really gzip", DONE], headers=headers))
    assert (failure(exchange).code, exchange.attempts) == ("upstream_interrupted", 1)


def test_compression_upon_compression_is_refused_and_not_inflated(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip, gzip"}
    twice = gzip.compress(gzip.compress(HELLO_BYTES))
    assert failure(start(stream([twice], headers=headers))).code == "not_event_stream"


TEXT_CODINGS = [
    "none",
    "utf-8",
    "UTF-8",
    "aws-chunked",
    "binary",
    "",
    "identity",
    "made-up",
    "br",
    "gzip",
    "deflate",
]


@pytest.mark.parametrize("coding", [*TEXT_CODINGS, "identity, none", "gzip, br"])
@pytest.mark.parametrize("size", [1, 1000])
def test_text_is_read_as_it_is_whatever_coding_is_named(start: StartExchange, coding: str, size: int) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": coding}
    body = b"\xef\xbb\xbf\r\n" + HELLO_BYTES
    exchange = start(stream([body[at : at + size] for at in range(0, len(body), size)], headers=headers))
    assert (read(exchange), exchange.attempts) == (body, 1)


@pytest.mark.parametrize(
    "coding", [*TEXT_CODINGS[:-3], "identity, gzip", "gzip, identity", "aws-chunked, GZIP"]
)
@pytest.mark.parametrize("size", [1, 1000])
def test_gzip_is_inflated_whatever_coding_is_named(start: StartExchange, coding: str, size: int) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": coding}
    body = gzip.compress(HELLO_BYTES)
    exchange = start(stream([body[at : at + size] for at in range(0, len(body), size)], headers=headers))
    assert read(exchange) == HELLO_BYTES


def test_gzip_without_a_word_about_it_is_inflated(start: StartExchange) -> None:
    assert read(start(stream([gzip.compress(HELLO_BYTES)]))) == HELLO_BYTES


@pytest.mark.parametrize("coding", ["br", "zstd", "made-up"])
def test_a_coding_that_cannot_be_taken_off_is_named_and_not_asked_for_again(
    start: StartExchange, coding: str
) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": coding}
    exchange = start(stream([b"\x28\xb5\x2f\xfd\x04\x58\x01\x00\x00"], headers=headers))
    error = failure(exchange)
    assert (error.code, exchange.attempts) == ("not_event_stream", 1)
    assert f"content-encoding {coding}" in error.message


def test_blank_bytes_without_end_are_an_empty_answer(start: StartExchange) -> None:
    blanks = [b"\n" * 16384] * 64
    assert failure(start(stream(blanks), upstream_retries=0)).code == "empty_stream"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"detail": [{"msg": "no"}]}, '[{"msg": "no"}]'),
        ({"object": "error", "message": "no such model"}, "no such model"),
        ({"status": "odd"}, '{"status": "odd"}'),
        ({"error": None, "message": "bad schema"}, "bad schema"),
        ({"error": {}, "message": "bad schema"}, "bad schema"),
        ([{"error": {"message": "as Gemini sends it"}}], "as Gemini sends it"),
    ],
)
def test_a_refusal_in_any_json_object_is_told_in_openais_shape(
    start: StartExchange, document: Any, message: str
) -> None:
    error = failure(start(json_answer(document, 422)))
    assert error.status == 422
    assert json.loads(error.document())["error"]["message"] == message


def test_a_key_that_looks_like_a_number_does_not_break_the_refusal(start: StartExchange) -> None:
    error = failure(
        start(json_answer({"error": {"message": "not 1234", "code": 1234}}, 400), openai_api_key="1234")
    )
    assert json.loads(error.document())["error"] == {"message": "not [redacted]", "code": 1234}
    assert (error.details()["message"], error.details()["code"]) == ("not [redacted]", "1234")


@pytest.mark.parametrize("message", [None, "", []])
def test_a_refusal_without_words_has_the_relays(start: StartExchange, message: Any) -> None:
    error = failure(start(json_answer({"error": {"message": message, "vendor": 1}}, 400)))
    details = error.details()
    assert (details["message"], details["vendor"]) == ("The upstream answered with status 400.", 1)


def test_a_refusal_that_is_too_large_is_told_in_the_relays_words(start: StartExchange) -> None:
    error = failure(start(json_answer({"error": {"message": "x" * 100_000}}, 400)))
    assert error.body is None


def test_blank_bytes_one_by_one_take_linear_time(start: StartExchange) -> None:
    blanks = (b" ",) * 60_000
    exchange = start(stream([blanks, b"{}"]), streamed=False)
    started_at = time.process_time()
    assert read(exchange) == b" " * 60_000 + b"{}"
    assert time.process_time() - started_at < 3


def test_an_answers_cookies_are_not_sent_with_the_next_request(
    start: StartExchange, model: respx.Route
) -> None:
    cookie = {**EVENT_STREAM, "set-cookie": "session=of-caller-one; Path=/", "retry-after": "0"}
    read(start(stream([], 503, cookie), stream(HELLO, headers=cookie)))
    assert model.call_count == 2
    assert "cookie" not in model.calls.last.request.headers


def test_as_many_retries_are_made_as_were_set(start: StartExchange) -> None:
    exchange = start(json_answer({}, 503), upstream_retries=8)
    failure(exchange)
    assert exchange.attempts == 9


def test_the_upstreams_request_id_is_kept(start: StartExchange) -> None:
    headers = {"content-type": "text/event-stream", "x-request-id": "req_1"}
    exchange = start(stream(HELLO, headers=headers))
    read(exchange)
    assert exchange.request_id == "req_1"
