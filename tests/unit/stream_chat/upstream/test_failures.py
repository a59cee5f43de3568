from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from chat_stream.events import AnswerFailed
from upstream.failures import (
    AUTH_FAILED,
    KeyRefusedError,
    RetryableError,
    error_document,
    presentable,
    refusal,
    reported,
    retry_after_s,
)


def hide(text: str) -> str:
    return text.replace("sk-1", "[redacted]")


@pytest.mark.parametrize(("status", "shown"), [(408, 504), (409, 502), (429, 429), (500, 502), (529, 502)])
def test_transient_statuses_are_retryable(status: int, shown: int) -> None:
    error = refusal(status, {}, None)
    assert isinstance(error, RetryableError)
    assert error.status == shown


@pytest.mark.parametrize("status", [504, 522, 523, 524, 598, 599])
def test_a_gateways_timeout_may_have_been_served_and_is_not_retryable(status: int) -> None:
    error = refusal(status, {}, None)
    assert not isinstance(error, RetryableError)
    assert (error.status, error.code) == (504, "upstream_timeout")


def test_a_408_after_a_while_may_have_been_served() -> None:
    assert isinstance(refusal(408, {}, None), RetryableError)
    assert not isinstance(refusal(408, {}, None, may_be_served=True), RetryableError)


@pytest.mark.parametrize(
    ("status", "word", "is_retryable"),
    [
        (429, "false", False), (503, "false", False), (503, "False, false", False), (429, "maybe", True),
        (400, "true", True), (504, "true", True), (422, " TRUE", True), (400, "1", False),
        (401, "true", False), (403, "true", False), (307, "true", False),
    ],
)  # fmt: skip
def test_x_should_retry_decides_except_for_key_errors(status: int, word: str, is_retryable: bool) -> None:
    error = refusal(status, {"x-should-retry": word, "retry-after": "2"}, None)
    assert isinstance(error, RetryableError) == is_retryable
    assert error.headers == ({} if status in (401, 403, 307) else {"retry-after": "2"})


def test_a_refused_key_is_distinguished_from_a_forbidden_one_but_not_for_the_caller() -> None:
    refused, forbidden = refusal(401, {}, b"{}"), refusal(403, {}, b"{}")
    assert isinstance(refused, KeyRefusedError)
    assert not isinstance(forbidden, KeyRefusedError)
    assert refused.document() == forbidden.document()


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ({"retry-after": "7"}, "7"),
        ({"retry-after-ms": "1500"}, "2"),
        ({"retry-after-ms": "45000.5"}, "46"),
        ({"retry-after-ms": "soon", "retry-after": "12.5"}, "13"),
        ({"retry-after-ms": "900", "retry-after": "60"}, "1"),
        ({"retry-after": "30, 30"}, "30"),
        ({"retry-after": "30, 31.5"}, "32"),
        ({"retry-after": "soon, 4"}, "4"),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT, Thu, 01 Jan 1970 00:00:00 GMT"}, "0"),
        ({"retry-after": ".5"}, "1"),
        ({"retry-after": "9" * 60}, "86400"),
        ({"retry-after": "\x01odd"}, None),
        ({}, None),
    ],
)
def test_a_429_has_retry_after_in_whole_seconds(headers: dict[str, str], retry_after: str | None) -> None:
    assert refusal(429, headers, None).headers.get("retry-after") == retry_after


