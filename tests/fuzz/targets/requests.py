"""Fuzz inputs as HTTP requests: any bytes are a request, and readable ones are the request that they show.

    flags · METHOD target · newline · header lines · empty line · body

The first byte holds the flags; the rest of a seed can be read and edited as text.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl

# Flags in the first byte. PLAIN makes it a printable character: "@" is a byte without flags.
KEYS = 1  # AUTH_MODE=keys, else none
REST_API = 2  # payload format 1.0, else 2.0
BASE64 = 4  # the body is encoded in base64
GARBLED = 8  # the body is marked as base64 but is not
PLAIN = 0x40

CALLER_KEY = "a-key-of-the-callers"


def seed(request: str, flags: int = 0) -> bytes:
    """The input for a request."""
    return bytes([PLAIN | flags]) + request.encode("utf-8", "surrogateescape")


def event_of(data: bytes) -> tuple[int, dict[str, Any]]:
    """The flags, and the event that a function URL or a REST API would create for the request.

    Invalid UTF-8 becomes lone surrogates, which JSON can contain as well.
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
