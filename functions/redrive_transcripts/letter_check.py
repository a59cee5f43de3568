"""The check that a dead letter is a transcript: nothing else is redriven."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from aws_client import CallLimits, aws_client, longest_call_s
from chat_stream.transcripts.reader import transcript_in
from chat_stream.transcripts.transcript import InvalidTranscriptError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 10, "attempts": 2}
CHECK_LIMIT_S = longest_call_s(**LIMITS)


class LetterCheck:
    """Reads a letter's document as a consumer would. A check takes at most `CHECK_LIMIT_S`.

    Args:
        bucket: the only bucket that pointers may name.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def check(self, document: Any) -> None:
        """Check that this is a transcript, or a pointer to an existing one.

        Raises:
            InvalidTranscriptError: it is not; the message has none of the document's content.
            botocore's errors and TimeoutError: the transcript that a pointer names cannot be fetched.
        """
        transcript_in(document, self._fetch)

    def _fetch(self, bucket: str, key: str) -> bytes:
        if bucket != self._bucket:
            raise InvalidTranscriptError("pointer.bucket: should be the bucket in TRANSCRIPT_BUCKET")
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    @cached_property
    def _s3(self) -> S3Client:
        # Created on first use: it takes time, and few letters are pointers.
        client: S3Client = aws_client("s3", **LIMITS)
        return client
