"""Routes that need no caller key and no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from answers import JSON_HEADERS, Answer
from product import VERSION
from request.http_request import HttpRequest

PLAYGROUND = "/"

_FILES: Mapping[str, str] = {
    PLAYGROUND: "playground.html",
    "/stream.js": "stream.js",
    "/stream.d.ts": "stream.d.ts",
    "/stream-hooks.js": "stream-hooks.js",
    "/stream-hooks.d.ts": "stream-hooks.d.ts",
}


class OpenRoute(NamedTuple):
    """A route without authentication."""

    answer: Callable[[HttpRequest], Answer]


def _health(http: HttpRequest) -> Answer:
    return Answer(200, JSON_HEADERS, f'{{"status":"ok","version":"{VERSION}"}}'.encode("ascii"))


def _file(http: HttpRequest) -> Answer:
    from public.files import browser_file  # no answer's first byte waits for it

    return browser_file(_FILES[http.path], http.query.get("v", ""))


# By path; each takes GET and HEAD.
OPEN_ROUTES: Mapping[str, OpenRoute] = {
    "/health": OpenRoute(_health),
    **dict.fromkeys(_FILES, OpenRoute(_file)),
}
