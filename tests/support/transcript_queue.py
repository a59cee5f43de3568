"""Reads a queue of the local stack as a consumer does, and hands out transcripts by their id."""

from __future__ import annotations

import json
import time
from typing import Any, Self

import boto3


class TranscriptQueue:
    """A context manager; `get(id)` waits for the transcript of that request."""

    def __init__(self, endpoint: str, queue_url: str) -> None:
        self._queue_url = queue_url
        self._seen: dict[str, dict[str, Any]] = {}
        self._sqs = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sqs.close()

    def get(self, request_id: str, limit_s: float = 30.0) -> dict[str, Any]:
        """The transcript with this id, as soon as the queue has it."""
        moment = time.monotonic() + limit_s
        while request_id not in self._seen:
            assert time.monotonic() < moment, f"no transcript {request_id}; there are {list(self._seen)}"
            self._receive()
        return self._seen[request_id]

    def _receive(self) -> None:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10
        )
        for message in answer.get("Messages", []):
            document = json.loads(message["Body"])
            self._seen[document["id"]] = document
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
