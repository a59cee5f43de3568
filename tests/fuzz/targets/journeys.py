"""The journey of a request as fuzz targets: any event, any request, and any answer of the upstream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import httpx

from tests.fuzz.fuzz_timing import Seen
from tests.fuzz.in_process_function import UPSTREAM_KEY, Answer, InProcessFunction, Pieces
from tests.fuzz.targets.reads import even_reads
from tests.fuzz.targets.requests import CALLER_KEY, KEYS, event_of
from tests.fuzz.targets.upstream import checked_request, no_models, small_answer
from tests.fuzz.transcript_checks import check_storable

MAX_BODY_BYTES = 4096  # small, so that inputs exceed it

_HEADER_NAME = re.compile(r"[a-z0-9-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@cache
def functions() -> Mapping[int, InProcessFunction]:
    """The function in two environments: AUTH_MODE=keys, and AUTH_MODE=none with most limits set."""
    return {
        KEYS: InProcessFunction(
            small_answer,
            AUTH_MODE="keys",
            CALLER_KEYS=f"web:{sha256(CALLER_KEY.encode()).hexdigest()}",
            MAX_BODY_BYTES=str(MAX_BODY_BYTES),
        ),
        0: InProcessFunction(
            small_answer,
            AUTH_MODE="none",
            PLAYGROUND="true",
            MAX_BODY_BYTES=str(MAX_BODY_BYTES),
            ALLOWED_MODELS="gpt-6-luna,gpt-*-*-luna,m",
            DEFAULT_MODEL="gpt-6-luna",
            FORBIDDEN_FIELDS="logit_bias,x_*",
            ALLOWED_FIELDS="models,*fallbacks,plugins,tools.*",
            MAX_MESSAGES="16",
            MAX_OUTPUT_TOKENS="1000",
        ),
    }


def answer_event(data: bytes) -> Seen:
    """Any JSON value as a Lambda event; bytes that are not JSON become the body of one."""
    try:
        event = json.loads(data)
    except RecursionError:
        return Seen("no event")  # the runtime rejects it before the handler
    except ValueError:
        text = data.decode("utf-8", "surrogateescape")
        event = {"httpMethod": "POST", "path": "/chatCompletion", "body": text}
    return _checked(functions()[len(data) & KEYS].answer(event))


def answer_request(data: bytes) -> Seen:
    """Any route, method, query, headers and body, encoded as in fuzz_requests."""
    flags, event = event_of(data)
    return _checked(functions()[flags & KEYS].answer(event))


def _checked(answer: Answer) -> Seen:
    check_answer(answer)
    if answer.transcript is not None:
        check_storable(answer.transcript)
    return Seen("health" if answer.status == 200 and answer.transcript is None else str(answer.status))


def check_answer(answer: Answer, *, are_upstreams_words: bool = False) -> None:
    """Assert what holds for the answer to every request, however invalid.

    Args:
        are_upstreams_words: whether the error may be the upstream's, whose error document is passed through.
    """
    highest_status = 504 if are_upstreams_words else 499
    assert 200 <= answer.status <= highest_status, f"status {answer.status}: {answer.body[:500]!r}"
    for name, value in answer.headers.items():
        assert _HEADER_NAME.fullmatch(name), f"header {name!r}"
        assert _HEADER_VALUE.fullmatch(value), f"header {name}: {value!r}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not answer.errors, answer.errors
    assert answer.status not in (204, 304), "a streamed answer with an empty body can hang on Lambda"
    if answer.status != 200:
        assert answer.headers["content-type"] == "application/json"
        assert answer.error
        if not are_upstreams_words:
            _check_error(answer.error)
    assert UPSTREAM_KEY.encode() not in answer.body, "the relay's key leaked"
    assert not any(UPSTREAM_KEY in line for line in answer.log), "the relay's key was logged"


def _check_error(error: Any) -> None:
    assert error.keys() >= {"message", "type", "param", "code"}, error
    assert isinstance(error["message"], str), error
    assert error["message"], error


# -- any answer of the upstream ----------------------------------------------------------------------------

_STATUSES = (200, 200, 200, 200, 200, 200, 400, 401, 404, 408, 429, 500, 503, 301, 204, 299)
_TYPES = ("text/event-stream", "application/json", "", "text/html; charset=utf-8")
_ASKED = (
    ("/v1/chat/completions", '{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'),
    ("/v1/chat/completions", '{"model":"m","messages":[{"role":"user","content":"Hi"}],"n":2}'),
    ("/v1/responses", '{"model":"m","stream":true,"input":"Hi"}'),
    ("/v1/responses", '{"model":"m","input":"Hi"}'),
    ("/chatCompletion", '{"model":"m","messages":[{"role":"user","content":"Hi"}]}'),
    (
        "/api/chat",
        '{"model":"m","messages":[{"role":"user","parts":[{"type":"text","text":"Hi"}],"id":"1"}]}',
    ),
)


class _Upstream:
    """Answers with the given status, headers and body."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: Sequence[bytes] = ()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return no_models()
        checked_request(request)
        return httpx.Response(self.status, headers=self.headers, stream=Pieces(*self.pieces))


@cache
def _function_and_upstream() -> tuple[InProcessFunction, _Upstream]:
    upstream = _Upstream()
    return InProcessFunction(upstream, AUTH_MODE="none"), upstream


def relay_upstream(data: bytes) -> Seen:
    """Any answer of the upstream: three bytes select format, status, headers and reads; then the body."""
    choice, head, body = data[:1], data[1:3], data[3:]
    number, first, second = (int.from_bytes(part, "big") for part in (choice, head[:1], head[1:]))
    function, upstream = _function_and_upstream()
    upstream.status = _STATUSES[first % 16]
    retry_after = body[:12].translate(None, b"\r\n\0") if second & 64 else b"0"
    upstream.headers = [
        (b"content-type", _TYPES[first >> 4 & 3].encode()),
        (b"retry-after", retry_after),
        (b"x-request-id", retry_after),
    ]
    upstream.pieces = even_reads(body, (second & 63) ** 2)
    path, asked = _ASKED[number % len(_ASKED)]
    event = {"httpMethod": "POST", "path": path, "body": asked}
    answer = function.answer(event)
    check_answer(answer, are_upstreams_words=True)
    assert answer.transcript is not None
    check_storable(answer.transcript)
    return Seen(str(answer.status))
