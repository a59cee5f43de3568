"""No answer of the function is streamed with an empty body, whatever is asked, in a real runtime process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from public.files import browser_file
from tests.support.project import PROJECT
from tests.support.runtime.recording_runtime_api import RecordingRuntimeApi, runtime
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event

KEY = {"x-api-key": "k"}
ETAG = browser_file("stream.js").headers["etag"]
SSE = {"accept": "text/event-stream", **KEY}
SILENT = "message=hi&model=silent"


@pytest.fixture(scope="module")
def api() -> Iterator[RecordingRuntimeApi]:
    with ReplayUpstream() as upstream:
        upstream.answer("silent", Reply([event("", role=None), event(finish="stop"), DONE]))
        upstream.answer("cut", Reply([event("", role=None)], ends="cut"))
        variables = {
            "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
            "PYTHONPATH": str(PROJECT / "shared"),
            "OPENAI_BASE_URL": upstream.url,
            "UPSTREAM_RETRIES": "0",
            "CALLER_KEYS": f"web:{hashlib.sha256(b'k').hexdigest()}",
            "PLAYGROUND": "true",
            "PRELUDE_GAP_MS": "20",
        }
        with runtime("app.handle", variables) as (api, _):
            yield api


def asked(method: str, path: str, headers: dict[str, str], query: str, *, rest_api: bool) -> dict[str, Any]:
    """The event of a function URL, or of a REST API."""
    if rest_api:
        parameters = dict(part.split("=") for part in query.split("&") if part)
        named = {"headers": headers, "queryStringParameters": parameters}
        return {"httpMethod": method, "path": path, "requestContext": {}, **named}
    event = {"version": "2.0", "rawPath": path, "rawQueryString": query, "headers": headers}
    return {**event, "requestContext": {"http": {"method": method}}}


@pytest.mark.parametrize("rest_api", [False, True], ids=["function URL", "REST API"])
@pytest.mark.parametrize(
    ("method", "path", "headers", "query", "status"),
    [
        ("GET", "/", {"if-none-match": "*"}, "", 200),
        ("GET", "/stream.js", {"if-none-match": ETAG}, "", 200),
        ("HEAD", "/stream.js", {"if-none-match": ETAG}, "", 200),
        ("HEAD", "/", {}, "", 200),
        ("HEAD", "/health", {}, "", 200),
        ("HEAD", "/v1/models", KEY, "", 405),
        ("OPTIONS", "/v1/chat/completions", {}, "", 405),
        ("GET", "/nowhere", {}, "", 404),
        ("GET", "/v1/models", KEY, "", 200),
        ("GET", "/v1/models/none", KEY, "", 404),
        ("GET", "/v1/usage", KEY, "", 200),
        ("GET", "/api/chat/1/stream", KEY, "", 200),
        ("GET", "/chatCompletion", {}, SILENT, 401),
        ("GET", "/chatCompletion", KEY, "", 400),
        ("GET", "/chatCompletion", {"last-event-id": "r-1", **SSE}, SILENT, 410),
        ("GET", "/chatCompletion", KEY, SILENT, 200),
        ("GET", "/chatCompletion", SSE, SILENT, 200),
        ("GET", "/chatCompletion", KEY, "message=hi&model=cut", 200),
        ("GET", "/chatCompletion", SSE, "message=hi&model=cut", 200),
    ],
)
def test_every_answer_has_a_body_and_a_status_that_allows_one(
    api: RecordingRuntimeApi,
    method: str,
    path: str,
    headers: dict[str, str],
    query: str,
    status: int,
    rest_api: bool,
) -> None:
    answer = api.invoke(asked(method, path, headers, query, rest_api=rest_api))
    assert answer.path.endswith("/response")
    assert answer.prelude["statusCode"] == status
    assert b"".join(answer.pieces)
    assert answer.ended
