"""Hand a finished transcript to the companion, when the caller already has his whole answer.

Whatever fails on the way, it ends in one of three places: with the companion, in the dead letters, or in the
log.
"""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_client import error_code
from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript
from handoff.clients import HandoffClients
from settings import Settings

# An asynchronous invoke takes 1 MB. The event of one that fails for good stands within Lambda's record of the
# failure in a message of 1 MiB: the 48 kB between the two are the record's.
MAX_EVENT_BYTES = 1_000_000
MAX_LETTER_BYTES = 1024 * 1024  # what SQS takes as one message

LONGEST_S = 30.0  # an outage of Lambda or SQS must not keep environments from their callers for longer
LOG_RESERVE_S = 0.5  # to log what could be sent nowhere
LOG_KEY = "undelivered_transcript"

logger = logging.getLogger(__name__)


class UndeliverableError(ValueError):
    """A place cannot take the transcript, for want of a setting or for its size: the message says why."""


class Handoff:
    """Invokes the companion asynchronously. Without one it does nothing, and says nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = HandoffClients()

    def prepare(self) -> None:
        """Begin to load boto3: called when the caller has his first bytes, while the upstream writes on."""
        if self._settings.transcript_function_name:
            self._aws.prepare("lambda")

    def send(self, transcript: Transcript, remaining_s: float) -> None:
        """Hand off as much of the transcript as TRANSCRIPT_CONTENT lets out.

        Args:
            remaining_s: how long this invocation may still last. Each step but the last may take half of
                what is left.
        """
        if not self._settings.transcript_function_name:
            return
        give_up_at = time.monotonic() + min(remaining_s, LONGEST_S) - LOG_RESERVE_S
        transcript = reduced(transcript, self._settings.transcript_content)
        body = event = transcript.to_json()
        try:
            if len(body) > MAX_EVENT_BYTES:
                event = self._aws.in_time(
                    "s3", _half_until(give_up_at), partial(self._store, transcript, body)
                )
            self._aws.in_time("lambda", _half_until(give_up_at), partial(self._invoke, event))
        except Exception as error:  # noqa: BLE001 - whatever the SDK raised, nothing may be lost
            failure = _reason(error)
        else:
            return
        try:
            left_s = give_up_at - time.monotonic()
            self._aws.in_time("sqs", left_s, partial(self._send_to_dead_letters, event))
        except Exception as error:  # noqa: BLE001 - the same
            _log(event, f"{failure}, then {_reason(error)}")
        else:
            logger.error(
                "the companion could not be invoked (%s): transcript %s is in the dead letters",
                failure,
                transcript.id,
            )

    def _store(self, transcript: Transcript, body: bytes, s3: Any) -> bytes:
        """Put the transcript into the bucket; gives back the pointer, which goes in its place."""
        pointer = TranscriptPointer.to(transcript, body, _required(self._settings, "transcript_bucket"))
        s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=body, ContentType="application/json")
        return pointer.to_json()

    def _invoke(self, event: bytes, lambda_: Any) -> None:
        answer = lambda_.invoke(
            FunctionName=self._settings.transcript_function_name, InvocationType="Event", Payload=event
        )
        answer["Payload"].read()  # nothing; but not until then may the next hand-off have the connection

    def _send_to_dead_letters(self, event: bytes, sqs: Any) -> None:
        if len(event) > MAX_LETTER_BYTES:  # one that could not be stored
            raise UndeliverableError("too large for a message")
        sqs.send_message(
            QueueUrl=_required(self._settings, "transcript_dead_letter_queue_url"),
            MessageBody=event.decode("ascii"),
        )


def _required(settings: Settings, name: str) -> str:
    value: str = getattr(settings, name)
    if not value:
        raise UndeliverableError(f"{name.upper()} is not set")
    return value


def _half_until(moment: float) -> float:
    return (moment - time.monotonic()) / 2


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, UndeliverableError) else error_code(error)


def _log(event: bytes, failure: str) -> None:
    """The last place: the transcript, or the pointer to it, whole in one record, and a metric to alarm by."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        logger.error("undelivered transcript (%s)", failure, extra={LOG_KEY: json.loads(event)})
    else:  # the text format shows nothing but the message
        logger.error("undelivered transcript (%s); %s: %s", failure, LOG_KEY, event.decode("ascii"))
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric("UndeliveredTranscripts", MetricUnit.Count, 1, namespace="DeltaRelay") as metric:
        metric.add_dimension("FunctionName", os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))
        # Lambda takes a JSON line without these two for INFO, and drops it where the log level is higher.
        metric.add_metadata("level", "ERROR")
        metric.add_metadata("timestamp", datetime.now(UTC).isoformat(timespec="milliseconds"))
