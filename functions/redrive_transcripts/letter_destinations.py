"""The destinations of dead letters: the companion, which publishes them, or the queue that they came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aws_client import CallLimits, aws_client, error_code, longest_call_s
from chat_stream.transcripts.schema import InvalidTranscriptError
from dead_letters import AWS_ERRORS, CALL_LIMIT_S, MAX_BATCH, Letter, refused

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# The companion's own timeout is 180 s, to which a cold start adds. One attempt: a letter that fails stays in
# its queue for the next run. A retry here would be harmless, even if the companion is still running or done
# when the read timeout ends: it skips queues that have the transcript, and two that run at once cause at
# worst a duplicate, which consumers expect. But it would double the time that a hanging letter takes from the
# run.
LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 190, "attempts": 1}

MAX_BATCH_BYTES = 1024 * 1024  # SQS's limit for all entries of one SendMessageBatch together
MAX_FAULT_CHARACTERS = 500


class Companion:
    """The function that publishes transcripts and records which queues have which."""

    # The longest that `deliver`, then deleting letters and releasing others may take together.
    limit_s = longest_call_s(**LIMITS) + 2 * CALL_LIMIT_S

    def __init__(self, function_name: str) -> None:
        self._lambda: LambdaClient = aws_client("lambda", **LIMITS)
        self._function_name = function_name

    def document_in(self, letter: Letter) -> Any:
        """Return the event, which must be a transcript or a pointer.

        Raises InvalidTranscriptError for a record of another function's invocation.
        """
        if letter.record is not None and not self._is_of_companion(letter.record):
            raise InvalidTranscriptError("requestContext.functionArn: should be that of the companion")
        return letter.event

    def _is_of_companion(self, record: dict[str, Any]) -> bool:
        context = record.get("requestContext")
        arn = context.get("functionArn") if isinstance(context, dict) else None
        # arn:aws:lambda:REGION:ACCOUNT:function:NAME, often followed by a version or alias
        parts = arn.split(":")[:7] if isinstance(arn, str) else []
        by_name = not self._function_name.startswith("arn:")
        return self._function_name == (":".join(parts[6:]) if by_name else ":".join(parts))

    def batches(self, letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
        """Yield the letters one by one, so that each is deleted as soon as it is published."""
        for letter in letters:
            yield (letter,)

    def deliver(self, letters: Sequence[Letter]) -> dict[str, str]:
        """Invoke the companion with each letter's event and wait for its result.

        Returns message id → error, without any content, for the letters that failed.
        """
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
    """The queue from which a consumer reads, and from which the dead letters came."""

    limit_s = 3 * CALL_LIMIT_S

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def document_in(self, letter: Letter) -> Any:
        """Return the letter's own document: consumers cannot read Lambda's records."""
        return letter.document

    def batches(self, letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
        """Yield batches as large as SQS accepts: ten letters, 1 MiB together."""
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
        """Send the letters of a batch unchanged. Returns message id → error for those that failed."""
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
        if letter.group_id is not None:  # standard queues may have one too, for fair queueing
            entry["MessageGroupId"] = letter.group_id
        if self._url.endswith(".fifo"):
            # If it were sent again with its first deduplication id within five minutes, SQS would accept the
            # message and never deliver it: the letter would then be deleted and lost. SQS itself changes the
            # id of messages that it moves to a dead-letter queue: "the original message's deduplication ID
            # will be replaced with the original message's ID" (developer guide, dead-letter queue redrive).
            # The same id is used here, also for letters that came another way. A letter that was sent but not
            # deleted has it in the next run too, so that a run within five minutes makes no duplicate.
            entry["MessageDeduplicationId"] = letter.message_id
        return entry


Destination = Companion | SourceQueue


def _fault_in(payload: bytes) -> str:
    """Return a function's error, `{"errorType": …, "errorMessage": …}`, as one line."""
    try:
        error = json.loads(payload)
        fault = f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, TypeError, KeyError):
        fault = "the companion failed without saying why"
    return fault[:MAX_FAULT_CHARACTERS]
