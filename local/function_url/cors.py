"""CORS as the function URL handles it, by the `Cors` of template.yaml; the function takes no part in it.

The rules follow the headers of real function URLs, printed at
https://dev.to/rimutaka/aws-lambda-function-url-with-cors-explained-by-example-14df. A preflight gets an empty
200 with the whole configuration, whatever it asks for, and the browser decides. Every other request goes to
the function, and the URL adds its headers to those of the answer: if the function sets them too, they appear
twice. If every origin is allowed, the answer still names the one that asked
(https://github.com/aws-powertools/powertools-lambda-python/issues/4163). An origin that is not allowed gets
the same answers without these headers; in the local stack page_guard.py refuses it earlier.
"""

from __future__ import annotations

import re
import uuid
from email.utils import formatdate
from functools import cache

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.template import properties_of, value_of

# As browsers write it (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin): compared as text.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@,*A-Z]+")
FROM_THIS_MACHINE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")

WireHeaders = list[tuple[bytes, bytes]]


def with_cors(app: ASGIApp, allowed_origins: tuple[str, ...]) -> ASGIApp:
    """`app`, which answers every request but preflights, with CORS.

    The pages of `allowed_origins`, or all with `*`, may read the answers. If there are none: the pages that
    this machine serves, because callers need no key here.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope)
        origin = ", ".join(asked.getlist("origin"))
        is_allowed = allows(allowed_origins, origin)
        # An OPTIONS request without Origin is not a preflight: it is the function's to answer.
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in asked:
            await _answer_preflight(send, _preflight_headers(origin) if is_allowed else [])
            return

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = _answer_headers(origin) if is_allowed else []
                message = {**message, "headers": [*message["headers"], (b"vary", b"Origin"), *own]}
            await send(message)

        await app(scope, receive, send_with_cors)

    return serve


def allows(allowed_origins: tuple[str, ...], origin: str) -> bool:
    """Whether pages of this origin may ask; `allowed_origins` as in `with_cors`."""
    if not origin:
        return False
    if not allowed_origins:
        return FROM_THIS_MACHINE.fullmatch(origin) is not None
    return "*" in allowed_origins or origin in allowed_origins


def _answer_headers(origin: str) -> WireHeaders:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _configured("ExposeHeaders")),
    ]


def _preflight_headers(origin: str) -> WireHeaders:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-headers", _configured("AllowHeaders")),
        (b"access-control-allow-methods", _configured("AllowMethods")),
        (b"access-control-max-age", _configured("MaxAge")),
    ]


@cache
def _configured(name: str) -> bytes:
    """A property of the `Cors` in template.yaml, as the value of a header."""
    value = value_of(properties_of("StreamChatFunction")["FunctionUrlConfig"]["Cors"][name])
    return (",".join(value) if isinstance(value, list) else str(value)).encode()


async def _answer_preflight(send: Send, headers: WireHeaders) -> None:
    always = [
        (b"content-type", b"application/json"),
        (b"content-length", b"0"),
        (b"date", formatdate(usegmt=True).encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
        (b"vary", b"Origin"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": [*always, *headers]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
