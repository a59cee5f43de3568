"""The function URL: each HTTP request becomes an invocation, whose answer is sent chunk by chunk."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import formatdate

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.function_url.event import IamCaller, SignatureError, UrlRequest, function_url_event
from local.function_url.prelude import InvalidPreludeError, Prelude, prelude_from, split_prelude
from local.lambda_service.invocation import MAX_PAYLOAD_BYTES, Invocation, InvocationError

HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"

Authenticate = Callable[[UrlRequest], IamCaller | None]  # raises SignatureError

ABSOLUTE_FORM = re.compile(r"https?://[^/]*", re.IGNORECASE)  # a request target that also names the server

# uvicorn frames the answer: headers of the function about it could only contradict that.
FRAMING = ("connection", "content-length", "transfer-encoding")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, section 5.5

# The answers of a function URL when it has none to pass on.
FAILURES: dict[str, tuple[int, str, bytes]] = {
    "malformed": (400, "application/json", b'{"message":"Bad Request"}'),
    "error": (502, "text/plain", b"Internal Server Error"),
    "exit": (502, "text/plain", b"Internal Server Error"),
    "timeout": (504, "text/plain", b"Gateway Timeout"),
    "throttled": (429, "application/json", b'{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded",'
                  b'"Type":"User","message":"Rate Exceeded."}'),
    "too_large": (413, "application/json", b'{"message":"Request must be smaller than %d bytes for the'
                  b' InvokeFunction operation"}' % MAX_PAYLOAD_BYTES),
}  # fmt: skip


class _NotAdmittedError(Exception):
    """The request does not reach the function; the text is one of FAILURES."""


@dataclass(frozen=True)
class FunctionUrl:
    """An ASGI app. `invoke` hands an invocation to a pool; `print_line` writes to the terminal.

    `authenticate` verifies each request, as AuthType AWS_IAM does; None means AuthType NONE.
    """

    invoke: Callable[[Invocation], None]
    print_line: Callable[[str], None]
    authenticate: Authenticate | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        invocation = Invocation(b"", trace_id=_new_trace_id())
        answer = _Answer(send, invocation)
        try:
            path = _raw_path(request)
            invocation.payload = await self._event(request, path, invocation)
        except ClientDisconnect:
            return
        except _NotAdmittedError as reason:
            await answer.refuse(str(reason))
            return
        except SignatureError as refusal:
            await answer.forbid(refusal)
            return
        self.invoke(invocation)
        leaving = asyncio.create_task(_abandon_when_caller_leaves(receive, invocation))
        try:
            await answer.relay()
        except InvocationError as failure:
            # The path as received, in plain ASCII: decoded, it could contain control characters.
            self.print_line(f"[function url] {request.method} {path}: {failure}")
            if not answer.started:
                await answer.refuse(failure.kind)
            # Otherwise: returning before the answer has ended makes uvicorn close the connection in the
            # middle of the body, which every client reports as a failure.
        finally:
            leaving.cancel()
            if not invocation.is_over:
                invocation.abandon()

    async def _event(self, request: Request, path: str, invocation: Invocation) -> bytes:
        """The event for the function. Raises ClientDisconnect, _NotAdmittedError, SignatureError."""
        asked = _url_request(request, path, await _read_body(request), invocation)
        caller = self.authenticate(asked) if self.authenticate else None
        event = json.dumps(function_url_event(asked, caller)).encode()
        if len(event) > MAX_PAYLOAD_BYTES:
            raise _NotAdmittedError("too_large")
        return event


class _Answer:
    """The answer to one request."""

    def __init__(self, send: Send, invocation: Invocation) -> None:
        self._send = send
        self._invocation = invocation
        self._has_body = True
        self.started = False

    async def relay(self) -> None:
        """Pass on the answer as it arrives. Raises InvocationError if it does not arrive completely."""
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
        """Answer as the function URL itself does (FAILURES)."""
        status, content_type, body = FAILURES[kind]
        await self._start(Prelude(status, (("content-type", content_type),), ()))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def forbid(self, refusal: SignatureError) -> None:
        """Answer a request whose signature was refused."""
        headers = (("content-type", "application/json"), ("x-amzn-errortype", refusal.error_type))
        await self._start(Prelude(403, headers, ()))
        body = json.dumps(refusal.document).encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, prelude: Prelude) -> None:
        """Send status and headers. Raises InvocationError, and sends nothing, for invalid headers."""
        headers = [(name.lower(), value) for name, value in prelude.headers]
        headers = [(name, value) for name, value in headers if name not in FRAMING]
        names = {name for name, _ in headers}
        if "content-type" not in names:
            headers.append(("content-type", "application/octet-stream"))
        if "date" not in names:
            headers.append(("date", formatdate(usegmt=True)))
        headers.append(("x-amzn-requestid", self._invocation.request_id))
        headers += [("set-cookie", cookie) for cookie in prelude.cookies]
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
        for name, value in encoded:
            if not FIELD_VALUE.fullmatch(value):
                message = f"the value of {name.decode()} contains a control character"
                raise InvocationError("error", "Runtime.InvalidPrelude", message)
        self._has_body = prelude.status not in (204, 304)
        self.started = True
        await self._send({"type": "http.response.start", "status": prelude.status, "headers": encoded})

    async def _write(self, data: bytes) -> None:
        if data and self._has_body:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self._invocation.sent_bytes += len(data)


async def _split_prelude(parts: AsyncIterator[bytes]) -> tuple[Prelude, bytes]:
    received = b""
    try:
        async for part in parts:
            received += part
            if found := split_prelude(received):
                return found
    except InvalidPreludeError as error:
        raise InvocationError("error", "Runtime.InvalidPrelude", str(error)) from error
    except RecursionError as error:
        raise InvocationError("error", "Runtime.InvalidPrelude", "nested too deeply") from error
    raise InvocationError("error", "Runtime.InvalidPrelude", "the answer ended within its prelude")


def _buffered_answer(data: bytes) -> tuple[Prelude, bytes]:
    """Read an answer object, which has a statusCode. Any other JSON is the body of a 200."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict) or "statusCode" not in document:
            return Prelude(200, (("content-type", "application/json"),), ()), data
        body = str(document.get("body") or "").encode()
        return prelude_from(document), base64.b64decode(body) if document.get("isBase64Encoded") else body
    except ValueError as error:
        raise InvocationError("error", "Runtime.InvalidResponse", str(error)) from error
    except RecursionError as error:
        raise InvocationError("error", "Runtime.InvalidResponse", "nested too deeply") from error


def _raw_path(request: Request) -> str:
    """The path as received. Raises _NotAdmittedError for a request target without one (`*`, `host:port`)."""
    target: str = request.scope["raw_path"].decode("latin-1")
    path = ABSOLUTE_FORM.sub("", target, count=1) or "/" if ABSOLUTE_FORM.match(target) else target
    if request.method == "CONNECT" or not path.startswith("/"):
        raise _NotAdmittedError("malformed")
    return path


async def _read_body(request: Request) -> bytes:
    """The request's body. Raises ClientDisconnect, or _NotAdmittedError if it is too large for an event."""
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > MAX_PAYLOAD_BYTES:
            raise _NotAdmittedError("too_large")
    return bytes(body)


async def _abandon_when_caller_leaves(receive: Receive, invocation: Invocation) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not invocation.is_over:
        invocation.abandon()
        gone = InvocationError("error", "CallerGoneError", "the caller closed the connection")
        invocation.fail(gone)  # ends the relay; the runtime's connection has been reset by abandon()


def _url_request(request: Request, path: str, body: bytes, invocation: Invocation) -> UrlRequest:
    server = request.scope.get("server")
    return UrlRequest(
        method=request.method,
        raw_path=path,
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
