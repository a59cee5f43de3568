"""Answers that are sent in one piece: their headers, and how an error becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from errors import RelayError
from lambda_stream import ResponseStream

REQUEST_ID_HEADER = "x-relay-request-id"

# A browser that opens an answer must not run or load anything in it: the text is a model's or an upstream's.
NEVER_A_PAGE: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "x-content-type-options": "nosniff",  # a browser that sniffs also holds back the first 512 bytes
}

JSON_HEADERS: Mapping[str, str] = {
    **NEVER_A_PAGE,
    "content-type": "application/json",
    "cache-control": "no-store",
}


class Answer(NamedTuple):
    """A whole answer. (A dataclass would cost each cold start a millisecond.)"""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def send(self, stream: ResponseStream, request_id: str) -> None:
        """Start the stream and write the body. Raises CallerGoneError."""
        stream.start(self.status, {**self.headers, REQUEST_ID_HEADER: request_id})
        stream.write(self.body)


def json_answer(document: Mapping[str, object]) -> Answer:
    """A JSON document with status 200."""
    return Answer(200, JSON_HEADERS, json.dumps(document, separators=(",", ":")).encode("ascii"))


def error_answer(error: RelayError, headers: Mapping[str, str] | None = None) -> Answer:
    """The error's own status and OpenAI's error object: for every error before the first byte.

    The error's own headers take precedence over `headers`.
    """
    return Answer(error.status, {**JSON_HEADERS, **(headers or {}), **error.headers}, error.document())
