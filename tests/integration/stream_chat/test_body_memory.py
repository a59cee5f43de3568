"""The peak memory of a real runtime process that serves the largest bodies with a hand-off."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator

import pytest

from errors import RequestError
from local.template import load_template
from public.routes import OpenRoute
from request.http_request import HttpRequest
from request.json_size import MAX_JSON_SIZE
from routing import find_route
from settings import Settings
from tests.support.network.loopback_server import LoopbackServer, QuietRequest
from tests.support.process_costs import peak_memory_mb
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import CREDENTIALS
from tests.support.runtime.recording_runtime_api import runtime
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")

FULL_BYTES = 6 * 1024 * 1024
# The smallest memory that a deployment can choose must also have room for what is not ours.
MEMORY_MB = load_template()["Parameters"]["FunctionMemoryMb"]["MinValue"] - 26
NORMAL_MB = 200
WIDE = "\U0001f600"  # with one of these in a text, each of its characters takes four bytes
HEALTH = {"version": "2.0", "rawPath": "/health", "requestContext": {"http": {"method": "GET"}}}


class Aws(QuietRequest):
    """Accepts whatever is stored, invoked or sent."""

    def _take(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(202 if self.command == "POST" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        self._take()

    def do_PUT(self) -> None:  # noqa: N802 - the same
        self._take()


@pytest.fixture  # a new one for each test, as the upstream records its requests
def environment() -> Iterator[dict[str, str]]:
    with ReplayUpstream() as upstream, LoopbackServer(Aws) as aws:
        upstream.answer("gpt-6-luna", Reply(answer("hi")))
        yield {
            **CREDENTIALS,
            "OPENAI_BASE_URL": upstream.url,
            "OPENAI_API_KEY": "sk-test",
            "AUTH_MODE": "none",
            "TRANSCRIPT_FUNCTION_NAME": "companion",
            "TRANSCRIPT_BUCKET": "transcripts",
            "TRANSCRIPT_DEAD_LETTER_QUEUE_URL": f"{aws.url}/123456789012/undelivered",
            "AWS_ENDPOINT_URL": aws.url,
            "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
        }


def padded(route: str, more: str, character: str = "x") -> bytes:
    """A 6 MiB request for this route: one text of these characters, and `more`."""
    ends = ('"content":"', '"') if route != "/api/chat" else ('"parts":[{"type":"text","text":"', '"}]')
    head, tail = f'{{"messages":[{{"role":"user",{ends[0]}{WIDE}', f"{ends[1]}}}]{more}}}"
    room = FULL_BYTES - len((head + tail).encode())
    return (head + character * (room // len(character.encode())) + tail).encode()


def many(unit: str, marks: int, name: str = "tools") -> str:
    """A field with as many small values as the limit for the whole request allows."""
    return f',"{name}":[' + unit * ((MAX_JSON_SIZE - 30) // marks) + "0]"


def names(count: int) -> str:
    return ',"metadata":{' + ",".join(f'"{number:x}":{{}}' for number in range(count)) + "}"


def event(route: str, body: bytes, *, encoded: bool) -> bytes:
    text = base64.b64encode(body).decode() if encoded else body.decode()
    http = {"version": "2.0", "rawPath": route, "requestContext": {"http": {"method": "POST"}}}
    return json.dumps({**http, "body": text, "isBase64Encoded": encoded}, ensure_ascii=False).encode()


def peak_of(
    environment: dict[str, str], body: bytes, route: str, *, encoded: bool, status: int = 200
) -> float:
    """The peak memory in MB of a process that has served this request twice."""
    with runtime("app.handle", environment) as (api, process):
        for _ in range(2):
            answered = api.invoke(event(route, body, encoded=encoded))
            assert answered.prelude["statusCode"] == status
            api.invoke(HEALTH)  # the hand-off is over then
        return peak_memory_mb(process.pid)


@pytest.mark.parametrize(
    ("character", "route"),
    [("x", "/v1/chat/completions"), (WIDE, "/v1/chat/completions"), ("é", "/api/chat")],
    ids=["latin", "emoji", "accents in a UI message"],
)
def test_the_largest_text_stays_under_200_mb(environment: dict[str, str], character: str, route: str) -> None:
    body = padded(route, "", character)
    assert peak_of(environment, body, route, encoded=False) < NORMAL_MB


@pytest.mark.parametrize(
    ("more", "encoded"),
    [
        (many('{"a":{}},', 4), True),
        (many('{"a":0},', 3), False),
        (many('"é1",', 1), True),
        (names(MAX_JSON_SIZE // 3 - 10), True),
    ],
    ids=["nested objects", "fields, text", "texts", "names"],
)
def test_the_largest_accepted_number_of_values_fits_the_smallest_memory(
    environment: dict[str, str], more: str, encoded: bool
) -> None:
    body = padded("/v1/chat/completions", more)
    assert peak_of(environment, body, "/v1/chat/completions", encoded=encoded) < MEMORY_MB


@pytest.mark.parametrize("unit", [b"0,", b'{"type":"text","text":"abc"},'])
def test_too_many_values_are_refused_before_they_are_parsed(environment: dict[str, str], unit: bytes) -> None:
    body = b'{"messages":[' + unit * (FULL_BYTES // len(unit) - 10) + b"0]}"
    route = "/v1/chat/completions"
    assert peak_of(environment, body, route, encoded=True, status=400) < 100


def parse(body: bytes) -> RequestError | None:
    http = HttpRequest("POST", "/v1/chat/completions", {}, {}, body)
    route = find_route(http, Settings())
    assert not isinstance(route, OpenRoute)
    try:
        route(http, Settings())
    except RequestError as error:
        return error
    return None


def test_the_error_names_the_limit() -> None:
    error = parse(b'{"messages":[{"role":"user","content":"hi"}],"tools":[' + b"0," * MAX_JSON_SIZE + b"0]}")
    assert error is not None
    assert (error.status, error.code) == (400, "too_many_values")
    assert str(MAX_JSON_SIZE) in error.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"])
def test_no_text_and_no_encoding_hides_values(encoding: str) -> None:
    for text in ("\u2200", "\u2c22", "\\\\", '\\"', "\\u0022"):
        body = f'{{"messages":[{{"role":"user","content":"{text}"}}],"tools":[{"{}," * MAX_JSON_SIZE}0]}}'
        error = parse(body.encode(encoding))
        assert error is not None
        assert error.code == "too_many_values"


def test_the_content_of_strings_is_not_counted() -> None:
    for text in (",[{:" * 200_000, '\\",[\\\\' * 200_000, "\\u002c," * 200_000):
        body = f'{{"messages":[{{"role":"user","content":"{text}"}}],"metadata":{{"{text}":"{text}"}}}}'
        assert parse(body.encode()) is None
