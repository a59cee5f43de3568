"""What everybody is answered, whoever he is, and no model is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from http_request import HttpRequest
from renderer import JSON_HEADERS, NEVER_A_PAGE

PLAYGROUND = "/"


class OpenAnswer(NamedTuple):
    """A whole answer. (A dataclass would cost each cold start a millisecond.)"""

    status: int
    headers: Mapping[str, str]
    body: bytes


# A 204 has no body, and so no type of one.
NO_CONTENT = OpenAnswer(204, {**NEVER_A_PAGE, "cache-control": "no-store"}, b"")


class OpenRoute(NamedTuple):
    """A route of this kind."""

    answer: Callable[[HttpRequest], OpenAnswer]


def _health(http: HttpRequest) -> OpenAnswer:
    return OpenAnswer(200, JSON_HEADERS, b'{"status":"ok"}')


def _file(http: HttpRequest) -> OpenAnswer:
    from browser_files import browser_file  # no answer's first byte waits for it

    found = browser_file(http.path)
    if found.is_known(http.headers.get("if-none-match", "")):
        return OpenAnswer(304, found.headers, b"")
    return OpenAnswer(200, found.headers, found.body)


# By path; each takes GET and HEAD.
OPEN_ROUTES: Mapping[str, OpenRoute] = {
    "/health": OpenRoute(_health),
    PLAYGROUND: OpenRoute(_file),
    "/stream.js": OpenRoute(_file),
    "/stream-hooks.js": OpenRoute(_file),
}
