"""Request bodies of Lambda's maximum size in costly shapes: each is answered in linear time."""

from __future__ import annotations

import base64
import gc
import time
from collections.abc import Callable

import pytest

from errors import RequestError
from public.routes import OpenRoute
from request.http_request import HttpRequest
from routing import find_route
from settings import Settings

FULL_BYTES = 6 * 1024 * 1024
QUARTER_BYTES = FULL_BYTES // 4
SETTINGS = Settings(
    allowed_models=("openai/*/gpt-*-mini", "m"),
    default_model="m",
    forbidden_fields=("web_*_options", "*store*"),
    max_output_tokens=100,
)

Shape = Callable[[int], bytes]


def filled(head: bytes, unit: bytes, tail: bytes, size: int) -> bytes:
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def shape(head: bytes, unit: bytes, tail: bytes) -> Shape:
    return lambda size: filled(head, unit, tail, size)


CHAT = b'"messages": [{"role": "user", "content": "hi"}]'
SHAPES: dict[str, Shape] = {
    "opening brackets": shape(b"", b"[", b""),
    "opening objects": shape(b"", b'{"a":', b""),
    "digits": shape(b'{"seed": ', b"9", b"}"),
    "digits behind a point": shape(b'{"seed": 0.', b"9", b"}"),
    "exponents": shape(b"[", b"1e1,", b"1]"),
    "one text": shape(b'{"messages": [{"role": "user", "content": "', b"x", b'"}]}'),
    "escapes": shape(b'{"messages": [{"role": "user", "content": "', b"\\ud83d", b'"}]}'),
    "many messages": shape(b'{"messages": [', b'{"role": "user"},', b'{"role": "user"}]}'),
    "one field over and over": shape(b"{" + CHAT, b',"a":1', b"}"),
    "a model that nearly fits": shape(b"{" + CHAT + b', "model": "openai/', b"/gpt-", b'"}'),
    "a field that is nearly forbidden": shape(b"{" + CHAT + b', "web_', b"_option", b'": 1}'),
    "models": shape(b"{" + CHAT + b', "models": [', b'"m",', b'"m"]}'),
    "tools": shape(b"{" + CHAT + b', "tools": [', b'{"a": {}},', b"{}]}"),
    "white space": shape(b"{", b" ", CHAT + b"}"),
    "NUL": shape(b"", b"\0", b""),
    "no UTF-8": shape(b"", b"\xff", b""),
    "nothing that is base64": shape(b"", b"=", b""),
}


def answered_in_s(path: str, body: bytes, *, encoded: bool) -> float:
    """The time from the event to the request for the upstream, or to its refusal."""
    text = body.decode("latin-1") if not encoded else base64.b64encode(body).decode()
    event = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"http": {"method": "POST"}},
        "body": text,
        "isBase64Encoded": encoded or body[:1] == b"=",
    }
    gc.collect()
    begun = time.process_time()
    try:
        http = HttpRequest.from_event(event, FULL_BYTES)
        parse = find_route(http, SETTINGS)
        assert not isinstance(parse, OpenRoute)
        parse(http, SETTINGS)
    except RequestError as error:
        assert 400 <= error.status < 500
    return time.process_time() - begun


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/chat/completions", name) for name in SHAPES]
    + [("/api/chat", name) for name in ("one text", "many messages", "tools")],
)
def test_largest_body_is_answered_in_linear_time(name: str, path: str) -> None:
    made = SHAPES[name]
    for _ in range(5):  # on a busy machine one measurement may be slow, but not all five
        full_s = answered_in_s(path, made(FULL_BYTES), encoded=True)
        if full_s < 0.25:
            return
        quarter_s = answered_in_s(path, made(QUARTER_BYTES), encoded=True)
        if full_s < 8 * quarter_s:
            return
    pytest.fail(f"a quarter takes {quarter_s:.3f} s, the whole {full_s:.3f} s")


def test_body_marked_as_base64_that_is_not_is_refused() -> None:
    assert answered_in_s("/v1/responses", SHAPES["nothing that is base64"](FULL_BYTES), encoded=False) < 5
