"""Where dead letters go: to the companion, which publishes them, or back to the queue that they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from aws_client import aws_client, error_code
from chat_stream.transcripts.transcript import InvalidTranscript
from dead_letters import AWS_ERRORS, CALL_LIMIT_S, MAX_BATCH, Letter, refused

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 190  # the companion's own limit is 180 s, and a cold start comes before it

MAX_BATCH_BYTES = 1024 * 1024  # SQS's limit for all entries of a SendMessageBatch together
MAX_FAULT_CHARACTERS = 500


class Destination(Protocol):
    """Takes letters, some at a time.

    Attributes:
        limit_s: the longest that `deliver` may take, and then a call to delete and one to release letters.
    """

    limit_s: float

    def document_in(self, letter: Letter) -> Any:
        """What of the letter has to be a transcript, or a pointer to one. Raises InvalidTranscript."""

    def batches(self, letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
        """The letters in such groups as `deliver` takes."""

    def deliver(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Message id → what is wrong, without a word of the content, of those that did not go through."""


class Companion:
    """The function that publishes transcripts, and keeps note of which queues have which."""

    limit_s: float = CONNECT_TIMEOUT_S + READ_TIMEOUT_S + 2 * CALL_LIMIT_S

    def __init__(self, function_name: str) -> None:
        # One attempt: what failed is still in its queue, and the next run tries it again. After a read
        # timeout the companion may still be at work, or done; to invoke it once more does no harm even
        # then, since it leaves out the queues that have the transcript, and two at work at once make at
        # worst a duplicate, as consumers expect. But retried here, one letter that hangs would cost the run
        # twice the time.
        self._lambda: LambdaClient = aws_client(
            "lambda", connect_timeout_s=CONNECT_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S, attempts=1
        )
        self._function_name = function_name

    def document_in(self, letter: Letter) -> Any:
        """The event, of which a record must be Lambda's of an invocation of this very function."""
        if letter.record is not None and not self._is_of_companion(letter.record):
            raise InvalidTranscript("requestContext.functionArn: should be that of the companion")
        return letter.event

    def _is_of_companion(self, record: dict[str, Any]) -> bool:
        context = record.get("requestContext")
        arn = context.get("functionArn") if isinstance(context, dict) else None
        # arn:aws:lambda:REGION:ACCOUNT:function:NAME, and often a version or alias
        parts = arn.split(":")[:7] if isinstance(arn, str) else []
        by_name = not self._function_name.startswith("arn:")
        return self._function_name == (":".join(parts[6:]) if by_name else ":".join(parts))

    def batches(self, letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
        """One by one, so that each is deleted as soon as it is published."""
        for letter in letters:
            yield (letter,)

    def deliver(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Invoke the companion with each letter's event and wait for what comes of it."""
        faults = {letter.message_id: self._invoke(letter.event) for letter in letters}
        return {message_id: fault for message_id, fault in faults.items() if fault is not None}

    def _invoke(self, event: Any) -> str | None:
        try:
            answer = self._lambda.invoke(
                FunctionName=self._function_name,
                InvocationType="RequestResponse",
                Payload=json.dumps(event, separators=(",", ":")).encode("ascii"),
            )
            payload = answer["Payload"].read()
        except AWS_ERRORS as error:
            return error_code(error)
        return _fault_in(payload) if "FunctionError" in answer else None


class SourceQueue:
    """The queue that a consumer reads."""

    limit_s: float = 3 * CALL_LIMIT_S

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def document_in(self, letter: Letter) -> Any:
        """The letter itself: a consumer could make nothing of a record."""
        return letter.document

    def batches(self, letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
        """As many at a time as SQS takes: ten, and 1 MiB together."""
        batch: list[Letter] = []
        size_bytes = 0
        for letter in letters:
            if batch and (len(batch) == MAX_BATCH or size_bytes + letter.size_bytes > MAX_BATCH_BYTES):
                yield batch
                batch, size_bytes = [], 0
            batch.append(letter)
            size_bytes += letter.size_bytes
        if batch:
            yield batch

    def deliver(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Send the letters as they are."""
        try:
            answer = self._sqs.send_message_batch(
                QueueUrl=self._url,
                Entries=[self._entry(str(number), letter) for number, letter in enumerate(letters)],
            )
        except AWS_ERRORS as error:
            return {letter.message_id: error_code(error) for letter in letters}
        return refused(letters, answer.get("Successful", []), answer.get("Failed", []))

    def _entry(self, number: str, letter: Letter) -> SendMessageBatchRequestEntryTypeDef:
        entry: SendMessageBatchRequestEntryTypeDef = {
            "Id": number,
            "MessageBody": letter.body,
            "MessageAttributes": letter.attributes,
        }
        if letter.group_id is not None:  # standard queues may have one too, for fairness
            entry["MessageGroupId"] = letter.group_id
        if self._url.endswith(".fifo"):
            # Under the id of its first sending, and within five minutes of that, a message is accepted and
            # never delivered: deleted then, the letter would be lost. So SQS itself renames what it moves
            # to the dead letters: "the original message's deduplication ID will be replaced with the
            # original message's ID" (developer guide, dead-letter queue redrive). This is that id, also for
            # letters that came otherwise. One that was sent but not deleted has the same in the next run: if
            # that comes soon, no duplicate comes of it.
            entry["MessageDeduplicationId"] = letter.message_id
        return entry


def _fault_in(payload: bytes) -> str:
    """What a function's error says: `{"errorType": …, "errorMessage": …}`."""
    try:
        error = json.loads(payload)
        fault = f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, TypeError, KeyError):
        fault = "the companion failed without saying why"
    return fault[:MAX_FAULT_CHARACTERS]
