"""The check that a dead letter is a transcript: nothing else is redriven."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from aws_client import aws_client, longest_call_s
from chat_stream.transcripts.reader import transcript_in
from chat_stream.transcripts.transcript import InvalidTranscriptError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 10
ATTEMPTS = 2
CHECK_LIMIT_S = longest_call_s(CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS)


class LetterCheck:
    """Reads a letter's document as a consumer would. A check takes at most `CHECK_LIMIT_S`.

    Args:
        bucket: the only bucket that pointers may name.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def refusal(self, document: Any) -> str | None:
        """Return why this is not a transcript or a pointer to an existing one; None if it is.

        The reason has none of the document's content.

        Raises:
            botocore's errors and TimeoutError, if the transcript that a pointer names cannot be fetched.
        """
        try:
            transcript_in(document, self._fetch)
        except InvalidTranscriptError as error:
            return str(error)
        return None

    def _fetch(self, bucket: str, key: str) -> bytes:
        if bucket != self._bucket:
            raise InvalidTranscriptError("pointer.bucket: should be the bucket in TRANSCRIPT_BUCKET")
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    @cached_property
    def _s3(self) -> S3Client:
        # Created on first use: it takes time, and few letters are pointers.
        client: S3Client = aws_client(
            "s3", connect_timeout_s=CONNECT_TIMEOUT_S, read_timeout_s=READ_TIMEOUT_S, attempts=ATTEMPTS
        )
        return client
