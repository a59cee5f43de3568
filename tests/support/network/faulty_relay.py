"""A proxy in front of a relay with one planted fault, as gateways, CDNs and platforms have them."""

from __future__ import annotations

import http.client
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.network.loopback_server import LoopbackServer, QuietRequest

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")
READ_BYTES = 64 * 1024
GROUP_S = 1.2
CUT_BYTES = 400
IDLE_LIMIT_S = 0.7  # less than the time between two comments
FAST_BYTES = 6 * 1024 * 1024
SLOW_BYTES_PER_S = 300 * 1024
HANG_LIMIT_S = 30.0
GATEWAY_PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"

Pieces = Iterator[bytes]


class RelayFault(StrEnum):
    """What the proxy does wrong."""

    FORBIDDEN = "every request gets AWS's 403"
    NOT_A_RELAY = "every request gets a page"
    OTHER_VERSION = "another version"
    OPEN = "every caller gets a key"
    BURST = "the body is held to its end"
    HELD_HEAD = "the whole answer is held to its end"
    GROUPED = "pieces are sent in groups"
    SLOWED = "pieces are sent more slowly than they come"
    COMPRESSED = "the body is compressed"
    CUT = "the body is broken off"
    CUT_CLEANLY = "the body ends early"
    REPEATED = "a piece is sent twice"
    CACHED = "an answer is given twice"
    DOUBLED_CORS = "CORS headers come twice"
    FOREIGN_ORIGIN = "every origin is allowed"
    HTML_ERRORS = "errors are replaced by a page"
    ERRORS_AS_200 = "errors get status 200"
    ENDLESS = "Last-Event-ID is lost"
    HANGING = "an error without a body never ends"
    NO_COMMENTS = "comments are swallowed"
    IDLE_CLOSED = "quiet connections are closed"
    SLOW_TAIL = "what follows the first 6 MB is slow"


class FaultyRelay(LoopbackServer):
    """`url` is the relay at `relay_url` with one fault, or with none; `key` is what OPEN gives to callers."""

    def __init__(self, relay_url: str, fault: RelayFault | None, key: str = "") -> None:
        super().__init__(_Request)
        self.relay = urlsplit(relay_url).netloc
        self.fault = fault
        self.key = key
        self.ended = threading.Event()
        self.cached: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.ended.set()
        super().__exit__(kind, error, at)


