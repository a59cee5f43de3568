"""S3 storage of transcripts that are too large for a message or an asynchronous invocation."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from aws_client import CallLimits, aws_client
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 10, "attempts": 3}


class TranscriptTooLargeError(ValueError):
    """The transcript does not fit into one SQS message. The message has its id but none of its content."""


class TranscriptBucket:
    """Stores transcripts and fetches them. With an empty bucket name it can only fetch."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fetch(self, bucket: str, key: str) -> bytes:
        """Return the bytes of the object that a pointer names. Raises botocore's errors and TimeoutError."""
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def store(self, transcript: Transcript) -> TranscriptPointer:
        """Store the transcript and return the pointer to it. Storing it again writes the same object.

        Raises:
            TranscriptTooLargeError: there is no bucket.
            botocore's errors, and TimeoutError.
        """
        if not self._name:
            raise TranscriptTooLargeError(
                f"transcript {transcript.id} is larger than an SQS message, and TRANSCRIPT_BUCKET is not set"
            )
        body = transcript.to_json()
        pointer = TranscriptPointer.to(transcript, body, self._name)
        self._s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=body, ContentType="application/json")
        return pointer

    @cached_property
    def _s3(self) -> S3Client:
        # Created on first use: it takes time, and few transcripts are large enough to need it.
        client: S3Client = aws_client("s3", **LIMITS)
        return client
