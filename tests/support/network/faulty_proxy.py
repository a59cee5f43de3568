"""A proxy in front of AWS's services that makes a share of all calls fail, as services and networks do.

It runs in its own process, so that its work does not slow down the callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import h11

from tests.support.project import PROJECT

READ_BYTES = 256 * 1024
SILENCE_LIMIT_S = 120.0  # longer than any client waits
PASSED = "passed"
INVOKE_PATH = b"/2015-03-31/functions/"
SERVICE_OF_TARGET = {b"AmazonSQS": "sqs", b"DynamoDB_20120810": "dynamodb"}
HOP_BY_HOP = (b"connection", b"keep-alive", b"transfer-encoding", b"expect")

Headers = list[tuple[bytes, bytes]]
Calls = dict[str, dict[str, int]]  # service → outcome of the call (a fault or "passed") → how often


class Fault(StrEnum):
    """What can happen to a call. The last two let it take effect without the caller learning it."""

    THROTTLE = "throttle"
    SERVER_ERROR = "server error"
    RESET = "reset"
    TIMEOUT = "timeout"  # no answer, ever: the caller's own timeout ends the call
    ANSWER_LOST = "answer lost"
    ANSWER_LATE = "answer late"  # after the caller's timeout


# Only a few of the faults that last until the caller's timeout, or a run would consist of waiting.
SHARES: Mapping[Fault, float] = {
    Fault.THROTTLE: 0.08,
    Fault.SERVER_ERROR: 0.08,
    Fault.RESET: 0.06,
    Fault.ANSWER_LOST: 0.05,
    Fault.TIMEOUT: 0.02,
    Fault.ANSWER_LATE: 0.01,
}

# The status and code of each service, by which its SDK decides whether to retry.
ERRORS: Mapping[str, Mapping[Fault, tuple[tuple[int, str], ...]]] = {
    "sqs": {
        Fault.THROTTLE: ((400, "RequestThrottled"),),
        Fault.SERVER_ERROR: ((500, "InternalFailure"), (503, "ServiceUnavailable")),
    },
    "dynamodb": {
        Fault.THROTTLE: ((400, "ProvisionedThroughputExceededException"), (400, "ThrottlingException")),
        Fault.SERVER_ERROR: ((500, "InternalServerError"), (503, "ServiceUnavailable")),
    },
    "lambda": {
        Fault.THROTTLE: ((429, "TooManyRequestsException"),),
        Fault.SERVER_ERROR: ((500, "ServiceException"), (503, "ServiceUnavailable")),
    },
    "s3": {
        Fault.THROTTLE: ((503, "SlowDown"),),
        Fault.SERVER_ERROR: ((500, "InternalError"), (503, "ServiceUnavailable")),
    },
}


class FaultyProxy:
    """`url` is AWS with faults while the block lasts: functions are at `invoke_url`, all else at `aws_url`.

    `shares` maps each fault to the share of calls that it affects. The same seed draws the same faults in the
    same order; which call gets which fault depends on the order of the calls.
    """

    def __init__(
        self, aws_url: str, invoke_url: str = "", shares: Mapping[Fault, float] = SHARES, seed: int = 0
    ) -> None:
        self._arguments = {"aws": aws_url, "invoke": invoke_url, "shares": shares, "seed": seed}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.network.faulty_proxy", json.dumps(self._arguments)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{self._reply()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its standard input, which ends it

    def set_shares(self, shares: Mapping[Fault, float]) -> None:
        """Use these shares from now on; an empty mapping lets every call pass."""
        self._ask(shares)

    def calls(self) -> Calls:
        """The outcomes of the calls so far."""
        calls: Calls = self._ask(None)
        return calls

    def _ask(self, shares: Mapping[Fault, float] | None) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(shares) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@dataclass(frozen=True, slots=True)
class _Call:
    method: bytes
    target: bytes
    headers: Headers
    body: bytes

    @property
    def service(self) -> str:
        if self.target.startswith(INVOKE_PATH):
            return "lambda"
        operation = dict(self.headers).get(b"x-amz-target", b"")
        return SERVICE_OF_TARGET.get(operation.partition(b".")[0], "s3")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes


class _Server:
    """The proxy itself, in its own process."""

    def __init__(self, aws: str, invoke: str, shares: Mapping[str, float], seed: int) -> None:
        self._aws, self._invoke = urlsplit(aws), urlsplit(invoke or aws)
        self._random = random.Random(seed)
        self.calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._serving: set[asyncio.Task[None]] = set()
        self.set_shares(shares)

    def set_shares(self, shares: Mapping[str, float]) -> None:
        self._outcomes = [*map(Fault, shares), None]
        self._weights = [*shares.values(), 1.0 - sum(shares.values())]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client, which stays open between calls."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)  # asyncio itself keeps no reference, so a call could vanish with its client
        task.add_done_callback(self._serving.discard)
        connection = h11.Connection(h11.SERVER)
        # The client may go at any time. Python 3.11's streams would report a cancelled task as an error.
        with contextlib.suppress(OSError, EOFError, h11.RemoteProtocolError, asyncio.CancelledError):
            while await self._pass_on(
                await _next_call(connection, reader, writer), connection, reader, writer
            ):
                connection.start_next_cycle()
        writer.close()

    async def _pass_on(
        self,
        call: _Call,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Draw a fault for one call and carry it out. Returns whether the connection stays open."""
        [fault] = self._random.choices(self._outcomes, self._weights)
        self.calls[call.service][fault or PASSED] += 1
        if fault in (Fault.THROTTLE, Fault.SERVER_ERROR):
            answer = _error(call.service, self._random.choice(ERRORS[call.service][fault]))
        elif fault in (None, Fault.ANSWER_LOST, Fault.ANSWER_LATE):
            answer = await self._effect(call)
        if fault in (Fault.RESET, Fault.ANSWER_LOST):
            _reset(writer)
            return False
        if fault in (Fault.TIMEOUT, Fault.ANSWER_LATE):
            async with asyncio.timeout(SILENCE_LIMIT_S):
                await reader.read(1)  # the client sends nothing more: this waits for it to close
            return False
        head = h11.Response(status_code=answer.status, headers=answer.headers)
        writer.write(_sent(connection, head, h11.Data(data=answer.body), h11.EndOfMessage()))
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _effect(self, call: _Call) -> _Answer:
        """The service's own answer."""
        service = self._invoke if call.service == "lambda" else self._aws
        # A connection for each call: moto's server closes it after every answer.
        reader, writer = await asyncio.open_connection(service.hostname, service.port)
        try:
            connection = h11.Connection(h11.CLIENT)
            length = (b"content-length", str(len(call.body)).encode())
            headers = [*_end_to_end(call.headers), length, (b"connection", b"close")]
            head = h11.Request(method=call.method, target=call.target, headers=headers)
            writer.write(_sent(connection, head, h11.Data(data=call.body), h11.EndOfMessage()))
            await writer.drain()
            response = await _next_event(connection, reader)
            while isinstance(response, h11.InformationalResponse):
                response = await _next_event(connection, reader)
            assert isinstance(response, h11.Response)
            body = await _body(connection, reader)
        finally:
            writer.close()
        given = dict(response.headers)
        # The length that stands there is what HEAD asks for.
        length = (b"content-length", given.get(b"content-length", str(len(body)).encode()))
        return _Answer(response.status_code, [*_end_to_end(list(response.headers)), length], body)