def test_a_date_to_retry_after_is_a_time_from_now() -> None:
    wait_s = retry_after_s({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert wait_s == pytest.approx(30, abs=3)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", ".", ",", "1.5.2", "1e3", "nan", "inf", "٣", "Mon, 99 Foo 2026"]
)
def test_a_wait_that_cannot_be_read_is_none(value: str) -> None:
    assert retry_after_s({"retry-after": value}) is None


def test_an_error_document_loses_the_key_and_its_line_breaks() -> None:
    assert error_document(b'{\n "error": "with sk-1"\n}', hide) == b'{"error":"with [redacted]"}'


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'data: {"error":{"message":"bad","code":"c"}}\n\n', "bad", "c"),
        (b'data: {"error":{"message":"bad","code":"c"}}', "bad", "c"),
        (b'event: error\r\ndata: {"error":{"message":"bad","code":"c"}}\r\n\r\n', "bad", "c"),
        (b'\xef\xbb\xbf: x\n\nevent: ping\ndata: {}\n\ndata: {"error":{"message":"bad"}}\n\n', "bad", None),
        (b'data: {"error":{"message":"bad"}}\n\ndata: [DONE]\n\n', "bad", None),
        (
            b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter","message":"range"}\n\n',
            "range",
            "InvalidParameter",
        ),
        (b"event: error\ndata: in plain words\n\n", "in plain words", "upstream_refused"),
        (b'{"code":"InvalidParameter","message":"range"}', "range", "InvalidParameter"),
        (b'{"error":true,"message":"words"}', "words", "upstream_refused"),
        (b'{"success":false,"errors":[{"code":7,"message":"words"}]}', "words", "7"),
    ],
)
def test_a_refusals_message_is_found_in_an_event_and_in_other_formats(
    body: bytes, message: str, code: str | None
) -> None:
    document = error_document(body, hide)
    assert document is not None
    error = json.loads(document)["error"]
    assert (error["message"], error.get("code")) == (message, code)


@pytest.mark.parametrize(
    ("failed", "status"),
    [
        (AnswerFailed("m", "invalid_request_error", "context_length_exceeded", None, None), 400),
        (AnswerFailed("m", None, "insufficient_quota", None, None), 429),
        (AnswerFailed("m", "invalid_request_error", "model_not_found", None, None), 404),
        (AnswerFailed("m", None, "429", None, None), 429),
        (AnswerFailed("m", "overloaded_error", None, None, None), 502),
        (AnswerFailed("m", None, "DEADLINE_EXCEEDED", None, None), 504),
        (AnswerFailed("m", "rate_limit_error", "x", None, None), 429),
        (AnswerFailed("m", None, "rate_limit_exceeded", None, 400), 400),
        (AnswerFailed("m", None, "524", None, None), 504),
        (AnswerFailed("m", "t", "c", None, None), 502),
    ],
)
def test_a_reported_error_gets_its_most_reliable_status(failed: AnswerFailed, status: int) -> None:
    assert reported(presentable(failed, hide)).status == status


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"data: words\n\n", b"event: x\n\n", b"[]", b"\xff", b"[" * 100_000]
)
def test_a_body_without_a_json_object_is_not_an_error_document(body: bytes) -> None:
    assert error_document(body, hide) is None


@pytest.mark.parametrize(
    "failed",
    [
        AnswerFailed(
            "Incorrect API key provided: sk-9", "invalid_request_error", "invalid_api_key", None, None
        ),
        AnswerFailed("no", "authentication_error", None, None, None),
        AnswerFailed("no", None, "401", None, 401),
        AnswerFailed("no", None, None, None, 403),
        AnswerFailed("no", None, "invalid_api_key", None, 400),
        AnswerFailed("no", None, "PERMISSION_DENIED", None, None),
    ],
)
def test_an_error_about_the_relays_key_gets_another_message(failed: AnswerFailed) -> None:
    shown = presentable(failed, hide)
    assert "sk-9" not in str(shown)
    assert (reported(shown).status, reported(shown).code) == (502, AUTH_FAILED)


def test_the_key_is_removed_from_every_field_of_another_error() -> None:
    shown = presentable(AnswerFailed("a sk-1", "b sk-1", "c sk-1", "d sk-1", 400), hide)
    assert "sk-1" not in str(shown)
    assert reported(shown).status == 400


def test_a_blank_code_is_ignored() -> None:
    assert reported(AnswerFailed("m", " ", " ", None, None)).code == "upstream_error"


@pytest.mark.parametrize("depth", [500, 900, 990, 5_000, 100_000])
@pytest.mark.parametrize(
    "around",
    [
        "%s", "[%s]", '{"error":%s}', '{"detail":%s}', '{"message":%s}', 'data: %s', 'data: {"error":%s}',
        'data: {"error":{"message":%s}}', "event: error\ndata: %s",
    ],
)  # fmt: skip
def test_json_of_any_depth_is_an_error_document_or_none(around: str, depth: int) -> None:
    body = (around % ('{"a":' * depth + "1" + "}" * depth)).encode()
    document = error_document(body, hide)
    assert document is None or json.loads(document)["error"] or depth == 500
