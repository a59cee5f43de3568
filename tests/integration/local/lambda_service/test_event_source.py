"""The emulated SQS trigger, between a queue of moto's server and a real runtime process."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from local.aws.services import AwsServices
from local.lambda_service.event_source import SqsEventSource
from tests.support.runtime.local_emulator import LocalEmulator

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HANDLER = """
import json

def handle(event, context):
    bodies = [json.loads(record["body"]) for record in event["Records"]]
    print("got", json.dumps(event))
    if "raise" in bodies:
        raise ValueError("as asked")
    if "nonsense" in bodies:
        return {"batchItemFailures": [{"itemIdentifier": "of nothing"}]}
    failed = [record["messageId"] for record, body in zip(event["Records"], bodies) if body == "fail"]
    return {"batchItemFailures": [{"itemIdentifier": id} for id in failed]}
"""


@pytest.fixture
def sqs(moto_url: str) -> Iterator[SQSClient]:
    client = boto3.client(
        "sqs",
        endpoint_url=moto_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    client.close()


@pytest.fixture
def queue(sqs: SQSClient) -> str:
    """The URL of a new queue for this test, which delivers undeleted messages again after a second."""
    name, attributes = f"queue-{uuid.uuid4()}", {"VisibilityTimeout": "1"}
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def short_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll cannot be interrupted, so the end of a test waits for the last one."""
    monkeypatch.setattr("local.aws.services.RECEIVE_WAIT_S", 1)


class Trigger:
    """The running trigger of a queue: the events that its function received, and the number of successes."""

    def __init__(self, emulator: LocalEmulator, moto_url: str, queue_url: str) -> None:
        self.successes = 0
        self._emulator = emulator
        aws = AwsServices(moto_url)
        asyncio.run(aws.connect())
        name = queue_url.rpartition("/")[2]
        source = SqsEventSource(aws, name, emulator.pool, emulator.lines.put, self._succeed)
        emulator.in_background(source.run())

    def event(self) -> dict[str, Any]:
        """The next event that the function receives."""
        event: dict[str, Any] = json.loads(self._emulator.line_with("got ").partition("got ")[2])
        return event

    def bodies(self) -> list[str]:
        return [json.loads(record["body"]) for record in self.event()["Records"]]

    async def _succeed(self) -> None:
        self.successes += 1


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[LocalEmulator]:
    with LocalEmulator(tmp_path, source=HANDLER) as emulator:
        yield emulator


def send(sqs: SQSClient, queue: str, *bodies: str) -> None:
    entries: Any = [{"Id": str(at), "MessageBody": json.dumps(body)} for at, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=queue, Entries=entries)


def left(sqs: SQSClient, queue: str) -> int:
    """How many messages the queue has, including those being processed."""
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    in_flight = int(attributes["ApproximateNumberOfMessagesNotVisible"])
    return int(attributes["ApproximateNumberOfMessages"]) + in_flight


def test_a_message_reaches_the_function_as_a_record_of_lambda_and_is_deleted(
    emulator: LocalEmulator, sqs: SQSClient, queue: str, moto_url: str
) -> None:
    attributes: Any = {"outcome": {"DataType": "String", "StringValue": "completed"}}
    sent = sqs.send_message(QueueUrl=queue, MessageBody='"well"', MessageAttributes=attributes)
    trigger = Trigger(emulator, moto_url, queue)
    (record,) = trigger.event()["Records"]
    assert (record["messageId"], record["md5OfBody"]) == (sent["MessageId"], sent["MD5OfMessageBody"])
    assert record["messageAttributes"]["outcome"]["stringValue"] == "completed"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert {"SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"} <= set(record["attributes"])
    emulator.wait_until(lambda: left(sqs, queue) == 0)
    assert trigger.successes == 1  # before the deletion: an empty queue means that everything is done


def test_only_the_messages_reported_as_failed_are_delivered_again(
    emulator: LocalEmulator, sqs: SQSClient, queue: str, moto_url: str
) -> None:
    send(sqs, queue, "well", "fail", "good")
    trigger = Trigger(emulator, moto_url, queue)
    assert trigger.bodies() == ["well", "fail", "good"]
    assert "failed 1 of 3 messages, to be retried" in emulator.line_with("to be retried")
    assert trigger.bodies() == ["fail"]


@pytest.mark.parametrize("fault", ["raise", "nonsense"])
def test_every_message_is_delivered_again_if_the_function_fails_or_its_answer_is_invalid(
    emulator: LocalEmulator, sqs: SQSClient, queue: str, moto_url: str, fault: str
) -> None:
    send(sqs, queue, "well", fault)
    trigger = Trigger(emulator, moto_url, queue)
    assert trigger.bodies() == ["well", fault]
    assert "failed 2 of 2 messages" in emulator.line_with("to be retried")
    assert trigger.bodies() == ["well", fault]
    assert left(sqs, queue) == 2


def test_a_message_that_keeps_failing_ends_in_the_dead_letter_queue(
    emulator: LocalEmulator, sqs: SQSClient, queue: str, moto_url: str
) -> None:
    letters = sqs.create_queue(QueueName="letters")["QueueUrl"]
    policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:letters", "maxReceiveCount": 2}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)})
    send(sqs, queue, "fail")
    trigger = Trigger(emulator, moto_url, queue)
    assert [trigger.bodies() for _ in range(2)] == [["fail"], ["fail"]]
    reply = sqs.receive_message(QueueUrl=letters, WaitTimeSeconds=20)
    assert [message["Body"] for message in reply["Messages"]] == ['"fail"']
