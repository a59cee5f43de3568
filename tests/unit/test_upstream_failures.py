from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from chat_stream.chat_events import AnswerFailed
from upstream_failures import (
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


@pytest.mark.parametrize(("status", "shown"), [(408, 504), (409, 502), (429, 429), (500, 502), (504, 504)])
def test_what_may_pass_is_retryable(status: int, shown: int) -> None:
    error = refusal(status, {}, None)
    assert isinstance(error, RetryableError)
    assert error.status == shown


def test_a_refused_key_is_told_apart_from_a_forbidden_one_but_not_to_the_caller() -> None:
    refused, forbidden = refusal(401, {}, b"{}"), refusal(403, {}, b"{}")
    assert isinstance(refused, KeyRefusedError)
    assert not isinstance(forbidden, KeyRefusedError)
    assert refused.document() == forbidden.document()


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"retry-after": "7"}, "7"),
        ({"retry-after-ms": "1500"}, "2"),
        ({"retry-after": "9" * 60}, "86400"),
        ({"retry-after": "\x01odd"}, None),
        ({}, None),
    ],
)
def test_a_429_tells_the_wait_in_whole_seconds(headers: dict[str, str], told: str | None) -> None:
    assert refusal(429, headers, None).headers.get("retry-after") == told


def test_a_date_to_retry_after_is_a_time_from_now() -> None:
    wait_s = retry_after_s({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert wait_s == pytest.approx(30, abs=3)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1e3", "nan", "inf", "٣", "Mon, 99 Foo 2026"])
def test_a_wait_that_cannot_be_read_is_none(value: str) -> None:
    assert retry_after_s({"retry-after": value}) is None


def test_an_error_document_loses_the_key_and_its_line_breaks() -> None:
    assert error_document(b'{\n "error": "with sk-1"\n}', hide) == b'{"error":"with [redacted]"}'


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_no_error_document(body: bytes) -> None:
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
    ],
)
def test_an_error_about_the_relays_key_is_told_in_other_words(failed: AnswerFailed) -> None:
    shown = presentable(failed, hide)
    assert "sk-9" not in str(shown)
    assert (reported(shown).status, reported(shown).code) == (502, AUTH_FAILED)


def test_the_key_is_taken_out_of_every_part_of_another_error() -> None:
    shown = presentable(AnswerFailed("a sk-1", "b sk-1", "c sk-1", "d sk-1", 400), hide)
    assert "sk-1" not in str(shown)
    assert reported(shown).status == 400


def test_a_blank_code_is_no_code() -> None:
    assert reported(AnswerFailed("m", " ", " ", None, None)).code == "upstream_error"
