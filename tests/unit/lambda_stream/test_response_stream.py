from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from lambda_stream import CallerGoneError, ResponseAbortedError, ResponseStream, Watchdog
from lambda_stream.error_report import ErrorReport
from lambda_stream.response_stream import takes_cookies_as_headers


class ListBody:
    """A body that records what it is given; once `gone` is set, it raises CallerGoneError."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = False
        self.limits: list[float] = []

    def _take(self, item: Any) -> None:
        if self.gone:
            raise CallerGoneError("hung up")
        self.sent.append(item)

    def open(self, prelude: Mapping[str, Any]) -> None:
        self._take(prelude)

    def write(self, data: bytes, give_up_at: float) -> None:
        self._take(data)
        self.limits.append(give_up_at)

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        self._take(("end", error))
        self.limits.append(give_up_at)

    def settle(self, give_up_at: float) -> None:
        self._take("settled")
        self.limits.append(give_up_at)


@pytest.fixture
def body() -> ListBody:
    return ListBody()


@pytest.fixture
def stream(body: ListBody) -> ResponseStream:
    return ResponseStream(body)


def test_every_step_after_the_start_gets_the_limit_that_the_handler_set(
    stream: ResponseStream, body: ListBody
) -> None:
    stream.give_up_at = 7.0
    stream.start()
    stream.write(b"x")
    stream.finish()
    assert body.limits == [7.0, 7.0, 7.0]


def test_any_buffer_is_written_as_its_bytes(stream: ResponseStream, body: ListBody) -> None:
    stream.start()
    stream.write(memoryview(array("I", [1, 2])))  # type: ignore[arg-type]
    assert body.sent[1:] == [array("I", [1, 2]).tobytes()]
    for no_buffer in (5, "text"):
        with pytest.raises(TypeError):
            stream.write(no_buffer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "headers", "cookies"),
    [
        (Decimal(200), {}, []),
        (200.0, {}, []),
        (200, {"a": 1}, []),
        (200, {1: "a"}, []),
        (200, {"a": ["b"]}, []),
        (200, {}, [b"a=b"]),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_and_nothing_is_sent(
    stream: ResponseStream, body: ListBody, status: Any, headers: Any, cookies: Any
) -> None:
    with pytest.raises(TypeError, match="is not a"):
        stream.start(status, headers, cookies)
    assert (body.sent, stream.started) == ([], False)


def test_a_write_before_the_start_is_refused(stream: ResponseStream) -> None:
    with pytest.raises(RuntimeError, match="before start"):
        stream.write(b"x")


def test_a_second_start_is_refused(stream: ResponseStream) -> None:
    stream.start()
    with pytest.raises(RuntimeError, match="already started"):
        stream.start()


def test_a_write_after_the_end_is_refused(stream: ResponseStream) -> None:
    stream.start()
    stream.finish()
    with pytest.raises(RuntimeError, match="already ended"):
        stream.write(b"x")


@pytest.mark.parametrize("status", [0, 99, 103, 600, -200])
def test_a_status_out_of_range_is_refused_and_nothing_is_sent(
    stream: ResponseStream, body: ListBody, status: int
) -> None:
    with pytest.raises(ValueError, match="status"):
        stream.start(status)
    assert body.sent == []
    assert not stream.started


@pytest.mark.parametrize("control", ["\r", "\n", "\0"])
@pytest.mark.parametrize("place", ["name", "value", "cookie"])
def test_control_characters_in_headers_and_cookies_are_refused(
    stream: ResponseStream, control: str, place: str
) -> None:
    bad = f"a{control}b"
    headers = {bad: "x"} if place == "name" else {"x": bad} if place == "value" else {}
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        stream.start(200, headers, [bad] if place == "cookie" else [])


def test_after_an_abort_writes_are_refused_and_only_the_first_abort_counts(
    stream: ResponseStream, body: ListBody
) -> None:
    stream.start()
    stream.abort("First", "one")
    stream.abort("Second", "two")
    with pytest.raises(ResponseAbortedError, match="First: one"):
        stream.write(b"x")
    assert stream.finish() is None
    assert body.sent[1:] == [b"\n", ("end", ErrorReport("First", "one")), "settled"]


def test_once_the_caller_is_gone_every_write_raises_and_nothing_is_sent(
    stream: ResponseStream, body: ListBody
) -> None:
    stream.start()
    body.gone = True
    with pytest.raises(CallerGoneError, match="hung up"):
        stream.write(b"x")
    body.gone = False
    with pytest.raises(CallerGoneError, match="hung up"):
        stream.write(b"y")
    stream.abort("Too", "late")
    assert stream.finish() is None
    assert len(body.sent) == 1
    assert stream.gone is not None


def test_after_a_write_in_another_thread_found_the_caller_gone_the_next_write_raises(
    stream: ResponseStream, body: ListBody
) -> None:
    def write() -> None:
        with pytest.raises(CallerGoneError):
            stream.write(b"x")

    stream.start()
    body.gone = True
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    with pytest.raises(CallerGoneError):
        stream.write(b"y")


STAND_INS = {
    "text/event-stream": b":\n",
    "Text/Event-Stream; charset=utf-8": b":\n",
    "text/plain; charset=utf-8": b"\n",
    "application/x-ndjson": b"\n",
    "": b"\n",
}


@pytest.mark.parametrize("content_type", STAND_INS)
@pytest.mark.parametrize("error", [None, ErrorReport("E", "m")])
def test_an_answer_without_a_body_gets_one_that_readers_of_its_type_skip(
    stream: ResponseStream, body: ListBody, content_type: str, error: ErrorReport | None
) -> None:
    stream.start(200, {"Content-Type": content_type} if content_type else {})
    stream.write(b"")
    stream.finish(error)
    assert body.sent[1:] == [STAND_INS[content_type], ("end", error), "settled"]


def test_a_content_length_of_zero_is_removed_because_it_would_contradict_the_body(
    stream: ResponseStream, body: ListBody
) -> None:
    stream.start(200, {"Content-Length": "0", "a": "b"})
    assert body.sent[0]["headers"] == {"a": "b"}


@pytest.mark.parametrize("status", [204, 304])
def test_a_buffered_answer_may_have_no_body(body: ListBody, status: int) -> None:
    stream = ResponseStream(body, buffered=True)
    stream.start(status, {"content-length": "0"})
    stream.finish()
    prelude = {"statusCode": status, "headers": {"content-length": "0"}, "cookies": []}
    assert body.sent == [prelude, ("end", None), "settled"]


class TimedBody(ListBody):
    """A body that also records when each item was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def _take(self, item: Any) -> None:
        super()._take(item)
        self.at.append(time.monotonic())


