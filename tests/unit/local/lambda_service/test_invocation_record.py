"""The record of an asynchronous invocation that failed for good."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from local.lambda_service.invocation import InvocationError
from local.lambda_service.invocation_record import failure_record, unwrapped

ARN = "arn:aws:lambda:us-east-1:123456789012:function:my-function"


def test_the_record_has_the_documented_fields() -> None:
    failure = InvocationError("error", "PublishError", "no queue took it")
    before = datetime.now(UTC)
    record = json.loads(failure_record(ARN, b'{"a": "\\ud83d\\udc4b"}', "request-1", failure, 3))
    made_at = datetime.fromisoformat(record.pop("timestamp"))  # to the millisecond, rounded down
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= made_at <= datetime.now(UTC)
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": "request-1",
            "functionArn": f"{ARN}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"a": "👋"},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "no queue took it", "errorType": "PublishError"},
    }


def test_the_record_is_text_that_sqs_accepts() -> None:
    failure = InvocationError("error", "E", "\x1b\ufffe\ud800")
    record = failure_record(ARN, '"\ufffe👋"'.encode(), "request-1", failure, 3)
    assert record.isascii()
    assert record.isprintable()


def test_the_event_is_extracted_from_its_record_and_other_messages_are_unchanged() -> None:
    failure = InvocationError("error", "E", "m")
    record = failure_record(ARN, '{"a": "\ufffe👋"}'.encode(), "request-1", failure, 3)
    assert json.loads(unwrapped(record.encode())) == {"a": "\ufffe👋"}
    for message in (b'{"id": "1"}', b"[]", b"no JSON", b"[" * 100_000):
        assert unwrapped(message) == message
