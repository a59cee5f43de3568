"""The hand-off with an Invoke endpoint over a socket and moto's S3 and SQS, and without any of them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.reader import transcript_in
from handoff.clients import HandoffClients
from handoff.handoff import MAX_EVENT_BYTES, MAX_LETTER_BYTES, Handoff
from log_privacy import keep_libraries_quiet
from settings import Settings
from tests.support.transcripts.handing_off import (
    BUCKET,
    InvokeEndpoint,
    errors,
    handoff,
    letters,
    logged_whole,
    transcript,
    transcript_of,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

pytestmark = [
    pytest.mark.usefixtures("handoff_aws"),
    # botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

UNREACHABLE = "http://127.0.0.1:1"


@pytest.fixture
def s3(handoff_aws: None) -> Iterator[S3Client]:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for stored in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=stored["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def sqs(handoff_aws: None) -> Iterator[SQSClient]:
    client = boto3.client("sqs")
    yield client
    client.close()


# -- the companion is invoked -------------------------------------------------------------------------------


def test_the_transcript_is_the_payload_of_an_asynchronous_invoke(endpoint: InvokeEndpoint) -> None:
    hand_off = handoff()
    hand_off.prepare()
    hand_off.prepare()
    hand_off.send(transcript(), 60.0)
    hand_off.send(transcript(), 60.0)
    assert len(endpoint.invoked) == 2
    path, kind, body = endpoint.invoked[0]
    assert path == "/2015-03-31/functions/companion/invocations"
    assert kind == "Event"
    assert json.loads(body)["id"] == "r-1"
    assert body.isascii()
    assert "load-boto3" not in {thread.name for thread in threading.enumerate()}, "it has ended"


def test_consecutive_hand_offs_use_the_same_connection(endpoint: InvokeEndpoint) -> None:
    hand_off = handoff()
    for _ in range(3):
        hand_off.send(transcript(), 60.0)
    assert (len(endpoint.invoked), endpoint.connections) == (3, 1)


def test_a_temporary_fault_of_the_endpoint_is_retried(
    endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.statuses = [500, 503, 429, 500, 202]
    handoff().send(transcript(), 60.0)
    assert len(endpoint.invoked) == 5
    assert caplog.records == []


def test_without_a_companion_nothing_is_sent_and_nothing_logged(caplog: pytest.LogCaptureFixture) -> None:
    hand_off = Handoff(Settings())
    hand_off.prepare()
    hand_off.send(transcript(), 60.0)
    assert caplog.records == []
    assert "load-boto3" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(("status", "failures"), [(202, 0), (403, 1)])
def test_a_hand_off_that_fails_is_reported_once(
    endpoint: InvokeEndpoint, dead_letters: str, status: int, failures: int
) -> None:
    endpoint.statuses = [status]
    reported: list[str] = []
    settings = Settings(transcript_function_name="companion", transcript_dead_letter_queue_url=dead_letters)
    sent = transcript()
    Handoff(settings, reported.append).send(sent, 60.0)
    assert reported == [sent.id] * failures


def test_a_transcript_that_was_handed_off_is_not_logged_even_at_debug(
    endpoint: InvokeEndpoint, s3: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    keep_libraries_quiet()
    with caplog.at_level(logging.DEBUG):
        handoff(transcript_bucket=BUCKET).send(transcript("because " * 200_000), 60.0)
    assert len(endpoint.invoked) == 1
    assert "because" not in caplog.text


@pytest.mark.parametrize("content", ["answer", "none"])
def test_only_the_content_that_the_setting_allows_leaves_the_function(
    endpoint: InvokeEndpoint, content: Any
) -> None:
    sent = transcript()
    handoff(transcript_content=content).send(sent, 60.0)
    ((_, _, body),) = endpoint.invoked
    assert body == reduced(sent, content).to_json()
    assert b"why" not in body
    assert (b"because" in body) is (content == "answer")


# -- large transcripts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size_bytes", "stored"), [(MAX_EVENT_BYTES, False), (MAX_EVENT_BYTES + 1, True), (5_000_000, True)]
)
def test_a_transcript_over_1_mb_goes_to_the_bucket_and_a_pointer_to_the_companion(
    endpoint: InvokeEndpoint, s3: S3Client, size_bytes: int, stored: bool
) -> None:
    sent = transcript_of(size_bytes)
    handoff(transcript_bucket=BUCKET).send(sent, 60.0)
    ((_, kind, body),) = endpoint.invoked
    assert kind == "Event"
    assert ("pointer" in json.loads(body)) is stored
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == stored
    assert transcript_in(json.loads(body), lambda b, k: s3.get_object(Bucket=b, Key=k)["Body"].read()) == sent


def test_a_large_transcript_handed_off_twice_is_one_object(endpoint: InvokeEndpoint, s3: S3Client) -> None:
    sent = transcript_of(1_500_000)
    for _ in range(2):
        handoff(transcript_bucket=BUCKET).send(sent, 60.0)
    assert endpoint.invoked[0] == endpoint.invoked[1]
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


# -- the dead letters ---------------------------------------------------------------------------------------


def test_a_transcript_that_cannot_be_handed_off_is_in_the_dead_letters_unchanged(
    endpoint: InvokeEndpoint, sqs: SQSClient, dead_letters: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.statuses = [403]
    sent = transcript()
    handoff(transcript_dead_letter_queue_url=dead_letters).send(sent, 60.0)
    assert letters(sqs, dead_letters) == [sent.to_json()]
    (record,) = errors(caplog)
    assert "(403): transcript r-1 is in the dead-letter queue" in record.getMessage()
    assert "because" not in caplog.text


def test_the_pointer_to_a_large_transcript_is_in_the_dead_letters(
    endpoint: InvokeEndpoint, s3: S3Client, sqs: SQSClient, dead_letters: str
) -> None:
    endpoint.statuses = [403]
    sent = transcript_of(2_000_000)
    settings = {"transcript_bucket": BUCKET, "transcript_dead_letter_queue_url": dead_letters}
    handoff(**settings).send(sent, 60.0)
    (letter,) = letters(sqs, dead_letters)
    assert TranscriptPointer.in_document(json.loads(letter)).size_bytes == 2_000_000


@pytest.mark.parametrize("bucket", ["", "no-such-bucket"])
def test_a_transcript_that_cannot_be_stored_but_is_small_enough_is_in_the_dead_letters(
    endpoint: InvokeEndpoint, sqs: SQSClient, dead_letters: str, bucket: str
) -> None:
    sent = transcript_of(MAX_LETTER_BYTES)
    settings = {"transcript_bucket": bucket, "transcript_dead_letter_queue_url": dead_letters}
    handoff(**settings).send(sent, 60.0)
    assert endpoint.invoked == []
    assert letters(sqs, dead_letters) == [sent.to_json()]


# -- the log ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prepared", [True, False])
def test_a_transcript_that_cannot_be_sent_anywhere_is_in_the_log_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, prepared: bool
) -> None:
    for service in ("LAMBDA", "SQS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", UNREACHABLE)
    hand_off = handoff(transcript_dead_letter_queue_url=f"{UNREACHABLE}/1/undelivered")
    if prepared:
        hand_off.prepare()
    sent = transcript()
    hand_off.send(sent, 60.0)
    assert logged_whole(caplog) == sent.document
    assert "(EndpointConnectionError, then EndpointConnectionError)" in caplog.text


def test_in_the_json_log_format_the_transcript_is_a_field_of_the_record(
    monkeypatch: pytest.MonkeyPatch, endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_FORMAT", "JSON")
    endpoint.statuses = [403]
    sent = transcript()
    handoff().send(sent, 60.0)
    (record,) = errors(caplog)
    assert vars(record)["undelivered_transcript"] == sent.document
    assert "because" not in record.getMessage()
    assert "(403, then TRANSCRIPT_DEAD_LETTER_QUEUE_URL is not set)" in record.getMessage()


def test_each_transcript_in_the_log_is_counted_by_a_metric(
    monkeypatch: pytest.MonkeyPatch, endpoint: InvokeEndpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "stream-chat")
    endpoint.statuses = [403]
    handoff().send(transcript(), 60.0)
    (line,) = capsys.readouterr().out.splitlines()
    metric = json.loads(line)
    (definition,) = metric["_aws"]["CloudWatchMetrics"]
    assert (metric["UndeliveredTranscripts"], metric["FunctionName"]) == ([1.0], "stream-chat")
    assert definition["Namespace"] == "DeltaRelay"
    assert metric["level"] == "ERROR"  # so that no log level of the function drops the line
    assert datetime.fromisoformat(metric["timestamp"]).tzinfo is not None
    assert definition["Dimensions"] == [["FunctionName"]]
    assert "because" not in line


def test_a_transcript_too_large_for_a_letter_that_cannot_be_stored_is_in_the_log_whole(
    endpoint: InvokeEndpoint, sqs: SQSClient, dead_letters: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = transcript_of(MAX_LETTER_BYTES + 1)
    settings = {"transcript_bucket": "no-such-bucket", "transcript_dead_letter_queue_url": dead_letters}
    handoff(**settings).send(sent, 60.0)
    assert logged_whole(caplog) == sent.document
    assert "(NoSuchBucket, then too large for a message)" in caplog.text
    assert (endpoint.invoked, letters(sqs, dead_letters)) == ([], [])


def test_content_that_the_setting_withholds_is_not_in_the_log(
    endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.statuses = [403]
    handoff(transcript_content="none").send(transcript(), 60.0)
    assert logged_whole(caplog)["response"]["choices"][0]["content"] is None
    assert "because" not in caplog.text


def test_a_client_that_cannot_be_created_loses_no_transcript(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "not a url")
    hand_off = handoff()
    hand_off.prepare()
    hand_off.send(transcript(), 60.0)
    assert '"id":"r-1"' in caplog.text


def test_the_log_has_the_pointer_to_a_stored_transcript(
    endpoint: InvokeEndpoint, s3: S3Client, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.statuses = [403]
    sent = transcript_of(2_000_000)
    handoff(transcript_bucket=BUCKET).send(sent, 60.0)
    pointer = TranscriptPointer.in_document(logged_whole(caplog))
    assert s3.get_object(Bucket=pointer.bucket, Key=pointer.key)["Body"].read() == sent.to_json()


def test_an_aws_error_without_a_code_loses_no_transcript(
    monkeypatch: pytest.MonkeyPatch, endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(clients: HandoffClients, service: str) -> Any:
        raise ClientError({"Error": {}}, "Invoke")

    monkeypatch.setattr(HandoffClients, "_client", refuse)
    sent = transcript()
    handoff().send(sent, 60.0)
    assert logged_whole(caplog) == sent.document
    assert "(ClientError, then " in caplog.text
