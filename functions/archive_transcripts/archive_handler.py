"""The archive: a consumer that writes each transcript on its queue to one object in S3. An example to copy.

    transcripts/date=2026-11-22/<id>.jsonl      one line of JSON, as transcript.schema.json describes it

SQS delivers at least once and in any order. Neither matters here: a transcript always has the same key, so
two deliveries write the same object. The same holds for a FIFO queue. duckdb_view.sql and athena_table.sql
read these objects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from aws_client import CallLimits, aws_client, error_code, longest_call_s
from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.pointer import object_name
from chat_stream.transcripts.schema import InvalidTranscriptError
from chat_stream.transcripts.transcript import Transcript
from log_privacy import keep_libraries_quiet
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_sam_local

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_s3 import S3Client

# Two attempts only: the queue does the real retrying, over a longer time than one invocation has.
LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 5, "attempts": 2}

# The longest that one message can take: a pointer needs two calls. Ten messages whose calls all time out
# would exceed the function's timeout, so no message is begun that might not end in time.
MESSAGE_LIMIT_S = 2 * longest_call_s(**LIMITS)


class NotArchivedError(RuntimeError):
    """A message's transcript was not archived. The text names the message and the reason, not the content."""


def archive_bucket(environ: Mapping[str, str]) -> str:
    """Return the bucket name in `ARCHIVE_BUCKET`. Raises SettingsError if it is not a valid one."""
    name = environ.get("ARCHIVE_BUCKET", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise SettingsError(
            "ARCHIVE_BUCKET must be the name of an S3 bucket, without s3:// and without a path"
        )
    return name


# `sam local` passes the bucket's name in the template: no such bucket exists.
HAS_NO_ARCHIVE = is_sam_local(os.environ) and os.environ.get("ARCHIVE_BUCKET") == "ArchiveBucket"
ARCHIVE_BUCKET = "" if HAS_NO_ARCHIVE else archive_bucket(os.environ)

keep_libraries_quiet()
logger = Logger(service="archive-transcripts")
if HAS_NO_ARCHIVE:
    logger.warning("sam local: the archive exists only in the template; transcripts are checked but not kept")
s3: S3Client = aws_client("s3", **LIMITS)
# By default Powertools raises if every message of a batch has failed. They are redelivered either way; but
# with little traffic an invalid message is often alone in its batch: it would count as a crash of the
# function, and Lambda would log the exceptions. The alarm belongs on the dead-letter queue, where such
# messages end.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def handle(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Archive the transcripts in an SQS event. The response lists the messages to be delivered again.

    The trigger needs `FunctionResponseTypes: [ReportBatchItemFailures]`; without it Lambda treats any
    response as success of the whole batch. A message that keeps failing ends in its dead-letter queue.
    """
    return process_partial_response(event, archive, processor, context)


def archive(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Archive the transcript that one message is or points to.

    Raises NotArchivedError: so that the message is delivered again. Powertools keeps the exception, with its
    frames, until the next batch; raised here, it does not keep the transcript in memory.
    """
    in_time = lambda_context.get_remaining_time_in_millis() >= MESSAGE_LIMIT_S * 1000
    fault = _store(record) if in_time else "not enough time left"
    if fault is not None:
        logger.error("transcript not archived", extra={"message_id": record.message_id, "fault": fault})
        raise NotArchivedError(f"message {record.message_id}: {fault}")


def archive_key(transcript: Transcript) -> str:
    """Return the object's key. Each day has a folder named as Hive, Athena and DuckDB name partitions."""
    return f"transcripts/date={transcript.date}/{object_name(transcript.id)}.jsonl"


def _store(record: SQSRecord) -> str | None:
    """Write the object. Returns None, or what went wrong, without any of the content."""
    try:
        transcript = read_transcript(record, _fetch)
        if HAS_NO_ARCHIVE:
            return "the transcript is valid, but there is no archive under sam local"
        key = archive_key(transcript)
        s3.put_object(
            Bucket=ARCHIVE_BUCKET,
            Key=key,
            Body=transcript.to_json() + b"\n",
            ContentType="application/x-ndjson",
        )
    except InvalidTranscriptError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - Powertools would not log it
        return error_code(error)
    facts = {"transcript_id": transcript.id, "outcome": transcript.outcome, "key": key}
    logger.info("transcript archived", extra={"message_id": record.message_id, **facts})
    return None


def _fetch(bucket: str, key: str) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
