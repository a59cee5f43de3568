"""A proxy in front of AWS's services that delays or holds calls to some of them before it passes them on."""

from __future__ import annotations

import http.client
import queue
import re
import threading
import time
from collections.abc import Mapping
from email.message import Message
from urllib.parse import urlsplit

from tests.support.network.loopback_server import LoopbackServer, QuietRequest

# The credential scope in the signature of a call, which names the service.
SERVICE = re.compile(r"/([a-z0-9-]+)/aws4_request")
HELD_LIMIT_S = 60.0
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "expect", "content-length", "host")


class SlowProxy(LoopbackServer):
    """`url` is AWS while the block lasts. `delays_s` (service → seconds) may be changed at any time.

    Calls to a service with a gate wait until it is set; `held` receives the service of each call that waits.
    """

    def __init__(self, aws_url: str) -> None:
        super().__init__(_SlowRequest)
        self.aws = urlsplit(aws_url).netloc
        self.delays_s: Mapping[str, float] = {}
        self.gates: Mapping[str, threading.Event] = {}
        self.held: queue.SimpleQueue[str] = queue.SimpleQueue()


class _SlowRequest(QuietRequest):
    server: SlowProxy

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        try:
            self._pass_on()
        except ConnectionError:  # one side has gone: tests end while calls are held
            self.close_connection = True

    do_GET = do_PUT = do_POST  # noqa: N815 - the base class names them

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        service = SERVICE.search(self.headers["authorization"])
        name = service[1] if service else ""
        time.sleep(self.server.delays_s.get(name, 0))
        if gate := self.server.gates.get(name):
            self.server.held.put(name)
            gate.wait(HELD_LIMIT_S)
        aws = http.client.HTTPConnection(self.server.aws)
        try:
            aws.request(self.command, self.path, body, _end_to_end(self.headers))
            answer = aws.getresponse()
            content = answer.read()
        finally:
            aws.close()
        self.send_response_only(answer.status)
        for name, value in _end_to_end(answer.headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _end_to_end(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
