"""AWS services that send a byte now and then: every call still ends within its limit."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from aws_client import aws_client
from dead_letters import AWS_ERRORS, DeadLetterQueue
from delivery_progress import DeliveryProgress
from errors import UpstreamError
from quota.rate_limits import RateLimits
from settings import Settings
from tests.support.quota.admitting_process import chat_request
from tests.support.transcripts.sample_transcripts import sample_transcript
from tests.support.upstreams.dripping_server import DRIPS, Drip, DrippingServer
from tests.support.upstreams.exchanges import on_limit
from transcript_message import TranscriptMessage
from transcript_queues import TranscriptQueues
from upstream.client import Upstream
from upstream.key import OpenAIKey

# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

PATIENCE_S = 0.5
IN_TIME_S = 10.0  # creating a client takes seconds on a busy machine; a drip lasts longer than the test may
SERVICES = ("SECRETS_MANAGER", "DYNAMODB", "SQS", "S3", "LAMBDA")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, drip: Drip) -> Iterator[DrippingServer]:
    """All AWS services, as one server that sends its answers slowly."""
    with DrippingServer(drip) as server:
        variables = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
        variables |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for service in SERVICES:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        yield server


def client(service: str) -> Any:
    """A client whose calls are limited to PATIENCE_S each, and its reads to nearly as much."""
    return aws_client(service, connect_timeout_s=0.2, read_timeout_s=PATIENCE_S - 0.2, attempts=1)


CALLS: dict[str, dict[str, Any]] = {
    "sqs.send_message": {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/q", "MessageBody": "x" * 100_000},
    "s3.put_object": {"Bucket": "bucket", "Key": "k", "Body": b"x" * 100_000},
    "s3.get_object": {"Bucket": "bucket", "Key": "k"},
    "lambda.invoke": {"FunctionName": "companion", "Payload": b"{}"},
    "dynamodb.get_item": {"TableName": "t", "Key": {"id": {"S": "a"}}},
    "secretsmanager.get_secret_value": {"SecretId": "a"},
}


@pytest.mark.parametrize(
    ("name", "drip"),
    [("sqs.send_message", drip) for drip in DRIPS.values()] + [(name, DRIPS["head"]) for name in CALLS],
)
def test_every_call_is_limited_as_a_whole(slow: DrippingServer, drip: Drip, name: str) -> None:
    service, _, operation = name.partition(".")
    call = getattr(client(service), operation)
    started_at = time.monotonic()
    with pytest.raises((TimeoutError, BotoCoreError, ClientError)):  # some are not HTTP to botocore
        call(**CALLS[name])
    assert time.monotonic() - started_at < IN_TIME_S


@pytest.mark.parametrize("drip", [DRIPS["head"]])
def test_a_service_that_never_finishes_holds_only_a_few_threads(slow: DrippingServer) -> None:
    sqs = client("sqs")
    for _ in range(20):
        with pytest.raises(TimeoutError):
            sqs.send_message(**CALLS["sqs.send_message"])
    assert len([thread for thread in threading.enumerate() if thread.name == "sqs"]) <= 4 * 2


@pytest.mark.parametrize("drip", [DRIPS["head"]])
def test_a_slow_secret_is_a_502_in_time(
    monkeypatch: pytest.MonkeyPatch, slow: DrippingServer, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("upstream.key.LIMIT_S", PATIENCE_S)
    upstream = Upstream(Settings(openai_api_key_secret_id="any"))
    started_at = time.monotonic()
    with pytest.raises(UpstreamError) as raised:
        upstream.exchange("/x", b"{}", streamed=True, deadline_at=started_at + 60).open(on_limit)
    assert time.monotonic() - started_at < IN_TIME_S
    assert (raised.value.status, raised.value.code) == (502, "upstream_key_unavailable")
    upstream.close()


@pytest.mark.parametrize("drip", [DRIPS["head"]])
def test_the_wait_for_a_secret_ends_with_the_deadline_of_the_answer(slow: DrippingServer) -> None:
    upstream = Upstream(Settings(openai_api_key_secret_id="any"))
    started_at = time.monotonic()
    with pytest.raises(UpstreamError, match="no key"):
        upstream.exchange("/x", b"{}", streamed=True, deadline_at=started_at + 1).open(on_limit)
    assert time.monotonic() - started_at < 1 + IN_TIME_S
    upstream.close()


@pytest.mark.parametrize("drip", [DRIPS["head"]])
def test_a_secret_that_came_too_late_is_not_cached(
    monkeypatch: pytest.MonkeyPatch, slow: DrippingServer
) -> None:
    key = OpenAIKey(Settings(openai_api_key_secret_id="any"))
    with pytest.raises(Exception, match="too long"):
        key.read(limit_s=PATIENCE_S)
    body = json.dumps({"SecretString": "sk-new"}).encode()
    slow.whole = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    assert key.read() == "sk-new"


@pytest.mark.parametrize("drip", [DRIPS["head"]])
def test_an_admission_and_a_booking_are_limited_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, slow: DrippingServer, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("quota.rate_limits.LIMIT_S", PATIENCE_S)
    own = Settings(
        limits_table_name="t", requests_per_minute=5, tokens_per_day=500, limits_unreachable="admit"
    )
    limits = RateLimits(own)
    started_at = time.monotonic()
    admission = limits.admit("web", own, chat_request())
    assert time.monotonic() - started_at < IN_TIME_S
    started_at = time.monotonic()
    with caplog.at_level(logging.ERROR):
        admission.book(sample_transcript(1, 1), 60.0)
    assert time.monotonic() - started_at < IN_TIME_S
    assert "could not be booked" in caplog.text


def hurry(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Limit the calls of the module's clients to PATIENCE_S."""
    limits = {"connect_timeout_s": 0.2, "read_timeout_s": PATIENCE_S - 0.2, "attempts": 1}
    monkeypatch.setattr(f"{module}.LIMITS", limits)


@pytest.mark.parametrize("drip", [DRIPS["body"]])
def test_the_companion_reports_slow_queues_and_continues_without_its_table(
    monkeypatch: pytest.MonkeyPatch, slow: DrippingServer
) -> None:
    hurry(monkeypatch, "transcript_queues")
    hurry(monkeypatch, "delivery_progress")
    urls = [f"{slow.url}/1/{name}" for name in "abc"]
    message = TranscriptMessage.of(sample_transcript(1, 1))
    queues, progress = TranscriptQueues(), DeliveryProgress("t")
    started_at = time.monotonic()
    assert set(queues.send(message, urls, lambda url: None)) == set(urls)
    assert progress.queues_with("r-1") == frozenset()
    assert time.monotonic() - started_at < IN_TIME_S


@pytest.mark.parametrize("drip", [DRIPS["handshake"]])
def test_a_redrive_treats_a_slow_queue_as_any_other_error(
    monkeypatch: pytest.MonkeyPatch, slow: DrippingServer
) -> None:
    queue = DeadLetterQueue(client("sqs"), f"{slow.url}/1/dead")
    started_at = time.monotonic()
    with pytest.raises(AWS_ERRORS):
        queue.receive(10)
    assert queue.release(["handle"]) is not None
    assert time.monotonic() - started_at < IN_TIME_S
