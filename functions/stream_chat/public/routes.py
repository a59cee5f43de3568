"""What everybody is answered, whoever he is, and no model is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rendering.renderer import JSON_HEADERS, NEVER_A_PAGE
from request.http_request import HttpRequest

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
    from public.files import browser_file  # no answer's first byte waits for it

    found = browser_file(http.path)
    # RFC 9110, section 13.1.2: whether the browser has this very version, compared weakly.
    known = {tag.strip().removeprefix("W/") for tag in http.headers.get("if-none-match", "").split(",")}
    is_known = not known.isdisjoint({found.headers["etag"], "*"})
    return found._replace(status=304, body=b"") if is_known else found


# By path; each takes GET and HEAD.
OPEN_ROUTES: Mapping[str, OpenRoute] = {
    "/health": OpenRoute(_health),
    PLAYGROUND: OpenRoute(_file),
    "/stream.js": OpenRoute(_file),
    "/stream.d.ts": OpenRoute(_file),
    "/stream-hooks.js": OpenRoute(_file),
    "/stream-hooks.d.ts": OpenRoute(_file),
}