def test_the_first_byte_waits_for_the_gap_after_the_prelude_and_no_other_write_does() -> None:
    body = TimedBody()
    stream = ResponseStream(body)
    stream.prelude_gap_s = 0.3
    stream.start()
    stream.write(b"")
    for _ in range(50):
        stream.write(b"x")
    assert body.at[1] - body.at[0] >= 0.3
    assert body.at[-1] - body.at[1] < 50 * 0.3


def test_a_first_byte_that_comes_later_than_the_gap_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    body = TimedBody()
    stream = ResponseStream(body)
    stream.prelude_gap_s = 0.01
    stream.start()
    time.sleep(0.02)
    waits: list[float] = []
    monkeypatch.setattr("lambda_stream.response_stream.time.sleep", waits.append)
    stream.write(b"x")
    assert waits == [0.0]


@pytest.mark.parametrize("buffered", [True, False])
def test_without_a_gap_or_when_buffered_nothing_waits(
    body: ListBody, buffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = ResponseStream(body, buffered=buffered)
    stream.prelude_gap_s = 3600.0 if buffered else 0.0

    def refuse(wait_s: float) -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr("lambda_stream.response_stream.time.sleep", refuse)
    stream.start()
    stream.write(b"x")
    stream.finish()


def test_a_keep_alive_that_is_due_in_the_gap_is_not_sent_before_the_first_byte() -> None:
    body = TimedBody()
    stream = ResponseStream(body)
    stream.prelude_gap_s = 0.3
    with Watchdog(stream.lock) as watchdog:
        watchdog.add(lambda: stream.last_write_at + 0.1, lambda: stream.write(b":"))
        with stream.lock:
            stream.start()
            stream.write(b"x")
    assert body.sent[1] == b"x"
    assert body.at[1] - body.at[0] >= 0.3


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"version": "2.0", "requestContext": {"http": {}}}, False),
        ({"httpMethod": "GET", "requestContext": {}}, True),
        ({"version": "1.0", "httpMethod": "GET"}, True),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_only_payload_1_0_takes_cookies_as_headers(event: Any, expected: bool) -> None:
    assert takes_cookies_as_headers(event) is expected
