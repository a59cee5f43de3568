"""The archive, and a consumer worth copying: each transcript on its queue becomes one object in S3.

    transcripts/date=2026-11-22/<id>.jsonl      one line of JSON, as transcript.schema.json describes it

SQS delivers at least once and in any order. Neither matters here, nor would it in a FIFO queue: the same
transcript always has the same key, so delivered twice it is one object. duckdb_view.sql and
athena_table.sql read what this writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

from aws_client import aws_client, error_code, longest_call_s
from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.pointer import object_name
from chat_stream.transcripts.transcript import InvalidTranscript, Transcript
from log_privacy import keep_libraries_quiet
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_sam_local

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
ATTEMPTS = 2  # the queue is what tries again in earnest, with a longer breath than an invocation has

# What one message may take: a pointer costs two calls. Ten messages whose calls all hang would outlast the
# function, so none is begun that might not end in time.
MESSAGE_LIMIT_S = 2 * longest_call_s(CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS)


class NotArchivedError(RuntimeError):
    """A message whose transcript is not in the archive; says which and why, nothing of its content."""


def archive_bucket(environ: Mapping[str, str]) -> str:
    """The bucket that `ARCHIVE_BUCKET` names.

    Raises:
        SettingsError: when it is no bucket's name.
    """
    name = environ.get("ARCHIVE_BUCKET", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise SettingsError(
            "ARCHIVE_BUCKET must be the name of an S3 bucket, without s3:// and without a path"
        )
    return name


# `sam local` gives the template's name of the bucket: there is none.
HAS_NO_ARCHIVE = is_sam_local(os.environ) and os.environ.get("ARCHIVE_BUCKET") == "ArchiveBucket"
ARCHIVE_BUCKET = "" if HAS_NO_ARCHIVE else archive_bucket(os.environ)

keep_libraries_quiet()
logger = Logger(service="archive-transcripts")
if HAS_NO_ARCHIVE:
    logger.warning(
        "sam local: the archive exists in the template only; transcripts are checked and kept nowhere"
    )
s3: S3Client = aws_client(
    "s3", connect_timeout_s=CONNECT_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S, attempts=ATTEMPTS
)
# Powertools' default is to raise when every message of a batch has failed. They come again either way; but
# one that is invalid, alone in its batch as in quiet hours, would count as a crash of the function, and
# Lambda would log the exceptions. What must be seen is what ends among the dead letters: alarm on those.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)


def handle(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Archive the transcripts of an SQS event; names the messages that are to come again, and only those.

    The trigger needs FunctionResponseTypes: [ReportBatchItemFailures]: without it Lambda takes any answer for
    the success of the whole batch. A message that keeps failing ends among its queue's dead letters.
    """
    return process_partial_response(event, archive, processor, context)


def archive(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Archive the transcript that one message is or points to.

    Raises:
        NotArchivedError: so that this message comes again. Powertools keeps the exception, with all that its
            frames hold, until the next batch; raised here, it holds on to none of the transcript's megabytes.
    """
    in_time = lambda_context.get_remaining_time_in_millis() >= MESSAGE_LIMIT_S * 1000
    fault = _store(record) if in_time else "no time was left for it"
    if fault is not None:
        logger.error("transcript not archived", extra={"message_id": record.message_id, "fault": fault})
        raise NotArchivedError(f"message {record.message_id}: {fault}")


def archive_key(transcript: Transcript) -> str:
    """Where the transcript lies: one folder a day, named as Hive, Athena and DuckDB expect of a partition."""
    return f"transcripts/date={transcript.date}/{object_name(transcript.id)}.jsonl"


def _store(record: SQSRecord) -> str | None:
    """Write the object; if that fails, what is wrong, in words that repeat nothing of the content."""
    try:
        transcript = read_transcript(record, _fetch)
        if HAS_NO_ARCHIVE:
            return "it is a valid transcript, but there is no archive under sam local"
        key = archive_key(transcript)
        s3.put_object(
            Bucket=ARCHIVE_BUCKET,
            Key=key,
            Body=transcript.to_json() + b"\n",
            ContentType="application/x-ndjson",
        )
    except InvalidTranscript as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - Powertools would keep it to itself
        return error_code(error)
    facts = {"transcript_id": transcript.id, "outcome": transcript.outcome, "key": key}
    logger.info("transcript archived", extra={"message_id": record.message_id, **facts})
    return None


def _fetch(bucket: str, key: str) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
