"""Read a queue of the local stack as a consumer does, and look up transcripts by their id."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from chat_stream.transcripts import read_transcript
from tests.support.runtime.handler_process import client_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


class TranscriptQueue:
    """A context manager; `get(id)` waits for the transcript of a request, `message(id)` for its message."""

    def __init__(self, endpoint: str, queue_url: str) -> None:
        self._queue_url = queue_url
        self._transcripts: dict[str, dict[str, Any]] = {}
        self._messages: dict[str, MessageTypeDef] = {}
        self._sqs = client_of("sqs", endpoint, "us-east-1")
        self._s3 = client_of("s3", endpoint, "us-east-1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sqs.close()
        self._s3.close()

    def get(self, request_id: str, limit_s: float = 100.0) -> dict[str, Any]:
        """Wait for the transcript with this id."""
        moment = time.monotonic() + limit_s
        while request_id not in self._transcripts:
            there = list(self._transcripts)
            assert time.monotonic() < moment, f"no transcript {request_id}; there are {there}"
            self._receive()
        return self._transcripts[request_id]

    def message(self, request_id: str) -> MessageTypeDef:
        """The message with this transcript, or with the pointer to it."""
        self.get(request_id)
        return self._messages[request_id]

    def _receive(self) -> None:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            transcript = read_transcript(message, self._fetch)
            self._transcripts[transcript.id] = transcript.document
            self._messages[transcript.id] = message
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])

    def _fetch(self, bucket: str, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body
