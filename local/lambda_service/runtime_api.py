"""The Lambda Runtime API for one environment: h11 on a loopback socket.

h11 rather than an ASGI server, because a broken answer ends in HTTP trailers, which ASGI does not pass on.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import struct
from typing import Protocol

import h11

from chat_stream.json_values import parsed_object
from local.lambda_service.invocation import (
    MAX_PAYLOAD_BYTES,
    TRUNCATED,
    AnswerMode,
    CallerGoneError,
    Invocation,
    InvocationError,
)
from local.processes.page_guard import refusal

MAX_BUFFERED_BYTES = MAX_PAYLOAD_BYTES + 100  # Lambda accepts 100 bytes more of a buffered answer
MAX_HEAD_BYTES = 128 * 1024  # an error's X-Ray cause alone may have 64 KiB; h11's default is 16 KiB
READ_BYTES = 64 * 1024

NEXT = "/2018-06-01/runtime/invocation/next"
INIT_ERROR = "/2018-06-01/runtime/init/error"
ANSWER = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")


class RuntimeHost(Protocol):
    """What the Runtime API needs of its environment."""

    current: Invocation | None  # what the runtime is working on, until it asks for the next
    function_arn: str

    async def next_invocation(self) -> Invocation:
        """Wait for the next invocation."""

    def init_failed(self, error_type: str, message: str) -> None:
        """The runtime could not load the function."""

    def report(self, line: str) -> None:
        """Print a line on the terminal."""


class RequestRefusedError(Exception):
    """A request that breaks the protocol; it is answered with this status and the API's error type."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error_type, self.message = status, error_type, message


class EmulatedRuntimeApi:
    """Serves one runtime process at 127.0.0.1:`port`."""

    def __init__(self, host: RuntimeHost) -> None:
        self._host = host
        self._waiting_at_next = False
        self._answered: Invocation | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen on a free loopback port and return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        connection = _Connection(reader, writer)
        try:
            while (request := await connection.next_request()) is not None:
                await self._answer(connection, request)
                await connection.finish()
        except (OSError, EOFError, h11.RemoteProtocolError, asyncio.CancelledError):
            # The runtime is gone (an answer in progress is already marked as truncated), or close() has
            # cancelled this task, which Python 3.11's streams would report as an error.
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, connection: _Connection, request: h11.Request) -> None:
        try:
            await self._route(connection, request)
        except RequestRefusedError as refused:
            self._host.report(f"Runtime API answered {refused.status}: {refused.message}")
            await connection.drain_request()
            body = {"errorType": refused.error_type, "errorMessage": refused.message}
            await connection.respond(refused.status, json.dumps(body).encode())

    async def _route(self, connection: _Connection, request: h11.Request) -> None:
        target, method = request.target.decode("ascii"), request.method.decode("ascii")
        if refused := refusal(method, target, _pairs(request)):
            raise RequestRefusedError(refused.status, "Forbidden", refused.message)
        if request.method == b"GET" and target == NEXT:
            await self._next(connection)
        elif request.method == b"POST" and target == INIT_ERROR:
            await self._init_error(connection, _headers(request))
        elif request.method == b"POST" and (match := ANSWER.fullmatch(target)):
            invocation = self._claim(match[1], _headers(request))
            reply = self._response if match[2] == "response" else self._error
            await reply(connection, invocation, _headers(request))
        else:
            raise RequestRefusedError(404, "NotFound", f"unknown route: {method} {target}")

    async def _next(self, connection: _Connection) -> None:
        current = self._host.current
        if self._waiting_at_next or (current is not None and current is not self._answered):
            raise RequestRefusedError(
                403, "InvalidStateTransition", "next before the current invocation is answered"
            )
        await connection.drain_request()
        self._waiting_at_next = True
        try:
            invocation = await self._host.next_invocation()
        finally:
            self._waiting_at_next = False
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Invocation-Id": invocation.invocation_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self._host.function_arn,
            "Lambda-Runtime-Trace-Id": invocation.trace_id,
        }
        known = {name: value for name, value in headers.items() if value}
        await connection.respond(200, invocation.payload, known)

    def _claim(self, request_id: str, headers: dict[str, str]) -> Invocation:
        """The invocation that this request answers; an invocation can be answered once."""
        current = self._host.current
        if current is None or current.request_id != request_id:
            raise RequestRefusedError(400, "InvalidRequestID", "not the id of the current invocation")
        if headers.get("lambda-runtime-invocation-id", current.invocation_id) != current.invocation_id:
            raise RequestRefusedError(410, "InvocationGone", "this delivery of the event is over")
        if current is self._answered:
            raise RequestRefusedError(403, "InvalidStateTransition", "the invocation is already answered")
        mode = headers.get("lambda-runtime-function-response-mode", "buffered")
        if mode not in ("buffered", "streaming"):
            raise RequestRefusedError(400, "InvalidFunctionResponseMode", f"unknown response mode {mode!r}")
        self._answered = current
        return current

    async def _response(
        self, connection: _Connection, invocation: Invocation, headers: dict[str, str]
    ) -> None:
        content_type = headers.get("content-type", "application/octet-stream")
        if headers.get("lambda-runtime-function-response-mode") == "streaming":
            invocation.start(AnswerMode(True, content_type))
            await self._stream(connection, invocation)
        else:
            body = await connection.read_body(MAX_BUFFERED_BYTES)
            if body is None:
                message = f"the answer is larger than {MAX_BUFFERED_BYTES} bytes"
                invocation.fail(InvocationError("error", "Function.ResponseSizeTooLarge", message))
                raise RequestRefusedError(413, "RequestEntityTooLarge", message)
            invocation.start(AnswerMode(False, content_type))
            if not invocation.abandoned:
                await invocation.write(body)
            invocation.end()
        await connection.respond(202, b'{"status":"OK"}')

    async def _stream(self, connection: _Connection, invocation: Invocation) -> None:
        # On Lambda a function does not learn that its caller has gone, and writes to the end. Here its write
        # fails, as behind an ordinary web server, so that this path of the code runs as well.
        invocation.on_abandon(connection.reset)
        try:
            while isinstance(event := await connection.next_event(), h11.Data):
                await invocation.write(bytes(event.data))
        except (OSError, EOFError, h11.RemoteProtocolError) as error:
            if not isinstance(error, CallerGoneError):
                message = "the runtime broke off its answer"
                invocation.fail(InvocationError("error", TRUNCATED, message))
            raise
        trailers = _headers(event)
        error_type = trailers.get("lambda-runtime-function-error-type")
        if error_type is not None:  # even a blank one says that the answer failed
            encoded_body = trailers.get("lambda-runtime-function-error-body", "")
            invocation.fail(_failure(error_type or "Unhandled", encoded_body))
        else:
            invocation.end()

    async def _error(self, connection: _Connection, invocation: Invocation, headers: dict[str, str]) -> None:
        body = await connection.read_body(MAX_BUFFERED_BYTES)
        error_type, message = _described(headers, body)
        invocation.fail(InvocationError("error", error_type, message))
        await connection.respond(202, b'{"status":"OK"}')

    async def _init_error(self, connection: _Connection, headers: dict[str, str]) -> None:
        body = await connection.read_body(MAX_BUFFERED_BYTES)
        self._host.init_failed(*_described(headers, body))
        await connection.respond(202, b'{"status":"OK"}')


