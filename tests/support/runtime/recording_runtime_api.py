"""A Lambda Runtime API on loopback that records requests, and a runtime process that it serves."""

from __future__ import annotations

import base64
import json
import os
import queue
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple, cast
from urllib.parse import unquote

from tests.support.network.loopback_listener import LoopbackListener
from tests.support.project import PROJECT

EXEC_WRAPPER = PROJECT / "shared" / "lambda_stream" / "exec-wrapper"
HANDLERS = Path(__file__).parent
PATIENCE_S = 30.0  # less than an invocation has by default
NEXT_PATH = "/2018-06-01/runtime/invocation/next"


class Reply(NamedTuple):
    """How the server replies to an answer.

    Attributes:
        status: of the reply, which is sent after the whole body or after `after_chunks`.
        after_chunks: the number of chunks after which to act; None for the whole body.
        reset: reset the connection then, instead of replying.
        stall: read no further byte then, and do not reply.
        reads_on: read the rest of the body after the reply.
        close: close the connection after the reply.
        hold_s: wait before the reply.
        body: of the reply.
        early: number of chunks → bytes to send when so many have come, before more are read.
        ends_early: shut down the server's sending direction after these bytes.
        raw: sent instead of the reply.
        refuses_unread: reply without reading a body that is not chunked, and close the connection.
    """

    status: int = 202
    after_chunks: int | None = None
    reset: bool = False
    stall: bool = False
    reads_on: bool = False
    close: bool = False
    hold_s: float = 0.0
    body: bytes = b"{}"
    early: Mapping[int, bytes] = MappingProxyType({})
    ends_early: bool = False
    raw: bytes | None = None
    refuses_unread: bool = False

    def as_bytes(self) -> bytes:
        """Return the bytes of the reply."""
        if self.raw is not None:
            return self.raw
        return _http(self.status, {"Connection": "close"} if self.close else {}, self.body)


@dataclass
class Recorded:
    """One request as received: the raw head and, of a chunked body, each chunk and trailer."""

    raw_head: bytes
    connection: int
    chunks: list[bytes] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    replied_at: float = 0.0  # time.monotonic(), which all processes share

    @property
    def line(self) -> str:
        return self.raw_head.split(b"\r\n", 1)[0].decode()

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.raw_head.decode().split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}

    @property
    def prelude(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.chunks[0]))

    @property
    def pieces(self) -> list[bytes]:
        """The chunks of the body, after prelude and delimiter."""
        return self.chunks[2:]

    @property
    def error_body(self) -> dict[str, Any]:
        """The error in the trailer, or in the body of a request to `…/error`."""
        text = (
            base64.b64decode(self.trailers["lambda-runtime-function-error-body"], validate=True)
            if self.trailers
            else self.body
        )
        return cast(dict[str, Any], json.loads(text))


ACCEPT = Reply()


class Invocation:
    """One invocation handed out by the server, and the request that answered it."""

    def __init__(self, event: bytes, headers: Mapping[str, str], reply: Reply) -> None:
        self.event, self.headers, self.reply = event, dict(headers), reply
        self.request_id = headers.get("Lambda-Runtime-Aws-Request-Id", "")
        self._recorded: Recorded | None = None
        self._changed = threading.Condition()
        self._over = False

    def result(self) -> Recorded:
        """Wait for the request that answered it, until the server has finished with it."""
        return self._wait(lambda: self._over)

    def after_chunks(self, count: int) -> Recorded:
        """Wait until `count` chunks of the request have come."""
        return self._wait(lambda: self._recorded is not None and len(self._recorded.chunks) >= count)

    def _wait(self, done: Any) -> Recorded:
        with self._changed:
            assert self._changed.wait_for(done, PATIENCE_S), f"nothing arrived for {self.event[:100]!r}"
            assert self._recorded is not None
            return self._recorded

    def update(self, recorded: Recorded, *, over: bool = False) -> None:
        with self._changed:
            self._recorded, self._over = recorded, self._over or over
            self._changed.notify_all()


