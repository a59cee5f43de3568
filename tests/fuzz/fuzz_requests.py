"""Fuzz inputs as HTTP requests: any bytes are some request, and those that look like one are that one.

    flags · METHOD target · newline · header lines · empty line · body

The first byte holds the flags, so a seed can be read and edited as text from there on.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl

# Of the first byte, whose value is meant for a letter: "@" is none of them.
KEYS = 1  # AUTH_MODE=keys; else none
REST_API = 2  # payload format 1.0; else 2.0
BASE64 = 4  # the body comes in base64
GARBLED = 8  # it is said to be base64 and is not
PLAIN = 0x40

CALLER_KEY = "a-key-of-the-callers"


def seed(request: str, flags: int = 0) -> bytes:
    """The input that is this request."""
    return bytes([PLAIN | flags]) + request.encode("utf-8", "surrogateescape")


def event_of(data: bytes) -> tuple[int, dict[str, Any]]:
    """The flags, and the event of a function URL or a REST API that Lambda would make of the request.

    Bytes that are no UTF-8 become lone surrogates, which JSON can spell as well.
    """
    flags = data[0] if data else 0
    head, _, body = data[1:].partition(b"\n\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    method, _, target = first.partition(" ")
    path, _, query = target.partition("?")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    event: dict[str, Any] = {
        "headers": headers,
        "body": _spelled(body, flags),
        "isBase64Encoded": bool(flags & (BASE64 | GARBLED)),
    }
    if flags & REST_API:
        parameters = dict(parse_qsl(query, errors="surrogateescape"))
        event |= {"httpMethod": method, "path": path, "queryStringParameters": parameters or None}
    else:
        event |= {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "requestContext": {"http": {"method": method, "path": path}},
        }
    return flags, event


def _spelled(body: bytes, flags: int) -> str | None:
    if flags & BASE64:
        return base64.b64encode(body).decode("ascii")
    return body.decode("utf-8", "surrogateescape") if body else None
