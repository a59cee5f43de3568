"""An SQS trigger: an event source mapping, which polls a queue and invokes a function with its messages.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.aws.services import REGION, AwsServices, queue_arn
from local.lambda_service.environment_pool import EnvironmentPool
from local.lambda_service.invocation import MAX_PAYLOAD_BYTES, Invocation, InvocationError

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueOutputTypeDef, MessageTypeDef

Record = dict[str, Any]


@dataclass
class SqsEventSource:
    """Hands one batch after another from `queue` to `pool`, with ReportBatchItemFailures.

    `on_success` is awaited after each invocation that succeeded, even if it reported failed messages.
    """

    aws: AwsServices
    queue: str
    pool: EnvironmentPool
    print_line: Callable[[str], None]
    on_success: Callable[[], Awaitable[None]]
    # Received but not deleted, by message id: they are in progress or will be received again.
    undone: dict[str, Record] = field(default_factory=dict)

    async def run(self) -> None:
        """Serve until cancelled. Raises AwsServicesError if the queue is gone."""
        while True:
            messages = await self.aws.receive(self.queue)
            records = [sqs_record(message, self.queue) for message in messages]
            self.undone |= {record["messageId"]: record for record in records}
            for batch in batches(records):
                await self._deliver(batch)

    async def _deliver(self, batch: Sequence[Record]) -> None:
        ids = [record["messageId"] for record in batch]
        try:
            answer = await self.pool.answer(Invocation(_event(batch)))
        except InvocationError as failure:
            self._report(len(batch), len(batch), f" ({failure})")
            return
        failed = failed_messages(answer, ids)
        if failed:
            self._report(len(failed), len(batch))
        done = [record for record in batch if record["messageId"] not in failed]
        await self.on_success()  # before the deletion: an empty queue means that everything is done
        await self.aws.delete(self.queue, [record["receiptHandle"] for record in done])
        for record in done:
            self.undone.pop(record["messageId"], None)

    def _report(self, failed: int, total: int, reason: str = "") -> None:
        name = self.pool.function.name
        self.print_line(f"[{self.queue}] {name} failed {failed} of {total} messages, to be retried{reason}")


def sqs_record(message: MessageTypeDef, queue: str) -> Record:
    """A received message in the form in which Lambda hands it to a function."""
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn(queue),
        "awsRegion": REGION,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Split the records into batches that each fit into one invocation."""
    batch: list[Record] = []
    size_bytes = 0
    for record in records:
        record_bytes = len(_event([record]))
        if batch and size_bytes + record_bytes > MAX_PAYLOAD_BYTES:
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += record_bytes
    if batch:
        yield batch


def failed_messages(answer: bytes, message_ids: Sequence[str]) -> frozenset[str]:
    """The ids that the function reports as failed: all of them if Lambda cannot interpret its answer.

    "Lambda treats a batch as a complete failure if your function returns […] an invalid JSON response, an
    empty string itemIdentifier, a null itemIdentifier, an itemIdentifier with a bad key name, an
    itemIdentifier value with a message ID that doesn't exist". The batch is a complete success if the list,
    or the whole answer, is empty or null.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    everything = frozenset(message_ids)
    try:
        document = json.loads(answer)
    except ValueError:
        return everything
    if document is None:
        return frozenset()
    try:
        failures = document.get("batchItemFailures") or ()
        failed = frozenset(failure["itemIdentifier"] for failure in failures)
    except (AttributeError, TypeError, KeyError):
        return everything
    return failed if failed <= everything else everything


def _event(records: Sequence[Record]) -> bytes:
    return json.dumps({"Records": records}, separators=(",", ":")).encode()


def _attribute(value: MessageAttributeValueOutputTypeDef) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {"stringListValues": [], "binaryListValues": []}
    if "BinaryValue" in value:
        content = {"binaryValue": base64.b64encode(value["BinaryValue"]).decode("ascii")}
    else:
        content = {"stringValue": value["StringValue"]}
    return {**lists, "dataType": value["DataType"], **content}