class RecordingRuntimeApi(LoopbackListener):
    """The server; a context manager.

    Its public attributes change how it behaves from the next request on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[Recorded] = []
        self.drop_next_connections = 0  # for so many `next` requests the connection is closed
        self.next_status = 200
        self.report_status = 202  # for init and restore errors
        self.path_prefix = ""  # of every request's path
        self.before_next = b""  # sent before the answer to `next`
        self.closes_after_next = False  # closes the connection after the answer to `next`
        self.has_closed = threading.Event()  # set once any connection has been closed
        self._waiting: queue.Queue[Invocation | None] = queue.Queue()
        self._by_id: dict[str, Invocation] = {}
        self._closing = threading.Event()
        self._serial = 0

    def release(self) -> None:
        """End all waits: for held replies and for invocations to hand out."""
        self._closing.set()
        for _ in self._threads:
            self._waiting.put(None)

    def submit(
        self,
        event: Any,
        *,
        headers: Mapping[str, str | None] | None = None,
        reply: Reply = ACCEPT,
        deadline_s: float = 60.0,
    ) -> Invocation:
        """Hand out an invocation. `event` becomes JSON unless it is bytes; headers of None are omitted."""
        self._serial += 1
        standard: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"request-{self._serial}",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + deadline_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
            "Lambda-Runtime-Trace-Id": f"Root=1-{self._serial}",
        }
        given = {name: value for name, value in (standard | dict(headers or {})).items() if value is not None}
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        invocation = Invocation(body, given, reply)
        self._by_id[invocation.request_id] = invocation
        self._waiting.put(invocation)
        return invocation

    def invoke(self, event: Any, **options: Any) -> Recorded:
        """Hand out an invocation and wait for its answer."""
        return self.submit(event, **options).result()

    def state(self, **options: Any) -> Any:
        """What the handler of stream_handlers.py tells of its process and context."""
        return json.loads(b"".join(self.invoke({"do": "state"}, **options).pieces))

    def requests(self, path_part: str) -> list[Recorded]:
        return [request for request in self.recorded if path_part in request.path]

    def serve(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as stream, suppress(OSError):
            while head := _read_head(stream):
                recorded = Recorded(head, number)
                self.recorded.append(recorded)
                if not self._respond(connection, stream, recorded):
                    break
        connection.close()
        self.has_closed.set()

    def _respond(self, connection: socket.socket, stream: BufferedReader, recorded: Recorded) -> bool:
        """Answer one request. Returns whether the connection stays open."""
        if recorded.path == self.path_prefix + NEXT_PATH:
            return self._respond_next(connection)
        if recorded.path.endswith("/restore/next"):
            connection.sendall(_http(200, {}, b""))
            return True
        invocation = self._by_id.get(unquote(recorded.path.split("/")[-2], "latin-1"))
        reply = invocation.reply if invocation else Reply(self.report_status)
        try:
            is_taken = self._take_body(connection, stream, recorded, invocation, reply)
            if is_taken:
                self._closing.wait(reply.hold_s)
                recorded.replied_at = time.monotonic()
                connection.sendall(reply.as_bytes())
                while reply.reads_on and stream.read1(65536):
                    pass
        finally:
            if invocation:
                invocation.update(recorded, over=True)
        return is_taken and not reply.close and recorded.ended

    def _respond_next(self, connection: socket.socket) -> bool:
        if self.drop_next_connections:
            self.drop_next_connections -= 1
            return False
        if self.next_status != 200:
            connection.sendall(_http(self.next_status, {}, b"{}"))
            return True
        invocation = self._waiting.get()
        if invocation is None:
            return False
        connection.sendall(self.before_next + _http(200, invocation.headers, invocation.event))
        return not self.closes_after_next

    def _take_body(
        self,
        connection: socket.socket,
        stream: BufferedReader,
        recorded: Recorded,
        invocation: Invocation | None,
        reply: Reply,
    ) -> bool:
        """Read the body. Returns whether to reply; if not, the connection is closed."""
        if recorded.headers.get("transfer-encoding") != "chunked":
            if reply.refuses_unread:
                return True
            recorded.body = stream.read(int(recorded.headers.get("content-length", 0)))
            recorded.ended = True
            return True
        while True:
            if early := reply.early.get(len(recorded.chunks)):
                connection.sendall(early)
                if reply.ends_early:
                    connection.shutdown(socket.SHUT_WR)
            if reply.after_chunks is not None and len(recorded.chunks) >= reply.after_chunks:
                if reply.stall:
                    self._closing.wait(PATIENCE_S)
                    return False
                if reply.reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                return True
            chunk = _read_chunk(stream)
            if chunk == b"":
                recorded.trailers = _read_trailers(stream)
                recorded.ended = True
                return True
            recorded.chunks.append(chunk)
            if invocation:
                invocation.update(recorded)


class RuntimeProcess:
    """A runtime process started by the exec-wrapper as on Lambda; its output is collected."""

    def __init__(
        self, api: RecordingRuntimeApi, handler: str, environ: Mapping[str, str] | None = None
    ) -> None:
        # Files, because a pipe that nobody reads would block the process.
        self._files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115  (closed by wait)
        self._process = subprocess.Popen(
            [str(EXEC_WRAPPER), sys.executable, "/var/runtime/bootstrap.py"],
            env={
                "PATH": os.environ["PATH"],
                "AWS_LAMBDA_RUNTIME_API": api.address,
                "_HANDLER": handler,
                "LAMBDA_TASK_ROOT": str(HANDLERS),
                **(environ or {}),
            },
            stdout=self._files[0],
            stderr=self._files[1],
        )
        self.pid = self._process.pid
        self.output: tuple[str, str] | None = None

    def terminate(self) -> int:
        """Send SIGTERM, wait and return the exit status."""
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the process to end; return its exit status and set `output`."""
        status = self._process.wait(PATIENCE_S)
        if self.output is None:
            self.output = (_content(self._files[0]), _content(self._files[1]))
        return status

    @property
    def log(self) -> str:
        """Standard output and error; if the process still runs, it is terminated first."""
        if self.output is None:
            self.terminate()
        assert self.output is not None
        return "".join(self.output)

    def kill(self) -> None:
        """Kill the process if it still runs."""
        if self.output is None:
            self._process.kill()
            self.wait()


def _content(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode()


@contextmanager
def runtime(
    handler: str = "stream_handlers.handle", environ: Mapping[str, str] | None = None
) -> Iterator[tuple[RecordingRuntimeApi, RuntimeProcess]]:
    """A recording Runtime API and a runtime process that handles its invocations with `handler`."""
    with RecordingRuntimeApi() as api:
        process = RuntimeProcess(api, handler, environ)
        try:
            yield api, process
        finally:
            process.kill()


def _http(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


def _read_head(stream: BufferedReader) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return b""
        head += line
    return head


def _read_chunk(stream: BufferedReader) -> bytes:
    """Read one chunk, b"" for the last. Raises ConnectionError if the body ends too early."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the body ends too early")
    size = int(line, 16)
    data = stream.read(size)
    if len(data) < size:
        raise ConnectionError("the body ends too early")
    if size:
        assert stream.read(2) == b"\r\n", "a chunk ends in CRLF"
    return data


def _read_trailers(stream: BufferedReader) -> dict[str, str]:
    trailers = {}
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, value = line.decode().removesuffix("\r\n").split(": ", 1)
        trailers[name.lower()] = value
    return trailers
