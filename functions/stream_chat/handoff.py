"""Hand a finished transcript to the companion, when the caller already has his whole answer.

Whatever fails on the way, it ends in one of three places: with the companion, in the dead letters, or whole
in the log.
"""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime

from aws_clients import AwsClients
from chat_stream.transcript import Transcript
from chat_stream.transcript_content import reduced
from chat_stream.transcript_pointer import TranscriptPointer
from settings import Settings

# An asynchronous invoke takes 1 MB. The event of one that fails for good stands within Lambda's record of the
# failure in a message of 1 MiB: the 48 kB between the two are the record's.
MAX_EVENT_BYTES = 1_000_000
MAX_LETTER_BYTES = 1024 * 1024  # what SQS takes as one message
LOG_RESERVE_S = 0.5  # to log what could be sent nowhere
LOG_KEY = "undelivered_transcript"

logger = logging.getLogger(__name__)


class Handoff:
    """Invokes the companion asynchronously. Without one it does nothing, and says nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = AwsClients()

    def prepare(self) -> None:
        """Begin to load boto3: called when the caller has his first bytes, while the upstream writes on."""
        if self._settings.transcript_function_name:
            self._aws.prepare("lambda")

    def send(self, transcript: Transcript, remaining_s: float) -> None:
        """Hand off as much of the transcript as TRANSCRIPT_CONTENT lets out.

        Args:
            remaining_s: how long this invocation may still last. Each step may take half of what is left.
        """
        if not self._settings.transcript_function_name:
            return
        give_up_at = time.monotonic() + remaining_s - LOG_RESERVE_S
        transcript = reduced(transcript, self._settings.transcript_content)
        body = event = transcript.to_json()
        try:
            if len(body) > MAX_EVENT_BYTES:
                event = self._store(transcript, body, _budget_s(give_up_at))
            self._invoke(event, _budget_s(give_up_at))
        except Exception as error:  # noqa: BLE001 - whatever the SDK raised, nothing may be lost
            failure = _code(error)
        else:
            return
        try:
            self._send_to_dead_letters(event, _budget_s(give_up_at))
        except Exception as error:  # noqa: BLE001 - the same
            _log_whole(body, f"{failure}, then {_code(error)}")
        else:
            logger.error(
                "the companion could not be invoked (%s): transcript %s is in the dead letters",
                failure,
                transcript.id,
            )

    def _store(self, transcript: Transcript, body: bytes, budget_s: float) -> bytes:
        """Put the transcript into the bucket; gives back the pointer, which goes in its place."""
        pointer = TranscriptPointer.to(transcript, body, _required(self._settings, "transcript_bucket"))
        self._aws.client("s3", budget_s).put_object(
            Bucket=pointer.bucket, Key=pointer.key, Body=body, ContentType="application/json"
        )
        return pointer.to_json()

    def _invoke(self, event: bytes, budget_s: float) -> None:
        answer = self._aws.client("lambda", budget_s).invoke(
            FunctionName=self._settings.transcript_function_name, InvocationType="Event", Payload=event
        )
        answer["Payload"].close()

    def _send_to_dead_letters(self, event: bytes, budget_s: float) -> None:
        if len(event) > MAX_LETTER_BYTES:  # one that could not be stored
            raise UndeliverableError("too large for a message")
        self._aws.client("sqs", budget_s).send_message(
            QueueUrl=_required(self._settings, "transcript_dead_letter_queue_url"),
            MessageBody=event.decode("ascii"),
        )


class UndeliverableError(ValueError):
    """A place cannot take the transcript, for want of a setting or for its size: the message says why."""


def _required(settings: Settings, name: str) -> str:
    value: str = getattr(settings, name)
    if not value:
        raise UndeliverableError(f"{name.upper()} is not set")
    return value


def _budget_s(give_up_at: float) -> float:
    return (give_up_at - time.monotonic()) / 2


def _code(error: Exception) -> str:
    """What happened, in a word or two, and never in those of the request."""
    response = getattr(error, "response", None)  # botocore's ClientError, which is not imported for this
    if isinstance(response, dict):
        return str(response["Error"]["Code"])
    return str(error) if isinstance(error, UndeliverableError) else type(error).__name__


def _log_whole(body: bytes, failure: str) -> None:
    """The last place: the transcript itself in one record, under LOG_KEY, and a metric to be alarmed by."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        logger.error("undelivered transcript (%s)", failure, extra={LOG_KEY: json.loads(body)})
    else:  # the text format shows nothing but the message
        logger.error("undelivered transcript (%s); %s: %s", failure, LOG_KEY, body.decode("ascii"))
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric("UndeliveredTranscripts", MetricUnit.Count, 1, namespace="DeltaRelay") as metric:
        metric.add_dimension("FunctionName", os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))
        # Lambda takes a JSON line without these two for INFO, and drops it where the log level is higher.
        metric.add_metadata("level", "ERROR")
        metric.add_metadata("timestamp", datetime.now(UTC).isoformat(timespec="milliseconds"))
