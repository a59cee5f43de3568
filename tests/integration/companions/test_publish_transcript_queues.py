"""The companion in its own process, with clients that talk to moto's server over loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import parse_transcript
from tests.support.aws.sqs_front import SqsFront
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import CREDENTIALS, HandlerRun, client_of, run_handler

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

INVOKE = "import handler, json, sys; handler.handle(json.load(sys.stdin), None)"
DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))
COMPACT = json.dumps(DOCUMENT, ensure_ascii=True, separators=(",", ":"))
BUCKET, TABLE = "transcripts", "delivery-progress"


@pytest.fixture
def sqs(moto_url: str) -> Iterator[SQSClient]:
    client: SQSClient = client_of("sqs", moto_url)
    yield client
    for url in client.list_queues().get("QueueUrls", []):
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
def s3(moto_url: str) -> Iterator[S3Client]:
    client: S3Client = client_of("s3", moto_url)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for stored in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=stored["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def progress(moto_url: str) -> Iterator[Any]:
    """The table in which the companion records its progress."""
    client = client_of("dynamodb", moto_url)
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield client
    client.delete_table(TableName=TABLE)
    client.close()


@pytest.fixture
def queues(sqs: SQSClient) -> list[str]:
    return [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("transcripts", "transcripts-audit")]


def companion(routes: str, endpoint: str, **variables: str) -> subprocess.Popen[str]:
    """Start a process that makes one invocation with DOCUMENT, as the stock runtime does."""
    folders = [str(PROJECT / "functions" / "publish_transcript"), str(PROJECT / "shared")]
    process = subprocess.Popen(
        [sys.executable, "-c", INVOKE],
        env={
            **CREDENTIALS,
            "PYTHONPATH": os.pathsep.join(folders),
            **environment(routes, endpoint),
            **variables,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(COMPACT)
    process.stdin.close()
    process.stdin = None
    return process


def environment(routes: str, endpoint: str) -> dict[str, str]:
    endpoints = {f"AWS_ENDPOINT_URL_{service}": endpoint for service in ("SQS", "S3", "DYNAMODB")}
    return {"TRANSCRIPT_ROUTES": routes, **endpoints}


def publish(event: Any, routes: str, endpoint: str, **variables: str) -> HandlerRun:
    """Make one invocation; an exception ends the process with a traceback."""
    return run_handler("publish_transcript", "handler", event, {**environment(routes, endpoint), **variables})


def messages(sqs: SQSClient, queue_url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
        WaitTimeSeconds=0,
    )
    return [dict(message) for message in answer.get("Messages", [])]


def transcript_of(content: str, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {**json.loads(COMPACT), **changes}
    document["response"]["choices"][0]["content"] = content
    return document


@pytest.fixture
def front(moto_url: str) -> Iterator[SqsFront]:
    with SqsFront(moto_url) as server:
        yield server


# -- what the queues receive --------------------------------------------------------------------------------


def test_every_queue_gets_the_transcript_byte_for_byte_and_it_is_logged_once_without_its_content(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish(DOCUMENT, ", ".join(queues), moto_url)
    assert result.status == 0, result.log
    for queue in queues:
        [message] = messages(sqs, queue)
        assert message["Body"] == COMPACT
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert attributes == {
            "outcome": "completed",
            "model": "gpt-6-luna",
            "caller": "web",
            "schema_version": "1",
        }
    [record] = result.records
    assert (record["transcript_id"], record["outcome"]) == (DOCUMENT["id"], "completed")
    assert (record["queues"], record["sent"], record["service"]) == (2, 2, "publish-transcript")
    assert "sky" not in result.log


def test_a_queue_gets_only_the_transcripts_that_its_route_admits(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    routes = json.dumps({queues[0]: {"outcome": ["failed"]}, queues[1]: {"caller": "w*", "model": "gpt-6*"}})
    result = publish(DOCUMENT, routes, moto_url)
    assert result.status == 0, result.log
    assert [len(messages(sqs, queue)) for queue in queues] == [0, 1]


def test_a_transcript_that_no_route_admits_is_not_an_error(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish(DOCUMENT, json.dumps({queues[0]: {"caller": "nobody"}}), moto_url)
    assert result.status == 0, result.log
    assert result.records[0]["sent"] == 0
    assert messages(sqs, queues[0]) == []


def test_a_fifo_queue_groups_by_caller_and_drops_duplicates(sqs: SQSClient, moto_url: str) -> None:
    queue = sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for _ in range(2):  # without a progress table, so it is sent twice
        result = publish(DOCUMENT, queue, moto_url)
        assert result.status == 0, result.log
    [message] = messages(sqs, queue)
    assert message["Attributes"]["MessageGroupId"] == "web"
    assert message["Attributes"]["MessageDeduplicationId"] == DOCUMENT["id"]
    assert message["Body"] == COMPACT


# -- queues that fail ---------------------------------------------------------------------------------------


def test_a_missing_queue_is_named_and_the_others_get_the_transcript(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    gone = queues[0] + "-gone"
    result = publish(DOCUMENT, f"{queues[0]},{gone},{queues[1]}", moto_url)
    assert result.status == 1
    assert "PublishError" in result.last_line
    assert "transcripts-gone" in result.last_line
    assert "transcripts-audit" not in result.last_line
    assert [message["Body"] for queue in queues for message in messages(sqs, queue)] == [COMPACT, COMPACT]
    assert "sky" not in result.log


def test_a_throttled_queue_is_retried_and_gets_the_transcript_once(
    sqs: SQSClient, queues: list[str], front: SqsFront
) -> None:
    front.throttled = {"transcripts": 2}
    result = publish(DOCUMENT, ",".join(queues), front.url)
    assert result.status == 0, result.log
    assert front.sends == {"transcripts": 3, "transcripts-audit": 1}
    assert [len(messages(sqs, queue)) for queue in queues] == [1, 1]


def test_a_queue_that_stays_throttled_is_reported_with_its_error_code(
    sqs: SQSClient, queues: list[str], front: SqsFront
) -> None:
    front.throttled = {"transcripts": 100}
    result = publish(DOCUMENT, ",".join(queues), front.url)
    assert "was not accepted by transcripts (RequestThrottled)" in result.last_line
    assert [len(messages(sqs, queue)) for queue in queues] == [0, 1]


def test_a_queue_that_hangs_does_not_delay_the_others(
    sqs: SQSClient, queues: list[str], front: SqsFront
) -> None:
    front.held = {"transcripts"}
    process = companion(",".join(queues), front.url)
    try:
        assert front.holding.wait(30)
        received = sqs.receive_message(QueueUrl=queues[1], WaitTimeSeconds=8)  # before a read times out
        assert [message["Body"] for message in received["Messages"]] == [COMPACT]
    finally:
        front.released.set()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_unreachable_sqs_is_an_error_for_every_queue(queues: list[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        nobody = f"http://127.0.0.1:{server.server_address[1]}"
    result = publish(DOCUMENT, ",".join(queues), nobody)
    assert "transcripts (EndpointConnectionError)" in result.last_line
    assert "transcripts-audit (EndpointConnectionError)" in result.last_line


# -- retries ------------------------------------------------------------------------------------------------


def test_a_retry_sends_only_to_the_queues_without_the_transcript(
    sqs: SQSClient, queues: list[str], progress: Any, front: SqsFront, moto_url: str
) -> None:
    table = {"AWS_ENDPOINT_URL_DYNAMODB": moto_url, "DELIVERY_TABLE_NAME": TABLE}
    front.throttled = {"transcripts": 4}
    first = publish(DOCUMENT, ",".join(queues), front.url, **table)
    assert "was not accepted by transcripts (RequestThrottled)" in first.last_line
    again = publish(DOCUMENT, ",".join(queues), front.url, **table)
    assert again.status == 0, again.log
    assert again.records[0]["sent"] == 1
    assert front.sends == {"transcripts": 5, "transcripts-audit": 1}
    assert [len(messages(sqs, queue)) for queue in queues] == [1, 1]
    (item,) = progress.scan(TableName=TABLE)["Items"]
    assert set(item["sent_to"]["SS"]) == set(queues)
    days = (int(item["expires_at"]["N"]) - time.time()) / 86400
    assert 14.5 < days < 15.5  # dead letters have expired by then


def test_after_the_companion_is_killed_between_two_sends_the_retry_sends_only_what_is_missing(
    sqs: SQSClient, queues: list[str], progress: Any, front: SqsFront, moto_url: str
) -> None:
    table = {"AWS_ENDPOINT_URL_DYNAMODB": moto_url, "DELIVERY_TABLE_NAME": TABLE}
    front.held = {"transcripts"}
    process = companion(",".join(queues), front.url, **table)
    assert front.holding.wait(30)
    while not progress.scan(TableName=TABLE)["Items"]:  # until the other queue's send is recorded
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    front.held = set()
    again = publish(DOCUMENT, ",".join(queues), front.url, **table)
    assert again.status == 0, again.log
    assert front.sends["transcripts-audit"] == 1


def test_without_its_table_the_companion_still_delivers_and_warns_of_duplicates(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish(DOCUMENT, ",".join(queues), moto_url, DELIVERY_TABLE_NAME="gone")
    assert result.status == 0, result.log
    assert [len(messages(sqs, queue)) for queue in queues] == [1, 1]
    warnings = [record for record in result.records if record["level"] == "WARNING"]
    assert {warning["error"] for warning in warnings} == {"ResourceNotFoundException"}
    assert "sky" not in result.log


# -- large transcripts --------------------------------------------------------------------------------------


def test_for_a_pointer_the_transcript_is_sent_whole_if_it_fits(
    sqs: SQSClient, s3: S3Client, queues: list[str], moto_url: str
) -> None:
    sent = parse_transcript(transcript_of("sky " * 255_000))
    pointer = TranscriptPointer.to(sent, sent.to_json(), BUCKET)
    s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=sent.to_json())
    result = publish(json.loads(pointer.to_json()), queues[0], moto_url, TRANSCRIPT_BUCKET=BUCKET)
    assert result.status == 0, result.log
    [message] = messages(sqs, queues[0])
    assert message["Body"].encode() == sent.to_json()


def test_for_a_transcript_over_1_mib_every_queue_gets_a_pointer_to_one_object(
    sqs: SQSClient, s3: S3Client, queues: list[str], moto_url: str
) -> None:
    sent = parse_transcript(transcript_of("sky 🌌\x00 " * 300_000))
    result = publish(sent.document, ",".join(queues), moto_url, TRANSCRIPT_BUCKET=BUCKET)
    assert result.status == 0, result.log
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    for queue in queues:
        [message] = messages(sqs, queue)
        assert message["MessageAttributes"]["caller"]["StringValue"] == "web"
        assert len(message["Body"]) < 1000
        got = read_transcript(message, lambda b, k: s3.get_object(Bucket=b, Key=k)["Body"].read())
        assert got == sent
    assert "sky" not in result.log


def test_without_a_bucket_a_transcript_too_large_for_a_message_is_an_error_with_its_id(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish(transcript_of("sky " * 300_000), ",".join(queues), moto_url)
    assert "TranscriptTooLargeError" in result.last_line
    assert DOCUMENT["id"] in result.last_line
    assert "sky" not in result.log
    assert [messages(sqs, queue) for queue in queues] == [[], []]


def test_a_pointer_to_a_missing_object_is_an_error_and_nothing_is_sent(
    sqs: SQSClient, s3: S3Client, queues: list[str], moto_url: str
) -> None:
    pointer = TranscriptPointer("r-1", BUCKET, "gone.json", 1, "0" * 64)
    result = publish(json.loads(pointer.to_json()), queues[0], moto_url, TRANSCRIPT_BUCKET=BUCKET)
    assert "NoSuchKey" in result.last_line
    assert messages(sqs, queues[0]) == []


# -- invalid events and settings ----------------------------------------------------------------------------


def test_an_invalid_transcript_is_refused_with_its_field_and_not_sent(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish({**DOCUMENT, "outcome": "splendid sky"}, ",".join(queues), moto_url)
    assert result.status == 1
    assert "InvalidTranscriptError" in result.last_line
    assert "outcome" in result.last_line
    assert "sky" not in result.log
    assert [messages(sqs, queue) for queue in queues] == [[], []]


def test_malformed_routes_fail_at_start_and_name_the_variable() -> None:
    result = publish(DOCUMENT, "transcripts", "http://127.0.0.1:1")
    assert result.status == 1
    assert "SettingsError: TRANSCRIPT_ROUTES" in result.last_line
