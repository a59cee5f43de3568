"""The companion in a process of its own, its SQS client talking to moto's server over a loopback socket."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest

from tests.support.sam import PROJECT

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
INVOKE = "import handler, json, sys; handler.handle(json.load(sys.stdin), None)"
DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))
COMPACT = json.dumps(DOCUMENT, ensure_ascii=True, separators=(",", ":"))


@pytest.fixture
def sqs(moto_url: str) -> Iterator[SQSClient]:
    client = boto3.client(
        "sqs",
        endpoint_url=moto_url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    for url in client.list_queues().get("QueueUrls", []):
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
def queues(sqs: SQSClient) -> list[str]:
    return [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("transcripts", "transcripts-audit")]


def publish(event: Any, queue_urls: str, endpoint: str) -> subprocess.CompletedProcess[str]:
    """One invocation, as the stock runtime makes it: an exception ends the process with its traceback."""
    folders = [str(PROJECT / "functions" / "publish_transcript"), str(PROJECT / "shared")]
    return subprocess.run(
        [sys.executable, "-c", INVOKE],
        input=json.dumps(event),
        env={
            **CREDENTIALS,
            "PYTHONPATH": os.pathsep.join(folders),
            "TRANSCRIPT_QUEUE_URLS": queue_urls,
            "AWS_ENDPOINT_URL_SQS": endpoint,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def messages(sqs: SQSClient, queue_url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=0
    )
    return [dict(message) for message in answer.get("Messages", [])]


class ThrottlingFront(ThreadingHTTPServer):
    """Stands before moto and throttles the first `refusals[queue name]` messages for a queue."""

    daemon_threads = True

    def __init__(self, moto_url: str, refusals: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _ThrottlingHandler)
        self.moto = urlsplit(moto_url).netloc
        self.refusals = refusals
        self.sends: Counter[str] = Counter()


class _ThrottlingHandler(BaseHTTPRequestHandler):
    server: ThrottlingFront

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        queue = json.loads(body)["QueueUrl"].rsplit("/", 1)[-1]
        self.server.sends[queue] += 1
        if self.server.sends[queue] <= self.server.refusals.get(queue, 0):
            self._answer(400, b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Slow down."}')
            return
        connection = http.client.HTTPConnection(self.server.moto, timeout=30)
        connection.request("POST", self.path, body, dict(self.headers))
        response = connection.getresponse()
        self._answer(response.status, response.read())
        connection.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """The test's output is its own."""


@pytest.fixture
def throttling(moto_url: str) -> Iterator[ThrottlingFront]:
    with ThrottlingFront(moto_url, {}) as front:
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield front
        front.shutdown()
        thread.join()


def endpoint_of(front: ThrottlingFront) -> str:
    return f"http://127.0.0.1:{front.server_address[1]}"


def test_every_queue_gets_the_transcript_byte_for_byte(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish(DOCUMENT, ", ".join(queues), moto_url)
    assert result.returncode == 0, result.stderr
    for queue in queues:
        [message] = messages(sqs, queue)
        assert message["Body"] == COMPACT
        attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
        assert attributes == {
            "outcome": "completed",
            "model": "gpt-5-mini",
            "caller": "web",
            "schema_version": "1",
        }


def test_published_transcript_leaves_one_log_record_without_its_content(
    queues: list[str], moto_url: str
) -> None:
    result = publish(DOCUMENT, ",".join(queues), moto_url)
    [record] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (record["transcript_id"], record["outcome"], record["queues"]) == (DOCUMENT["id"], "completed", 2)
    assert record["service"] == "publish-transcript"
    assert "sky" not in result.stdout + result.stderr


def test_missing_queue_is_named_and_the_others_get_theirs(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    gone = queues[0] + "-gone"
    result = publish(DOCUMENT, f"{queues[0]},{gone},{queues[1]}", moto_url)
    assert result.returncode == 1
    last_line = result.stderr.splitlines()[-1]
    assert "PublishError" in last_line
    assert "transcripts-gone" in last_line
    assert "transcripts-audit" not in last_line
    assert [message["Body"] for queue in queues for message in messages(sqs, queue)] == [COMPACT, COMPACT]
    assert "sky" not in result.stdout + result.stderr


def test_throttled_queue_is_tried_again_and_gets_the_transcript_once(
    sqs: SQSClient, queues: list[str], throttling: ThrottlingFront
) -> None:
    throttling.refusals = {"transcripts": 2}
    result = publish(DOCUMENT, ",".join(queues), endpoint_of(throttling))
    assert result.returncode == 0, result.stderr
    assert throttling.sends == {"transcripts": 3, "transcripts-audit": 1}
    assert [len(messages(sqs, queue)) for queue in queues] == [1, 1]


def test_queue_that_stays_throttled_is_reported_with_its_code(
    sqs: SQSClient, queues: list[str], throttling: ThrottlingFront
) -> None:
    throttling.refusals = {"transcripts": 100}
    result = publish(DOCUMENT, ",".join(queues), endpoint_of(throttling))
    assert "was not taken by transcripts (RequestThrottled)" in result.stderr.splitlines()[-1]
    assert [len(messages(sqs, queue)) for queue in queues] == [0, 1]


def test_sqs_that_does_not_answer_is_an_error_for_every_queue(queues: list[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        nobody = f"http://127.0.0.1:{server.server_address[1]}"
    result = publish(DOCUMENT, ",".join(queues), nobody)
    last_line = result.stderr.splitlines()[-1]
    assert "transcripts (EndpointConnectionError)" in last_line
    assert "transcripts-audit (EndpointConnectionError)" in last_line


def test_event_that_is_no_transcript_is_refused_by_its_field_and_sent_nowhere(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    result = publish({**DOCUMENT, "outcome": "splendid sky"}, ",".join(queues), moto_url)
    assert result.returncode == 1
    last_line = result.stderr.splitlines()[-1]
    assert "InvalidTranscript" in last_line
    assert "outcome" in last_line
    assert "sky" not in result.stdout + result.stderr
    assert [messages(sqs, queue) for queue in queues] == [[], []]


def test_transcript_too_large_for_a_message_is_a_clear_error(
    sqs: SQSClient, queues: list[str], moto_url: str
) -> None:
    document = json.loads(COMPACT)
    document["response"]["choices"][0]["content"] = "sky " * 300_000
    result = publish(document, ",".join(queues), moto_url)
    assert "TranscriptTooLargeError" in result.stderr.splitlines()[-1]
    assert DOCUMENT["id"] in result.stderr.splitlines()[-1]
    assert "sky" not in result.stdout + result.stderr
    assert [messages(sqs, queue) for queue in queues] == [[], []]


@pytest.mark.parametrize("value", ["", " , ", "transcripts"])
def test_queue_urls_that_are_missing_or_none_fail_at_start_naming_the_variable(
    value: str, moto_url: str
) -> None:
    result = publish(DOCUMENT, value, moto_url)
    assert result.returncode == 1
    assert "SettingsError: TRANSCRIPT_QUEUE_URLS" in result.stderr.splitlines()[-1]
