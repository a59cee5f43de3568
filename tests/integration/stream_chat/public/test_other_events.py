"""Invocations that are not HTTP requests get a JSON document and no error, in a real runtime process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from product import VERSION
from tests.support.other_events import OTHER_EVENTS, SECRET
from tests.support.project import PROJECT
from tests.support.runtime.recording_runtime_api import RecordingRuntimeApi, runtime

# Nothing listens at the upstream: asking it would be an error and be reported.
ENVIRON = {
    "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
    "PYTHONPATH": str(PROJECT / "shared"),
    "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    "OPENAI_API_KEY": "sk-test",
}


@pytest.fixture(scope="module")
def api() -> Iterator[RecordingRuntimeApi]:
    with runtime("app.handle", ENVIRON) as (api, _):
        yield api


@pytest.mark.parametrize(("kind", "event"), OTHER_EVENTS)
def test_each_event_is_answered_with_one_json_document_that_a_load_balancer_accepts(
    api: RecordingRuntimeApi, kind: str, event: Any
) -> None:
    recorded = api.invoke(event)
    assert recorded.path.endswith("/response")
    assert "lambda-runtime-function-response-mode" not in recorded.headers
    document = json.loads(recorded.body)
    assert (document["statusCode"], document["isBase64Encoded"]) == (200, False)
    # A load balancer whose target group has multi-value headers sends and accepts only those.
    if isinstance(event, dict) and "multiValueHeaders" in event:
        assert document["multiValueHeaders"]["content-type"] == ["application/json"]
        assert "headers" not in document
    else:
        assert document["headers"]["content-type"] == "application/json"
    assert json.loads(document["body"]) == {"status": "ok", "event": kind}
    assert SECRET not in recorded.body.decode()


def test_the_log_has_one_line_for_each_event_that_shows_only_its_kind() -> None:
    with runtime("app.handle", ENVIRON) as (api, process):
        for _, event in OTHER_EVENTS:
            api.invoke(event)
        log = process.log
    lines = log.splitlines()
    assert len(lines) == len(OTHER_EVENTS)
    for line, (kind, _) in zip(lines, OTHER_EVENTS, strict=True):
        assert "[INFO]" in line
        assert f"not an HTTP request: {kind}" in line
    assert SECRET not in log
    assert api.requests("/error") == []


def test_at_error_such_a_line_is_not_logged() -> None:
    with runtime("app.handle", {**ENVIRON, "LOG_LEVEL": "ERROR"}) as (api, process):
        api.invoke(OTHER_EVENTS[0][1])
        assert process.log == ""


def test_an_http_request_between_them_is_streamed(api: RecordingRuntimeApi) -> None:
    event = {"version": "2.0", "rawPath": "/health", "requestContext": {"http": {"method": "GET"}}}
    recorded = api.invoke(event)
    assert recorded.prelude["statusCode"] == 200
    assert b"".join(recorded.pieces) == f'{{"status":"ok","version":"{VERSION}"}}'.encode()