async def _next_call(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> _Call:
    """Raises EOFError when the client has closed the connection."""
    request = await _next_event(connection, reader)
    if type(request) is h11.ConnectionClosed:
        raise EOFError
    if connection.they_are_waiting_for_100_continue:  # as S3's client does before sending an object
        writer.write(_sent(connection, h11.InformationalResponse(status_code=100, headers=[])))
    return _Call(request.method, request.target, list(request.headers), await _body(connection, reader))


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ_BYTES))
    return event


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while isinstance(event := await _next_event(connection, reader), h11.Data):
        body += event.data
    return bytes(body)


def _sent(connection: h11.Connection, *events: h11.Event) -> bytes:
    return b"".join(connection.send(event) or b"" for event in events)


def _end_to_end(headers: Headers) -> Headers:
    """The headers to pass on, without the content length, which the proxy sets itself."""
    return [(name, value) for name, value in headers if name not in (*HOP_BY_HOP, b"content-length")]


def _error(service: str, error: tuple[int, str]) -> _Answer:
    """An error in the format of the service."""
    status, code = error
    if service == "s3":
        body = f"<Error><Code>{code}</Code><Message>as drawn</Message></Error>"
        media_type = "application/xml"
    else:
        body = json.dumps({"__type": code, "message": "as drawn"})
        media_type = "application/x-amz-json-1.0"
    headers = {"content-type": media_type, "content-length": str(len(body)), "x-amzn-errortype": code}
    return _Answer(status, [(n.encode(), v.encode()) for n, v in headers.items()], body.encode())


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break off the connection with a TCP RST, as if the host had failed, and not with an orderly close."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main(arguments: dict[str, Any]) -> None:
    """Print the port. Then answer each line of input (new shares, or null) with the calls so far."""
    server = _Server(**arguments)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        shares = json.loads(line)
        if shares is not None:
            server.set_shares(shares)
        print(json.dumps(server.calls), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