class _Connection:
    """One HTTP/1.1 connection from the runtime."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def next_event(self) -> h11.Event:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            if self._h11.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._h11.receive_data(await self._reader.read(READ_BYTES))
        if isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
            return event
        raise EOFError

    async def next_request(self) -> h11.Request | None:
        try:
            event = await self.next_event()
        except EOFError:
            return None
        return event if isinstance(event, h11.Request) else None

    async def read_body(self, limit_bytes: int) -> bytes | None:
        """The rest of the request; None if it exceeds the limit."""
        body = bytearray()
        while isinstance(event := await self.next_event(), h11.Data):
            if len(body) <= limit_bytes:
                body += event.data
        return bytes(body) if len(body) <= limit_bytes else None

    async def drain_request(self) -> None:
        while self._h11.their_state is h11.SEND_BODY:
            await self.next_event()

    async def respond(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        await self._send(h11.Response(status_code=status, headers=list(head.items())), h11.Data(data=body))
        await self._send(h11.EndOfMessage())

    async def finish(self) -> None:
        """Prepare for the next request on this connection. Raises EOFError if it must be closed."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            raise EOFError
        self._h11.start_next_cycle()

    def reset(self) -> None:
        """Reset the connection, so that the runtime's next write fails and not the one after it."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _send(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._h11.send(event) or b"" for event in events))
        await self._writer.drain()


def _headers(event: h11.Event) -> dict[str, str]:
    return dict(_pairs(event))


def _pairs(event: h11.Event) -> list[tuple[str, str]]:
    pairs = event.headers if isinstance(event, h11.Request | h11.EndOfMessage) else []
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in pairs]


def _failure(error_type: str, encoded_body: str) -> InvocationError:
    """The error described by the base64-encoded JSON of the trailers."""
    try:
        body = base64.b64decode(encoded_body, validate=True)
    except ValueError:
        body = b""
    _, message = _described({}, body)
    return InvocationError("error", error_type, message)


def _described(headers: dict[str, str], body: bytes | None) -> tuple[str, str]:
    """Error type and message of an error request; its body may have any form."""
    details = parsed_object((body or b"").decode("utf-8", "replace"))
    error_type = details.get("errorType") or headers.get("lambda-runtime-function-error-type") or "Unhandled"
    return str(error_type), str(details.get("errorMessage") or "")
