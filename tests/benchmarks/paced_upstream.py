"""An upstream that sends events at a given pace, each in one TCP write.

The model's name sets the pace: `pace-200-4-600` means 600 events at 200 per second, in batches of four. 0 per
second means as fast as they are read. Each event is a chunk of EVENT_BYTES like OpenAI's. Its delta is a
STAMP: the time at which it was written, by the clock that all processes of this machine share.

Run it as `python -m tests.benchmarks.paced_upstream`.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from typing import NamedTuple

from tests.support.upstreams.scripted_server import chunked

EVENT_BYTES = 330
STAMP = re.compile(rb"\d{17}")  # microseconds of time.monotonic()

_CHUNK = (
    '{"id":"chatcmpl-Bk3vXo0Zc1rQ8sPdHq7LwT2m","object":"chat.completion.chunk","created":1795000000,'
    '"model":"gpt-6-luna","service_tier":"default","system_fingerprint":"fp_a1b2c3d4e5","choices":'
    '[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null,"obfuscation":"%s"}'
)
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Pace(NamedTuple):
    """How events are sent. `events_per_s` 0 means as fast as possible."""

    events_per_s: int
    batch: int
    events: int

    @property
    def model(self) -> str:
        """The model name for this pace."""
        return f"pace-{self.events_per_s}-{self.batch}-{self.events}"


def stamped_event() -> bytes:
    """One event whose delta is the current time."""
    return _EVENT % (time.monotonic_ns() // 1000)


def event(delta: str, finish_reason: str = "null", obfuscation: str = "") -> bytes:
    """One event with this JSON as its delta."""
    return b"data: " + (_CHUNK % (delta, finish_reason, obfuscation)).encode() + b"\n\n"


_DELTA = '{"content":"' + "#" * 17 + '"}'
_EVENT = event(_DELTA, obfuscation="x" * (EVENT_BYTES - len(event(_DELTA)))).replace(b"#" * 17, b"%017d")
_CHUNKED_EVENT = b"%x\r\n%b\r\n" % (
    EVENT_BYTES,
    _EVENT,
)  # _EVENT itself is shorter, because it holds a placeholder for the stamp
_FIRST = chunked(event('{"role":"assistant","content":"","refusal":null}'), end=b"")
_LAST = chunked(event("{}", '"stop"'), b"data: [DONE]\n\n", end=b"")


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, connection.makefile("rb") as requests:
        while request_line := requests.readline():
            body_bytes = 0
            while (line := requests.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    body_bytes = int(value)
            assert request_line.startswith(b"POST "), request_line
            model = json.loads(requests.read(body_bytes))["model"]
            try:
                _write(connection, Pace(*map(int, model.split("-")[1:])))
            except ConnectionError:  # the caller has closed
                return


def _write(connection: socket.socket, pace: Pace) -> None:
    connection.sendall(_HEAD)
    connection.sendall(_FIRST)
    due_at = time.monotonic()
    for number in range(pace.events):
        if pace.events_per_s and number % pace.batch == 0:
            due_at += pace.batch / pace.events_per_s if number else 0.0
            time.sleep(max(0.0, due_at - time.monotonic()))
        connection.sendall(_CHUNKED_EVENT % (time.monotonic_ns() // 1000))
    connection.sendall(_LAST)
    connection.sendall(b"0\r\n\r\n")


def main() -> None:
    """Serve until the process is killed. The first line of output is JSON with the URL."""
    server = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{server.getsockname()[1]}/v1"}), flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
