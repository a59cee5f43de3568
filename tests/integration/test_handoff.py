"""The hand-off against an endpoint over a socket, and against none."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from chat_stream.chat_events import ChoiceFinished, TextDelta
from chat_stream.transcript import Transcript, TranscriptBuilder
from handoff import Handoff
from log_privacy import keep_libraries_quiet

# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def transcript() -> Transcript:
    request = {"model": "m", "messages": [{"role": "user", "content": "why? 👋"}], "parameters": {}}
    builder = TranscriptBuilder(
        id="r-1", caller="web", route="/chatCompletion", request=request, started_at=datetime.now(UTC)
    )
    builder.add(TextDelta(0, "because"), 1)
    builder.add(ChoiceFinished(0, "stop"), 2)
    return builder.finish(3)


class InvokeEndpoint(HTTPServer):
    """Lambda's Invoke, as far as a hand-off needs it; `statuses` says how to answer, the last one repeats."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.invoked: list[tuple[str, str | None, bytes]] = []
        super().__init__(("127.0.0.1", 0), InvokeRequest)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class InvokeRequest(BaseHTTPRequestHandler):
    server: InvokeEndpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.invoked.append((self.path, self.headers.get("x-amz-invocation-type"), body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        return


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[InvokeEndpoint]:
    server = InvokeEndpoint(202)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    set_aws(monkeypatch, server.url)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def set_aws(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    variables = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in {
        **variables,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_LAMBDA": url,
    }.items():
        monkeypatch.setenv(name, value)


def test_the_transcript_is_the_payload_of_an_asynchronous_invoke(endpoint: InvokeEndpoint) -> None:
    handoff = Handoff("companion")
    handoff.prepare()
    handoff.prepare()
    handoff.send(transcript(), 60.0)
    handoff.send(transcript(), 60.0)
    assert len(endpoint.invoked) == 2
    path, kind, body = endpoint.invoked[0]
    assert path == "/2015-03-31/functions/companion/invocations"
    assert kind == "Event"
    assert json.loads(body)["id"] == "r-1"
    assert body.isascii()


def test_a_passing_fault_of_the_endpoint_is_tried_again(
    endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.statuses = [500, 202]
    Handoff("companion").send(transcript(), 60.0)
    assert len(endpoint.invoked) == 2
    assert "undelivered" not in caplog.text


@pytest.mark.parametrize("prepared", [True, False])
def test_a_transcript_that_cannot_be_handed_off_is_in_the_log_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, prepared: bool
) -> None:
    set_aws(monkeypatch, "http://127.0.0.1:1")
    handoff = Handoff("companion")
    if prepared:
        handoff.prepare()
    sent = transcript()
    with caplog.at_level(logging.ERROR):
        handoff.send(sent, 60.0)
    (record,) = caplog.records
    _, _, logged = record.getMessage().partition("undelivered_transcript: ")
    assert json.loads(logged) == sent.document


def test_a_client_that_cannot_be_made_loses_nothing_either(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_aws(monkeypatch, "not a url")
    handoff = Handoff("companion")
    handoff.prepare()
    handoff.send(transcript(), 60.0)
    assert '"id":"r-1"' in caplog.text


def test_without_a_companion_nothing_happens_and_nothing_complains(caplog: pytest.LogCaptureFixture) -> None:
    handoff = Handoff("")
    handoff.prepare()
    handoff.send(transcript(), 60.0)
    assert caplog.records == []
    assert vars(handoff)["_client"] is None


def test_threads_that_prepared_are_gone_after_the_hand_off(endpoint: InvokeEndpoint) -> None:
    handoff: Any = Handoff("companion")
    handoff.prepare()
    handoff.send(transcript(), 60.0)
    assert "load-boto3" not in {thread.name for thread in threading.enumerate()}


def test_a_hurried_hand_off_leaves_time_to_log_what_it_could_not_send(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_aws(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        handoff = Handoff("companion")
        handoff.prepare()
        started_at = time.monotonic()
        handoff.send(transcript(), 3.0)
        assert time.monotonic() - started_at < 2.5
    assert '"id":"r-1"' in caplog.text


def test_a_transcript_that_was_handed_off_is_not_logged_even_at_debug(
    endpoint: InvokeEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    keep_libraries_quiet()
    with caplog.at_level(logging.DEBUG):
        Handoff("companion").send(transcript(), 60.0)
    assert len(endpoint.invoked) == 1
    assert "because" not in caplog.text
