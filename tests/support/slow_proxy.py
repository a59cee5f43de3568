"""A proxy in front of AWS's services that keeps calls to some of them waiting before it passes them on."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

# The scope of a call's signature, which names its service.
SERVICE = re.compile(r"/([a-z0-9-]+)/aws4_request")
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "expect", "content-length", "host")


class SlowProxy:
    """`url` is AWS while the block lasts. `delays_s`, service → seconds, may be changed at any time."""

    def __init__(self, aws_url: str) -> None:
        self.delays_s: Mapping[str, float] = {}
        self._aws = urlsplit(aws_url).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                try:
                    self._pass_on()
                except ConnectionError:  # one side has gone: tests end while calls are kept waiting
                    self.close_connection = True

            do_GET = do_PUT = do_POST  # noqa: N815 - the base class names them

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                service = SERVICE.search(self.headers["authorization"])
                time.sleep(proxy.delays_s.get(service[1] if service else "", 0))
                aws = http.client.HTTPConnection(proxy._aws)
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

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                return

        return Handler


def _end_to_end(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
