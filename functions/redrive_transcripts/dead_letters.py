"""A dead-letter queue (SQS), the letters in it, and the transcripts (S3) that letters point to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws_client import CallLimits, aws_client, error_code, longest_call_s
from chat_stream.transcripts.reader import Fetch
from chat_stream.transcripts.schema import InvalidTranscriptError
from redrive_settings import queue_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient, type_defs

# Generous timeouts: if SQS accepts letters after we gave up on the call, they are sent twice.
LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 10, "attempts": 2}
CALL_LIMIT_S = longest_call_s(**LIMITS)

MAX_BATCH = 10  # SQS's limit for one call to receive, send or delete
LONG_POLL_S = 1  # a long poll queries all of the queue's servers: an empty answer means an empty queue
MAX_VISIBILITY_TIMEOUT_S = 43200  # SQS's limit

AWS_ERRORS = (ClientError, BotoCoreError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that could not be delivered. `group_id` is its MessageGroupId, if it has one."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: Mapping[str, type_defs.MessageAttributeValueOutputTypeDef]
    group_id: str | None

    @classmethod
    def of(cls, message: type_defs.MessageTypeDef) -> Letter:
        """Create a letter from a message in a response of ReceiveMessage."""
        return cls(
            message["MessageId"],
            message["ReceiptHandle"],
            message["Body"],
            message.get("MessageAttributes", {}),
            message.get("Attributes", {}).get("MessageGroupId"),
        )

    @property
    def document(self) -> Any:
        """The letter's body, parsed; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def record(self) -> dict[str, Any] | None:
        """The body if it is Lambda's record of a failed invocation, which has the event in `requestPayload`.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-async-destinations
        """
        document = self.document
        return document if isinstance(document, dict) and "requestPayload" in document else None

    @property
    def event(self) -> Any:
        """The event in the record, or the body itself if the letter is not a record."""
        record = self.record
        return self.document if record is None else record["requestPayload"]

    @property
    def transcript_id(self) -> str | None:
        """The id of the transcript that the letter contains, records or points to; None if it has none."""
        event = self.event
        transcript_id = event.get("id") if isinstance(event, dict) else None
        return transcript_id if isinstance(transcript_id, str) else None

    @property
    def size_bytes(self) -> int:
        """The size as SQS counts it: the body and each attribute's name, data type and value."""
        return len(self.body.encode()) + sum(
            len(name.encode())
            + len(value["DataType"].encode())
            + len(value.get("StringValue", "").encode())
            + len(value.get("BinaryValue", b""))
            for name, value in self.attributes.items()
        )


class DeadLetterQueue:
    """Receives, deletes and releases the letters of a queue. Of these only `receive` raises AWS_ERRORS."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self.name = queue_name(url)
        self._sqs = sqs
        self._url = url

    def receive(self, hidden_for_s: int) -> list[Letter]:
        """Receive up to ten letters, hidden from others for `hidden_for_s`; none if the queue is empty."""
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=MAX_BATCH,
            WaitTimeSeconds=LONG_POLL_S,
            VisibilityTimeout=min(hidden_for_s, MAX_VISIBILITY_TIMEOUT_S),
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["MessageGroupId"],
        )
        return [Letter.of(message) for message in answer.get("Messages", [])]

    def delete(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Delete up to ten letters. Returns message id → error code for those that were not deleted."""
        if not letters:
            return {}
        try:
            answer = self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": letter.receipt_handle}
                    for number, letter in enumerate(letters)
                ],
            )
        except AWS_ERRORS as error:
            return {letter.message_id: error_code(error) for letter in letters}
        return refused(letters, answer.get("Successful", []), answer.get("Failed", []))

    def release(self, receipt_handles: Sequence[str]) -> str | None:
        """Make these letters visible again at once. Returns the error code if a call fails.

        Letters that were not released become visible by themselves when their visibility timeout ends.
        """
        for start in range(0, len(receipt_handles), MAX_BATCH):
            entries = enumerate(receipt_handles[start : start + MAX_BATCH])
            try:
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for number, handle in entries
                    ],
                )
            except AWS_ERRORS as error:
                return error_code(error)
        return None


def fetch_from(own_bucket: str) -> Fetch:
    """A function that fetches a stored transcript within CALL_LIMIT_S.

    It raises InvalidTranscriptError for any other bucket than `own_bucket`, and AWS_ERRORS.
    """

    @cache  # created on first use: it takes time, and few letters are pointers
    def s3() -> S3Client:
        client: S3Client = aws_client("s3", **LIMITS)
        return client

    def fetch(bucket: str, key: str) -> bytes:
        if bucket != own_bucket:
            raise InvalidTranscriptError("pointer.bucket: should be the bucket in TRANSCRIPT_BUCKET")
        return s3().get_object(Bucket=bucket, Key=key)["Body"].read()

    return fetch


def refused(
    letters: Sequence[Letter],
    successful: Iterable[Mapping[str, Any]],
    failed: Iterable[type_defs.BatchResultErrorEntryTypeDef],
) -> dict[str, str]:
    """Return message id → error code for the letters whose entry in a batch did not succeed.

    An entry's id is the index of its letter. SQS answers 200 even if every entry failed, so only the entries
    that it lists as successful count as such.
    """
    done = {entry["Id"] for entry in successful}
    codes = {entry["Id"]: entry["Code"] for entry in failed}
    return {
        letter.message_id: codes.get(str(number), "NotAnswered")
        for number, letter in enumerate(letters)
        if str(number) not in done
    }
