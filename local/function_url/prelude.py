"""Parse the prelude with which an HTTP answer begins on the Runtime API (pure)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

DELIMITER = bytes(8)
MAX_PRELUDE_BYTES = 8 * 1024  # a function URL's limit for all response headers is about this

HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110's token


class InvalidPreludeError(ValueError):
    """The bytes before the delimiter are not a prelude; the message says why."""


@dataclass(frozen=True, slots=True)
class Prelude:
    """Status, headers and cookies of a streamed answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[str, ...]


def split_prelude(data: bytes) -> tuple[Prelude, bytes] | None:
    """The prelude at the beginning of an answer and the body bytes after it; None if more is needed.

    Raises InvalidPreludeError.
    """
    prelude, delimiter, body = data.partition(DELIMITER)
    if len(prelude) > MAX_PRELUDE_BYTES + (0 if delimiter else len(DELIMITER) - 1):
        raise InvalidPreludeError(f"no delimiter within {MAX_PRELUDE_BYTES} bytes")
    return (parse_prelude(prelude), body) if delimiter else None


def parse_prelude(data: bytes) -> Prelude:
    """Read `{"statusCode", "headers", "cookies"}`, each optional. Raises InvalidPreludeError."""
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidPreludeError("not JSON") from error
    if not isinstance(document, dict):
        raise InvalidPreludeError("not a JSON object")
    return prelude_from(document)


def prelude_from(document: dict[str, object]) -> Prelude:
    """The prelude of a decoded answer object. Raises InvalidPreludeError, which names the field."""
    status, headers = document.get("statusCode", 200), document.get("headers") or {}
    cookies = document.get("cookies") or []
    # 1xx is not a final status, which HTTP requires of an answer.
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidPreludeError("statusCode is not an int from 200 to 599")
    if not isinstance(headers, dict):
        raise InvalidPreludeError("headers is not an object")
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise InvalidPreludeError("cookies is not a list of strings")
    pairs = tuple((name, _header_value(name, value)) for name, value in headers.items())
    return Prelude(status, pairs, tuple(_header_value("set-cookie", cookie) for cookie in cookies))


def _header_value(name: str, value: object) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise InvalidPreludeError(f"{name!r} is not a header name")
    text = json.dumps(value) if isinstance(value, bool | int | float) else value
    if not isinstance(text, str) or any(character in text for character in "\r\n\0"):
        raise InvalidPreludeError(f"the value of {name} is not a string on one line")
    return text.strip()
