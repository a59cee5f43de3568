"""What becomes of an asynchronous invocation that has failed for good."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from local.lambda_service.invocation import InvocationFailed
from local.lambda_service.invocation_record import failure_record, unwrapped

ARN = "arn:aws:lambda:us-east-1:123456789012:function:my-function"


def test_the_record_is_that_of_lambdas_documentation() -> None:
    failure = InvocationFailed("error", "PublishError", "no queue took it")
    record = json.loads(failure_record(ARN, b'{"a": "\\ud83d\\udc4b"}', "request-1", failure, 3))
    moment = datetime.fromisoformat(record.pop("timestamp"))
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=1)
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


def test_the_record_is_text_that_sqs_takes() -> None:
    failure = InvocationFailed("error", "E", "\x1b\ufffe\ud800")
    record = failure_record(ARN, '"\ufffe👋"'.encode(), "request-1", failure, 3)
    assert record.isascii()
    assert record.isprintable()


def test_the_event_comes_out_of_its_record_again_and_whatever_is_no_record_stays() -> None:
    failure = InvocationFailed("error", "E", "m")
    record = failure_record(ARN, '{"a": "\ufffe👋"}'.encode(), "request-1", failure, 3)
    assert json.loads(unwrapped(record.encode())) == {"a": "\ufffe👋"}
    for message in (b'{"id": "1"}', b"[]", b"no JSON", b"[" * 100_000):
        assert unwrapped(message) == message
