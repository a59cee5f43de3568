"""Hand a finished transcript to the companion, after the caller has the whole answer.

Whatever fails on the way, the transcript ends up in one of three places: with the companion, in the
dead-letter queue, or in the log.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_client import error_code
from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript
from handoff.clients import HandoffClients
from settings import Settings

# An asynchronous invoke takes 1 MB. If it finally fails, Lambda sends the event within a record of the
# failure, in one message of up to 1 MiB: the 48 kB between the two limits are for the record.
MAX_EVENT_BYTES = 1_000_000
MAX_LETTER_BYTES = 1024 * 1024  # the largest message that SQS takes

LONGEST_S = 30.0  # an outage of Lambda or SQS must not keep environments busy for longer
LOG_RESERVE_S = 0.5  # reserved for logging a transcript that could not be sent anywhere
LOG_KEY = "undelivered_transcript"

logger = logging.getLogger(__name__)


class UndeliverableError(ValueError):
    """A destination cannot take the transcript, for lack of a setting or because of its size."""


class Handoff:
    """Invokes the companion asynchronously. Without a companion it does nothing and logs nothing.

    Args:
        on_failure: called with the id of a transcript with which the companion could not be invoked, when
            the transcript is in one of the other places.
    """

    def __init__(self, settings: Settings, on_failure: Callable[[str], None] = lambda id_: None) -> None:
        self._settings = settings
        self._on_failure = on_failure
        self._aws = HandoffClients()

    def prepare(self) -> None:
        """Begin to load boto3, once the caller has the first bytes and while the upstream goes on writing."""
        if self._settings.transcript_function_name:
            self._aws.prepare("lambda")

    def send(self, transcript: Transcript, remaining_s: float) -> None:
        """Hand off as much of the transcript as TRANSCRIPT_CONTENT allows.

        This invocation may last `remaining_s` longer. Each step but the last may take half of what is left.
        """
        if not self._settings.transcript_function_name:
            return
        give_up_at = time.monotonic() + min(remaining_s, LONGEST_S) - LOG_RESERVE_S
        transcript = reduced(transcript, self._settings.transcript_content)
        body = event = transcript.to_json()
        try:
            if len(body) > MAX_EVENT_BYTES:
                store = partial(self._store, transcript, body)
                event = self._aws.in_time("s3", _half_until(give_up_at), store)
            self._aws.in_time("lambda", _half_until(give_up_at), partial(self._invoke, event))
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises, the transcript must not be lost
            failure = _reason(error)
        else:
            return
        try:
            left_s = give_up_at - time.monotonic()
            self._aws.in_time("sqs", left_s, partial(self._send_to_dead_letters, event))
        except Exception as error:  # noqa: BLE001 - the same
            _log(event, f"{failure}, then {_reason(error)}")
        else:
            message = "the companion could not be invoked (%s): transcript %s is in the dead-letter queue"
            logger.error(message, failure, transcript.id)
        self._on_failure(transcript.id)

    def _store(self, transcript: Transcript, body: bytes, s3: Any) -> bytes:
        """Store the transcript in the bucket; returns the pointer to send in its place."""
        pointer = TranscriptPointer.to(transcript, body, _required(self._settings, "transcript_bucket"))
        s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=body, ContentType="application/json")
        return pointer.to_json()

    def _invoke(self, event: bytes, lambda_: Any) -> None:
        answer = lambda_.invoke(
            FunctionName=self._settings.transcript_function_name, InvocationType="Event", Payload=event
        )
        answer["Payload"].read()  # empty, but the connection can only be reused after this read

    def _send_to_dead_letters(self, event: bytes, sqs: Any) -> None:
        if len(event) > MAX_LETTER_BYTES:  # a transcript that could not be stored
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
    """The last resort: the whole transcript or its pointer in one log record, and a metric for alarms."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        logger.error("undelivered transcript (%s)", failure, extra={LOG_KEY: json.loads(event)})
    else:  # the text format shows only the message
        logger.error("undelivered transcript (%s); %s: %s", failure, LOG_KEY, event.decode("ascii"))
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric("UndeliveredTranscripts", MetricUnit.Count, 1, namespace="DeltaRelay") as metric:
        metric.add_dimension("FunctionName", os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local"))
        # Lambda treats a JSON line without these two as INFO, and drops it if the log level is higher.
        metric.add_metadata("level", "ERROR")
        metric.add_metadata("timestamp", datetime.now(UTC).isoformat(timespec="milliseconds"))
