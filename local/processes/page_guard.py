"""Keep web pages away from every port that the stack listens on.

Any page that a user opens can send requests to this machine. It cannot read the answers of another origin,
but a simple POST, a form, the GET of an image, or a name that resolves to 127.0.0.1 (DNS rebinding) would
still be served. Programs (curl, AWS's SDKs and CLI, DuckDB) send none of the headers checked here, except
Host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication
    from starlette.types import ASGIApp, Receive, Scope, Send

Admits = Callable[[str], bool]  # whether pages of this origin may ask

# Any port is accepted: tunnels, published container ports and development servers pass on the port that they
# were asked at. A page cannot choose the Host of its requests, so the name alone reveals a rebound one.
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.IGNORECASE)

# Headers that browsers add and pages cannot remove; one of them is enough. Browsers send Fetch Metadata with
# every request to a loopback address (https://www.w3.org/TR/fetch-metadata/) and an Origin with each that is
# not a plain GET; older ones that send neither still send "Mozilla/5.0".
BROWSER_HEADERS = ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "referer")
BROWSER_AGENT = "Mozilla/"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP status, and one sentence that says why."""

    status: int
    message: str


def refusal(
    method: str, path: str, headers: Iterable[tuple[str, str]], admits: Admits | None = None
) -> Refusal | None:
    """Why this request is not served; None if it is.

    Args:
        method: the request's method, as received.
        path: without the query.
        headers: names in any case; a repeated header counts as one with all its values.
        admits: the origins whose pages may ask; the server's own pages always may. None: no browser may ask,
            not even from its address bar, since a redirect may have led it there.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    host = found.get("host", "")
    if not OWN_HOST.fullmatch(host):
        return Refusal(400, "Host must be 127.0.0.1 or localhost: the local stack has no other name.")
    if admits is None:
        return _browser_refusal(found)
    origin = found.get("origin")
    if origin is not None:
        if admits(origin) or origin == f"http://{host.lower()}":
            return None
        return Refusal(403, "Pages of this Origin may not ask: ALLOWED_ORIGINS does not list it.")
    if found.get("sec-fetch-site", "none") in ("none", "same-origin") or _opens_the_root(method, path, found):
        return None
    return Refusal(403, "Sec-Fetch-Site shows a page of another origin, and there is no Origin.")


def _browser_refusal(found: dict[str, str]) -> Refusal | None:
    marks = [name for name in BROWSER_HEADERS if name in found]
    if found.get("user-agent", "").startswith(BROWSER_AGENT):
        marks.append("user-agent")
    if marks:
        return Refusal(403, f"This port is for programs only, but the {marks[0]} header shows a browser.")
    return None


def _opens_the_root(method: str, path: str, found: dict[str, str]) -> bool:
    """Whether a link on another page opens the playground, in a tab and not in a frame."""
    return (method, path, found.get("sec-fetch-dest")) == ("GET", "/", "document")


def guarded_asgi(app: ASGIApp, admits: Admits | None = None) -> ASGIApp:
    """`app` for the HTTP requests that `refusal` allows."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        refused = refusal(scope["method"], scope["path"], headers, admits)
        if refused is None:
            await app(scope, receive, send)
            return
        body = refused.message.encode()
        plain = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": refused.status, "headers": plain})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return serve


def guarded_wsgi(app: WSGIApplication) -> WSGIApplication:
    """`app` for the requests of programs only, without the CORS headers that it adds to its answers."""

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start_without_cors(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            kept = [pair for pair in headers if not pair[0].lower().startswith("access-control-")]
            return start_response(status, kept, *failure)

        asked = (
            (name.removeprefix("HTTP_").replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        )
        refused = refusal(environ["REQUEST_METHOD"], environ["PATH_INFO"], asked)
        if refused is None:
            return app(environ, start_without_cors)
        body = refused.message.encode()
        plain = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response(f"{refused.status} {HTTPStatus(refused.status).phrase}", plain)
        return [body]

    return serve
