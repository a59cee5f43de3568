"""S3: the transcripts that are larger than a message or an invocation takes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from aws_client import aws_client
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 10
ATTEMPTS = 3


class TranscriptTooLargeError(ValueError):
    """The transcript does not fit into one SQS message. Tells its id, nothing of its content."""


class TranscriptBucket:
    """Stores transcripts and gets them back. Without a bucket's name it can only do the latter."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fetch(self, bucket: str, key: str) -> bytes:
        """The bytes of an object that a pointer names. Raises what botocore raises, and TimeoutError."""
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def store(self, transcript: Transcript) -> TranscriptPointer:
        """Put the transcript where its pointer says. The same one put twice is one object.

        Raises:
            TranscriptTooLargeError: there is no bucket.
            What botocore raises, and TimeoutError.
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
        # Few transcripts are large: most environments never need the client, which takes a while to make.
        client: S3Client = aws_client(
            "s3", connect_timeout_s=CONNECT_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S, attempts=ATTEMPTS
        )
        return client
