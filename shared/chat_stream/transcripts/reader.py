"""For consumers: reads the transcript from an SQS record that contains it or points to it.

s3 = boto3.client("s3")

def fetch(bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

transcript = read_transcript(record, fetch)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.schema import InvalidTranscriptError
from chat_stream.transcripts.transcript import Transcript, parse_transcript

Fetch = Callable[[str, str], bytes]  # (bucket, key) → the object's bytes


def read_transcript(record: Mapping[str, Any], fetch: Fetch) -> Transcript:
    """The transcript of one SQS message.

    Args:
        record: the record that Lambda passes to a consumer (`body`), or a message of ReceiveMessage (`Body`).
        fetch: gets an object from S3; called only for a pointer. Its exceptions are not caught: the consumer
            should let the message be delivered again.

    Raises InvalidTranscriptError: the message is not a transcript, or the stored object is not the one that
    the pointer describes. The error names the field and quotes nothing of the conversation.
    """
    body = record["body"] if "body" in record else record["Body"]
    return transcript_in(_json(body, "the message"), fetch)


def transcript_in(document: Any, fetch: Fetch) -> Transcript:
    """The transcript in a JSON document, or the one that it points to. Otherwise like `read_transcript`."""
    if not (isinstance(document, dict) and "pointer" in document):
        return parse_transcript(document)
    pointer = TranscriptPointer.in_document(document)
    stored = fetch(pointer.bucket, pointer.key)
    pointer.check(stored)
    transcript = parse_transcript(_json(stored, f"the object {pointer.key}"))
    if transcript.id != pointer.id:
        raise InvalidTranscriptError(f"id: the object {pointer.key} is the transcript of another answer")
    return transcript


def _json(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        # Without the decoder's error, which contains the whole text.
        raise InvalidTranscriptError(f"{where}: should be a JSON document") from None
