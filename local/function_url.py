"""The function URL: an HTTP request becomes an invocation, its answer goes out chunk by chunk."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from local.function_url_event import UrlRequest, function_url_event
from local.invocation import MAX_PAYLOAD_BYTES, Invocation, InvocationFailed
from local.prelude import InvalidPrelude, Prelude, PreludeSplitter, prelude_from

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"

# What a function URL says when there is no answer to pass on.
FAILURES: dict[str, tuple[int, str, bytes]] = {
    "error": (502, "text/plain", b"Internal Server Error"),
    "exit": (502, "text/plain", b"Internal Server Error"),
    "timeout": (504, "text/plain", b"Gateway Timeout"),
    "throttled": (429, "application/json", b'{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded",'
                  b'"Type":"User","message":"Rate Exceeded."}'),
    "too_large": (413, "application/json", b'{"message":"Request must be smaller than %d bytes for the'
                  b' InvokeFunction operation"}' % MAX_PAYLOAD_BYTES),
}  # fmt: skip


def with_cors(app: ASGIApp) -> ASGIApp:
    """What the template's `Cors` does for the deployed URL: the code itself knows nothing of it.

    Only pages served from this machine may read the answers: here nobody needs a key.
    """
    return CORSMiddleware(
        app,
        allow_origin_regex=r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?",
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["*"],
        max_age=3600,
    )


class FunctionUrl:
    """An ASGI app. `invoke` takes the invocation to a pool; `print_line` writes to the terminal."""

    def __init__(self, invoke: Callable[[Invocation], None], print_line: Callable[[str], None]) -> None:
        self._invoke = invoke
        self._print_line = print_line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        invocation = Invocation(b"", trace_id=_new_trace_id())
        answer = _Answer(send, invocation)
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            return
        if body is not None:
            invocation.payload = json.dumps(
                function_url_event(_url_request(request, body, invocation))
            ).encode()
        if body is None or len(invocation.payload) > MAX_PAYLOAD_BYTES:
            await answer.refuse("too_large")
            return
        self._invoke(invocation)
        leaving = asyncio.create_task(_abandon_when_caller_leaves(receive, invocation))
        try:
            await answer.relay()
        except InvocationFailed as failure:
            self._print_line(f"[function url] {request.method} {request.url.path}: {failure}")
            if not answer.started:
                await answer.refuse(failure.kind)
            # Else: returning here, with the answer not ended, makes uvicorn close the connection in mid-body,
            # which every client reports as the failure that it is.
        finally:
            leaving.cancel()
            if not invocation.is_over:
                invocation.abandon()


class _Answer:
    """What goes back to the caller."""

    def __init__(self, send: Send, invocation: Invocation) -> None:
        self._send = send
        self._invocation = invocation
        self._has_body = True
        self.started = False

    async def relay(self) -> None:
        """Pass the answer on as it comes. Raises InvocationFailed when it does not come to its end."""
        mode = await self._invocation.mode()
        parts = self._invocation.parts()
        if not mode.streaming:
            prelude, body = _buffered_answer(b"".join([part async for part in parts]))
            await self._start(prelude)
            await self._write(body)
        elif mode.content_type == HTTP_INTEGRATION:
            prelude, body = await _split_prelude(parts)
            await self._start(prelude)
            await self._write(body)
        else:
            await self._start(Prelude(200, (("content-type", mode.content_type),), ()))
        async for part in parts:
            await self._write(part)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, kind: str) -> None:
        """Answer in the service's own words."""
        status, content_type, body = FAILURES[kind]
        await self._start(Prelude(status, (("content-type", content_type),), ()))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, prelude: Prelude) -> None:
        headers = [(name.lower(), value) for name, value in prelude.headers]
        headers = [
            (name, value) for name, value in headers if name not in ("connection", "transfer-encoding")
        ]
        names = {name for name, _ in headers}
        if "content-type" not in names:
            headers.append(("content-type", "application/octet-stream"))
        if "date" not in names:
            headers.append(("date", formatdate(usegmt=True)))
        headers.append(("x-amzn-requestid", self._invocation.request_id))
        headers += [("set-cookie", cookie) for cookie in prelude.cookies]
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
        self._has_body = prelude.status not in (204, 304)
        self.started = True
        await self._send({"type": "http.response.start", "status": prelude.status, "headers": encoded})

    async def _write(self, data: bytes) -> None:
        if data and self._has_body:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})


async def _split_prelude(parts: AsyncIterator[bytes]) -> tuple[Prelude, bytes]:
    splitter = PreludeSplitter()
    try:
        async for part in parts:
            if found := splitter.feed(part):
                return found
    except InvalidPrelude as error:
        raise InvocationFailed("error", "Runtime.InvalidPrelude", str(error)) from error
    raise InvocationFailed("error", "Runtime.InvalidPrelude", "the answer ended before its prelude did")


def _buffered_answer(data: bytes) -> tuple[Prelude, bytes]:
    """An answer object with a statusCode is taken at its word; any other JSON is the body of a 200."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or "statusCode" not in document:
            return Prelude(200, (("content-type", "application/json"),), ()), data
        body = str(document.get("body") or "").encode()
        return prelude_from(document), base64.b64decode(body) if document.get("isBase64Encoded") else body
    except ValueError as error:
        raise InvocationFailed("error", "Runtime.InvalidResponse", str(error)) from error


async def _read_body(request: Request) -> bytes | None:
    """The request's body, or None when it is larger than an event may be. Raises ClientDisconnect."""
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > MAX_PAYLOAD_BYTES:
            return None
    return bytes(body)


async def _abandon_when_caller_leaves(receive: Receive, invocation: Invocation) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not invocation.is_over:
        invocation.abandon()
        gone = InvocationFailed("error", "CallerGone", "the caller closed the connection")
        invocation.fail(gone)  # ends the relay; the runtime learns it from its own connection


def _url_request(request: Request, body: bytes, invocation: Invocation) -> UrlRequest:
    server = request.scope.get("server")
    return UrlRequest(
        method=request.method,
        raw_path=request.scope["raw_path"].decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
        ),
        body=body,
        source_ip=request.client.host if request.client else "127.0.0.1",
        port=server[1] if server else 0,
        request_id=invocation.request_id,
        trace_id=invocation.trace_id,
        epoch_ms=int(time.time() * 1000),
    )


def _new_trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{os.urandom(12).hex()};Parent={os.urandom(8).hex()};Sampled=0"
