"""What an SQS trigger hands to its function, and how it reads the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.lambda_service.event_source import batches, failed_messages, sqs_record
from local.lambda_service.invocation import MAX_PAYLOAD_BYTES

IDS = ["1", "2", "3"]


def message(**changes: Any) -> dict[str, Any]:
    basis = {
        "MessageId": "1",
        "ReceiptHandle": "handle",
        "Body": "{}",
        "MD5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1523232000000"},
    }
    return basis | changes


def test_a_record_has_the_keys_of_lambdas_records() -> None:
    assert sqs_record(message(), "a-queue") == {  # type: ignore[arg-type]  # a plain dict
        "messageId": "1",
        "receiptHandle": "handle",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1523232000000"},
        "messageAttributes": {},
        "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:a-queue",
        "awsRegion": "us-east-1",
    }


def test_attributes_are_in_camel_case_with_bytes_in_base64() -> None:
    attributes = {
        "outcome": {"DataType": "String", "StringValue": "completed"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    record = sqs_record(
        message(MessageAttributes=attributes, MD5OfMessageAttributes="md5"),  # type: ignore[arg-type]
        "a-queue",
    )
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "outcome": {"dataType": "String", "stringValue": "completed", **lists},
        "bytes": {"dataType": "Binary", "binaryValue": "AP8=", **lists},
    }
    assert record["md5OfMessageAttributes"] == "md5"


@pytest.mark.parametrize("character", ["x", '"'])  # the latter is twice as long in JSON
def test_no_batch_is_larger_than_an_invocation_and_no_record_is_left_out(character: str) -> None:
    records = [{"messageId": str(number), "body": character * 1024 * 1024} for number in range(10)]
    made = list(batches(iter(records)))
    assert len(made) > 1
    assert [record for batch in made for record in batch] == records
    assert all(len(json.dumps({"Records": batch})) <= MAX_PAYLOAD_BYTES for batch in made)


def test_ten_small_records_are_one_batch_and_no_records_are_no_batch() -> None:
    records = [{"messageId": str(number), "body": "{}"} for number in range(10)]
    assert list(batches(iter(records))) == [records]
    assert list(batches(iter([]))) == []


@pytest.mark.parametrize("answer", ["null", "{}", '{"batchItemFailures": []}', '{"batchItemFailures": null}'])
def test_an_empty_answer_is_a_complete_success(answer: str) -> None:
    assert failed_messages(answer.encode(), IDS) == set()


def test_only_the_reported_messages_have_failed() -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "1"}]}
    assert failed_messages(json.dumps(answer).encode(), IDS) == {"1", "3"}


@pytest.mark.parametrize(
    "answer",
    [
        "", "{", '"done"', "[]", '{"batchItemFailures": 1}', '{"batchItemFailures": "1"}',
        '{"batchItemFailures": {"itemIdentifier": "1"}}', '{"batchItemFailures": [{"itemIdentifier": ""}]}',
        '{"batchItemFailures": [{"itemIdentifier": null}]}',
        '{"batchItemFailures": [{"itemIdentifier": ["1"]}]}',
        '{"batchItemFailures": [{"itemIdentifier": "4"}]}',
        '{"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "4"}]}',
        '{"batchItemFailures": [{"itemidentifier": "1"}]}', '{"batchItemFailures": ["1"]}',
    ],
)  # fmt: skip
def test_an_invalid_answer_is_a_complete_failure(answer: str) -> None:
    assert failed_messages(answer.encode(), IDS) == set(IDS)
