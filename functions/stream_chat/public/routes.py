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

    found = browser_file(_FILES[http.path])
    # RFC 9110, section 13.1.2: whether the browser has this version, by weak comparison.
    known = {tag.strip().removeprefix("W/") for tag in http.headers.get("if-none-match", "").split(",")}
    is_known = not known.isdisjoint({found.headers["etag"], "*"})
    return found._replace(status=304, body=b"") if is_known else found


# By path; each takes GET and HEAD.
OPEN_ROUTES: Mapping[str, OpenRoute] = {
    "/health": OpenRoute(_health),
    **dict.fromkeys(_FILES, OpenRoute(_file)),
}
