"""Answers that never end or are too large, and the memory and time that relaying one takes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from tests.support.project import PROJECT

BLOCK_BYTES = 64 * 1024
MIB = 1024 * 1024
LARGEST_BYTES = 8 * MIB - 64 * 1024  # one event slightly below the parser's limit
MOST_BYTES = 250 * MIB  # a relay that reads more has no limit

Shape = Callable[[], Iterator[bytes]]


def event(document: Any) -> bytes:
    """An event with this JSON as its data."""
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta: dict[str, Any], index: int = 0, **choice: Any) -> bytes:
    """A chunk of a chat completion."""
    choices = [{"index": index, "delta": delta, "finish_reason": None, **choice}]
    return event(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    )


def call(index: int, arguments: str = "{}") -> dict[str, Any]:
    """A delta that opens a tool call."""
    function = {"name": f"f{index}", "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": f"c{index}", "function": function}]}


def repeated(unit: bytes) -> Shape:
    """The same bytes, endlessly repeated."""
    block = unit * max(1, BLOCK_BYTES // len(unit))

    def blocks() -> Iterator[bytes]:
        while True:
            yield block

    return blocks


def numbered(make: Callable[[int], bytes]) -> Shape:
    """Endless events that all differ."""

    def blocks() -> Iterator[bytes]:
        start = 0
        while True:
            yield b"".join(make(number) for number in range(start, start + 200))
            start += 200

    return blocks


def once(data: bytes) -> Shape:
    """These bytes, followed by a proper end."""
    return lambda: (data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES))


def large_text(text: str, more: str = "") -> bytes:
    """One event of the maximum size, its text repeating `text`, which is escaped for JSON already."""
    head, tail = chunk({"content": "@"}).split(b"@")
    filler = text.encode()
    return head + more.encode() + filler * ((LARGEST_BYTES - len(head)) // len(filler)) + tail


def large_list(unit: bytes) -> bytes:
    """One event of the maximum size that is full of this JSON value."""
    return b'data: {"choices":[' + unit * (LARGEST_BYTES // len(unit)) + b"{}]}\n\n"


def item(index: int) -> bytes:
    """A Responses item that is announced but never done."""
    opened = {"id": f"i{index}", "type": "message", "content": []}
    return event({"type": "response.output_item.added", "output_index": index, "item": opened})


def part(index: int) -> bytes:
    """Two letters in a new part of a Responses item."""
    place = {"item_id": "i", "output_index": 0, "content_index": index}
    return event({"type": "response.output_text.delta", **place, "delta": "ab"})


CHAT_SHAPES: dict[str, Shape] = {
    "short deltas": repeated(chunk({"content": "ab"})),
    "arguments": repeated(chunk(call(0, "a" * 200))),
    "emoji": repeated(chunk({"content": "\U0001f600" * 50})),
    "calls": numbered(lambda number: chunk(call(number))),
    "texts in many choices": numbered(lambda number: chunk({"content": "a" * 400}, index=number % 128)),
    "lists in an unknown field": repeated(chunk({"content": "", "things": [{"a": 0}] * 50})),
    "audio": repeated(chunk({"audio": {"id": "a", "data": "A" * 4000}})),
    "one event with one wide character": once(large_text("x", more="\U0001f600")),
    "one event of escapes": once(large_text("\\u00e9")),
    "one event of objects with a field": once(large_list(b'{"a":0},')),
    "a line without an end": repeated(b"x" * 1000),
}
RESPONSE_SHAPES: dict[str, Shape] = {
    "items": numbered(item),
    "parts": numbered(part),
    "fields": numbered(
        lambda number: event(
            {"type": "response.in_progress", "response": {"id": "r", f"k{number}": [0] * 50}}
        )
    ),
}


class EndlessUpstream:
    """Answers one request with this shape until the other side closes the connection; a context manager."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._connection = connection
        with connection, connection.makefile("rb") as request:
            while (line := request.readline().lower()) not in (b"\r\n", b""):
                if line.startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            request.read(size)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            try:
                connection.sendall(head)
                sent = 0
                for block in self._shape():
                    connection.sendall(b"%x\r\n%b\r\n" % (len(block), block))
                    sent += len(block)
                    if sent > MOST_BYTES:
                        return
                connection.sendall(b"0\r\n\r\n")
            except ConnectionError:
                return


class Cost(NamedTuple):
    """The cost of relaying an answer to its process, and the transcript.

    Attributes:
        peak_mb: the peak memory, in MB of 10^6 bytes.
        late_s: the time from the answer's deadline until the transcript was ready to be handed off.
    """

    peak_mb: float
    late_s: float
    transcript: dict[str, Any]


def cost_of(shape: Shape, fmt: str, deadline_s: float) -> Cost:
    """Relay the answer in a separate process, with `deadline_s` until the deadline."""
    folders = (PROJECT, PROJECT / "shared", PROJECT / "functions" / "stream_chat")
    with EndlessUpstream(shape) as upstream:
        process = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.support.runtime.relaying_process",
                upstream.url,
                fmt,
                str(deadline_s),
            ],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, folders))},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
            timeout=110,
        )
    return Cost(**json.loads(process.stdout))
