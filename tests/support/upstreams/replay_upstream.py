"""An OpenAI-compatible upstream over real sockets that sends exactly the bytes that a test defines.

A test defines the replies to a model's requests, one for each attempt; the last one repeats:

    upstream.answer("my-model", Reply([event("Hel"), 0.5, event("lo"), DONE]))

So many tests can share one upstream, each with its own model names. The replies to a GET are those of its
path, which stands for the model.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

EVENT_STREAM = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
PATIENCE_S = 30.0

Piece = bytes | tuple[bytes, ...] | float | threading.Event


def event(content: str | None = None, *, finish: str | None = None, **fields: Any) -> bytes:
    """One chunk of choice 0 as OpenAI sends it."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "replayed"}
    return b"data: " + json.dumps({**chunk, "choices": [choice], **fields}).encode() + b"\n\n"


def usage_event() -> bytes:
    """The chunk that reports usage, without choices."""
    return event(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})


def answer(*words: str) -> list[Piece]:
    """A complete, valid stream with one event for each word."""
    return [event("", role=None), *(event(word) for word in words), event(finish="stop"), usage_event(), DONE]


def completion(content: str, **fields: Any) -> dict[str, Any]:
    """An answer that is not streamed."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "replayed",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        **fields,
    }


@dataclass(frozen=True)
class Reply:
    """One answer of the upstream.

    `pieces`: bytes are sent as one chunk in one write; a tuple of bytes as one chunk each, in a single
    write; a number is a pause in seconds; an Event is waited for. `ends`: `clean` ends the body properly;
    `cut` closes the connection without the last chunk; `reset` closes it with a TCP reset; `silent` keeps it
    open until the other side closes it; `unframed` sends a body without chunks that ends with the
    connection.
    """

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": EVENT_STREAM})
    ends: Literal["clean", "cut", "reset", "silent", "unframed"] = "clean"
    head_after: float | threading.Event = 0.0

    @classmethod
    def json(cls, document: Any, status: int = 200, **headers: str) -> Reply:
        """A JSON body."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls([body], status, {"content-type": "application/json", **names})


@dataclass
class Exchange:
    """One request that the upstream has received, and how it went."""

    target: str  # path and query
    headers: dict[str, str]
    body: dict[str, Any]
    written_at: list[float] = field(default_factory=list)  # time.monotonic() of each write
    left_at: float | None = None  # when the other side was found to have closed the connection
    over: threading.Event = field(default_factory=threading.Event)


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections, which many tests are about; report anything else."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class ReplayUpstream:
    """The server; a context manager. `url` is for OPENAI_BASE_URL; all paths are answered alike."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._replies: dict[str, list[Reply]] = {}
        self._exchanges: dict[str, list[Exchange]] = defaultdict(list)
        self._arrived = threading.Condition()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.origin = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.origin}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> ReplayUpstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, model: str, *replies: Reply) -> None:
        """Define the replies to requests for this model, attempt by attempt; the last one repeats."""
        self._replies[model] = list(replies)

    def exchanges(self, model: str) -> list[Exchange]:
        """The requests received for this model."""
        return self._exchanges[model]

    def wait_for_exchange(self, model: str, number: int = 1) -> Exchange:
        """Wait for the n-th request for this model and return it."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self._exchanges[model]) >= number, PATIENCE_S)
        assert arrived, f"no request {number} for {model}"
        return self._exchanges[model][number - 1]

    def _receive(self, target: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[Exchange, Reply]:
        model = str(body.get("model"))
        exchange = Exchange(target, headers, body)
        with self._arrived:
            self._exchanges[model].append(exchange)
            attempt = len(self._exchanges[model])
            self._arrived.notify_all()
        replies = self._replies.get(model) or [
            Reply.json({"error": {"message": f"no reply for {model}"}}, 404)
        ]
        return exchange, replies[min(attempt, len(replies)) - 1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._reply({"model": self.path.partition("?")[0]})

            def do_POST(self) -> None:
                self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _reply(self, body: dict[str, Any]) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                exchange, reply = upstream._receive(self.path, headers, body)
                try:
                    self._send(exchange, reply)
                except (ConnectionError, ssl.SSLError):
                    exchange.left_at = time.monotonic()
                    self.close_connection = True
                finally:
                    exchange.over.set()

            def _send(self, exchange: Exchange, reply: Reply) -> None:
                _pause(reply.head_after, self.connection)
                is_chunked = reply.ends != "unframed"
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header(
                    *(("transfer-encoding", "chunked") if is_chunked else ("connection", "close"))
                )
                self.end_headers()
                for piece in reply.pieces:
                    if isinstance(piece, bytes):
                        self._write(exchange, _chunk(piece) if is_chunked else piece)
                    elif isinstance(piece, tuple):
                        self._write(exchange, b"".join(map(_chunk, piece)))
                    else:
                        _pause(piece, self.connection)
                if reply.ends == "clean":
                    self.connection.sendall(b"0\r\n\r\n")
                    return
                self.close_connection = True
                if reply.ends == "silent":
                    _pause(PATIENCE_S, self.connection)
                elif reply.ends == "reset":
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.connection.close()

            def _write(self, exchange: Exchange, data: bytes) -> None:
                self.connection.sendall(data)
                exchange.written_at.append(time.monotonic())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                return

        return Handler


def _chunk(data: bytes) -> bytes:
    """One chunk of HTTP's chunked transfer coding."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _pause(until: float | threading.Event, connection: socket.socket) -> None:
    """Wait for the time or the event. Raises ConnectionError as soon as the other side closes."""
    ends_at = time.monotonic() + (until if isinstance(until, float) else PATIENCE_S)
    while time.monotonic() < ends_at and not (isinstance(until, threading.Event) and until.is_set()):
        readable, _, _ = select.select([connection], [], [], min(0.02, max(ends_at - time.monotonic(), 0)))
        if readable and not connection.recv(
            1, 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_PEEK
        ):
            raise ConnectionResetError("the relay has closed the connection")
