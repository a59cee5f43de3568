"""Refusals by the upstream: their status and message; respx stands in for the upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.upstreams.exchanges import StartExchange, failure
from tests.support.upstreams.respx_answers import json_answer


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refusal_is_passed_on_with_its_own_document(start: StartExchange, status: int) -> None:
    document = {"error": {"message": "bad field", "vendor": True}}
    exchange = start(json_answer(document, status))
    error = failure(exchange)
    assert (error.status, exchange.attempts) == (status, 1)
    assert error.document() == b'{"error":{"message":"bad field","vendor":true}}'


@pytest.mark.parametrize(
    "body", [b"<html>no</html>", b"[]", b'"words"', b'{"error":"%b"}' % (b"x" * 100_000)]
)
def test_a_refusal_that_is_not_a_json_object_or_too_large_gets_the_relays_message(
    start: StartExchange, body: bytes
) -> None:
    error = failure(start(json_answer(body, 400)))
    assert error.body is None
    assert error.status == 400


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"detail": [{"msg": "no"}]}, '[{"msg": "no"}]'),
        ({"object": "error", "message": "no such model"}, "no such model"),
        ({"status": "odd"}, '{"status": "odd"}'),
        ({"error": None, "message": "bad schema"}, "bad schema"),
        ({"error": {}, "message": "bad schema"}, "bad schema"),
        ([{"error": {"message": "in Gemini's format"}}], "in Gemini's format"),
    ],
)
def test_a_refusal_in_any_json_object_is_converted_to_openais_format(
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
def test_a_refusal_without_a_message_gets_the_relays(start: StartExchange, message: Any) -> None:
    error = failure(start(json_answer({"error": {"message": message, "vendor": 1}}, 400)))
    details = error.details()
    assert (details["message"], details["vendor"]) == ("The upstream answered with status 400.", 1)
