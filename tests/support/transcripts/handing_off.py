"""Helpers for tests of the hand-off: transcripts, Lambda's Invoke endpoint, and the log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from chat_stream.events import ChoiceFinished, TextDelta
from chat_stream.transcripts.transcript import Transcript, TranscriptBuilder
from handoff.handoff import Handoff
from settings import Settings
from tests.support.network.loopback_server import LoopbackServer, QuietRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BUCKET = "transcripts"


def transcript(answer: str = "because") -> Transcript:
    request = {"model": "m", "messages": [{"role": "user", "content": "why? 👋"}], "parameters": {}}
    builder = TranscriptBuilder(
        id="r-1", caller="web", route="/chatCompletion", request=request, started_at=datetime.now(UTC)
    )
    builder.add(TextDelta(0, answer), 1)
    builder.add(ChoiceFinished(0, "stop"), 2)
    return builder.finish(3)


def transcript_of(size_bytes: int) -> Transcript:
    """A transcript of exactly this encoded size."""
    return transcript("a" * (size_bytes - len(transcript("").to_json())))


class InvokeEndpoint(LoopbackServer):
    """A stand-in for Lambda's Invoke; `statuses` are the answers in order, the last one repeats."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(InvokeRequest)
        self.statuses = list(statuses)
        self.invoked: list[tuple[str, str | None, bytes]] = []
        self.connections = 0


class InvokeRequest(QuietRequest):
    server: InvokeEndpoint

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.invoked.append((self.path, self.headers.get("x-amz-invocation-type"), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("content-length", "0")
        self.end_headers()


def handoff(**settings: Any) -> Handoff:
    return Handoff(Settings(transcript_function_name="companion", **settings))


def letters(sqs: SQSClient, url: str) -> list[bytes]:
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
    return [message["Body"].encode() for message in received.get("Messages", [])]


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno == logging.ERROR]


def logged_whole(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The only transcript in the log, written in the text format."""
    (record,) = errors(caplog)
    _, _, logged = record.getMessage().partition("undelivered_transcript: ")
    document: dict[str, Any] = json.loads(logged)
    return document