class _Request(QuietRequest):
    server: FaultyRelay

    def do_GET(self) -> None:  # noqa: N802 - http.server names it
        try:
            self._answer()
        except (ConnectionError, http.client.HTTPException, TimeoutError):
            self.close_connection = True

    do_POST = do_OPTIONS = do_DELETE = do_GET  # noqa: N815 - the base class names them

    def _answer(self) -> None:
        fault = self.server.fault
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if fault is RelayFault.FORBIDDEN:
            return self._send(403, [("content-type", "application/json")], iter([b'{"Message":"Forbidden"}']))
        if fault is RelayFault.NOT_A_RELAY:
            return self._send(200, [("content-type", "text/html")], iter([b"<html>parked</html>"]))
        if fault is RelayFault.CACHED and self.path in self.server.cached:
            status, headers, content = self.server.cached[self.path]
            return self._send(status, headers, iter([content]))
        relay = http.client.HTTPConnection(self.server.relay, timeout=HANG_LIMIT_S)
        try:
            relay.request(self.command, self.path, body, self._request_headers())
            if fault is RelayFault.IDLE_CLOSED and relay.sock is not None:
                relay.sock.settimeout(IDLE_LIMIT_S)
            self._pass_on(relay.getresponse())
        finally:
            relay.close()
        return None

    def _request_headers(self) -> dict[str, str]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        # A page guard of the local stack takes only its own pages; the proxy stands in for the function URL.
        own = f"http://{self.headers['host']}"
        if headers.get("Origin", headers.get("origin")) == own:
            headers = {name: value for name, value in headers.items() if name.lower() != "origin"}
            headers["origin"] = f"http://{self.server.relay}"
        if self.server.fault is RelayFault.OPEN:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["authorization"] = f"Bearer {self.server.key}"
        if self.server.fault is RelayFault.ENDLESS:
            headers = {name: value for name, value in headers.items() if name.lower() != "last-event-id"}
        return headers

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        fault, status = self.server.fault, answer.status
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
        pieces: Pieces = iter(lambda: answer.read1(READ_BYTES), b"")
        own, asked = f"http://{self.server.relay}", self.headers.get("origin", "")
        headers = [(name, asked if value == own else value) for name, value in headers]
        if fault is RelayFault.FOREIGN_ORIGIN and asked:
            headers = [(name, value) for name, value in headers if "allow-origin" not in name.lower()]
            headers.append(("access-control-allow-origin", asked))
        if fault is RelayFault.DOUBLED_CORS and asked:
            headers.append(("access-control-allow-origin", asked))
        if fault is RelayFault.HTML_ERRORS and status >= 400:
            status, headers, pieces = 502, [("content-type", "text/html")], iter([GATEWAY_PAGE])
        if fault is RelayFault.ERRORS_AS_200 and status >= 400:
            status = 200
        if fault is RelayFault.HANGING and self.headers.get("last-event-id"):
            status, pieces = 404, _nothing_until(self.server.ended)
        if fault is RelayFault.CACHED and self.command == "GET":
            content = b"".join(pieces)
            self.server.cached[self.path] = status, headers, content
            pieces = iter([content])
        if fault is RelayFault.OTHER_VERSION:
            pieces = (re.sub(rb'"version":"[^"]*"', b'"version":"0.0.1"', piece) for piece in pieces)
        if fault is RelayFault.COMPRESSED:
            headers.append(("content-encoding", "gzip"))
        if fault is RelayFault.HELD_HEAD:
            pieces = iter(list(pieces))
        transform = TRANSFORMS.get(fault) if fault else None
        self._send(status, headers, transform(pieces) if transform else pieces)

    def _send(self, status: int, headers: list[tuple[str, str]], pieces: Pieces) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        has_body = status not in (204, 304)
        if has_body:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            if has_body and piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if has_body:
            self.wfile.write(b"0\r\n\r\n")


def _held(pieces: Pieces) -> Pieces:
    yield b"".join(pieces)


def _grouped(pieces: Pieces) -> Pieces:
    group, sent_at = b"", time.monotonic()
    for piece in pieces:
        group += piece
        if time.monotonic() - sent_at >= GROUP_S:
            yield group
            group, sent_at = b"", time.monotonic()
    yield group


def _slowed(pieces: Pieces) -> Pieces:
    for piece in pieces:
        time.sleep(0.08)
        yield piece


def _compressed(pieces: Pieces) -> Pieces:
    compressor = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def _cut_cleanly(pieces: Pieces) -> Pieces:
    left = CUT_BYTES
    for piece in pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _cut(pieces: Pieces) -> Pieces:
    left = CUT_BYTES
    for piece in _cut_cleanly(pieces):
        left -= len(piece)
        yield piece
    if left <= 0:
        raise ConnectionAbortedError("planted")


def _repeated(pieces: Pieces) -> Pieces:
    for number, piece in enumerate(pieces):
        yield piece
        if number == 20:
            yield piece


def _without_comments(pieces: Pieces) -> Pieces:
    for piece in pieces:
        yield re.sub(rb"(?m)^:.*\n\n", b"", piece)


def _slow_tail(pieces: Pieces) -> Pieces:
    sent = 0
    for piece in pieces:
        if sent > FAST_BYTES:
            time.sleep(len(piece) / SLOW_BYTES_PER_S)
        sent += len(piece)
        yield piece


def _nothing_until(ended: threading.Event) -> Pieces:
    ended.wait(HANG_LIMIT_S)
    yield b""


TRANSFORMS: dict[RelayFault, Callable[[Pieces], Pieces]] = {
    RelayFault.BURST: _held,
    RelayFault.GROUPED: _grouped,
    RelayFault.SLOWED: _slowed,
    RelayFault.COMPRESSED: _compressed,
    RelayFault.CUT: _cut,
    RelayFault.CUT_CLEANLY: _cut_cleanly,
    RelayFault.REPEATED: _repeated,
    RelayFault.NO_COMMENTS: _without_comments,
    RelayFault.SLOW_TAIL: _slow_tail,
}
