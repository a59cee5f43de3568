"""The connection to the upstream: httpcore's own, but an answer's body can be read past httpcore.

httpcore and h11 read an answer's head safely, and keep connections. To each chunk of a body they add as much
as all the rest of the relay costs: half of the processor time of an event. So bodies are read here.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
from collections.abc import Iterable
from typing import Any

import httpcore

from timed_calls import TimedCalls
from upstream.transport.chunked import LAST_CHUNK
from upstream.transport.framing import is_certain_head, names_framing, readable_head

READ_BYTES = 64 * 1024
SENT_BYTES = 64 * 1024  # of a request at a time
MAX_HEAD_BYTES = 100 * 1024  # what h11 takes of one
_END_OF_HEAD = re.compile(rb"\n\r?\n")  # as h11 sees it, which takes a bare line feed for a line end


class Connection(httpcore.NetworkStream):
    """A stream of httpcore's that ends a read where a head ends, so that what follows is still to be had.

    httpcore reads one head after the other (of 1xx too) until it has that of the answer. Then `take_body` or
    `pass_body` tells how the body is read; the next request is followed by heads again.

    A connection carries another request only if no layer of it can hold a byte, and if nothing has left doubt
    about where an answer ends. Otherwise it counts as readable, and httpcore closes it behind the answer.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._receive = stream.read  # or, for a body, what does the same for less
        self._unsent = b""  # of a request
        self._kept = b""  # read, but not handed on yet
        self._head = bytearray()  # as far as httpcore has it
        self._is_behind_head = False
        self._has_begun_an_answer = False  # whether a byte has arrived since the request was sent
        self._is_in_doubt = False  # about where an answer ends
        self._body_bytes: int | None = None  # which httpcore may still have of a body; None: a head is due
        self._in_handshake: socket.socket | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As httpcore asks for it: what there is, to the next end of a head or to the end of the body."""
        data = self._kept or self._read(max_bytes, timeout)
        if self._body_bytes is None:
            data = self._with_whole_framing(data, max_bytes, timeout)
            before = bytes(self._head)
            at = self._find_end_of_head(data)
            data, self._kept = data[:at], data[at:]
            return readable_head(before + data)[len(before) :]
        at = min(self._body_bytes, len(data))
        self._body_bytes -= at
        data, self._kept = data[:at], data[at:]
        return data

    def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Read from the connection. An answer that has begun cannot end as if none had.

        Raises httpcore.RemoteProtocolError where the connection ends within a head.
        """
        self._send(timeout)
        is_within_head = self._has_begun_an_answer and self._body_bytes is None
        try:
            data = self._stream.read(max_bytes, timeout)
        except httpcore.ReadError:
            if not is_within_head:
                raise
            data = b""
        if not data and is_within_head:
            raise httpcore.RemoteProtocolError("the connection was closed within the head of an answer")
        return data

    def _with_whole_framing(self, data: bytes, max_bytes: int, timeout: float | None) -> bytes:
        """The bytes, with the rest of the head if they name a Transfer-Encoding, which may be repeated.

        So all its lines are there for `readable_head`.
        """
        head = bytes(self._head)
        self._has_begun_an_answer = self._has_begun_an_answer or bool(data)
        while names_framing(head + data) and not _END_OF_HEAD.search(head + data):
            more = self._read(max_bytes, timeout) if len(head + data) < MAX_HEAD_BYTES else b""
            if not more:
                break
            data += more
        return data

    def _find_end_of_head(self, data: bytes) -> int:
        known = len(self._head)
        self._head += data
        found = _END_OF_HEAD.search(self._head, max(known - 2, 0))
        self._is_behind_head = found is not None
        if found is None:
            return len(data)
        if not is_certain_head(bytes(self._head[: found.end()])):
            self._is_in_doubt = True
        self._head.clear()
        return found.end() - known

    def pass_body(self, size: int | None) -> None:
        """Let httpcore read the body of this size, or (None) whatever comes; then no other answer can."""
        self._is_in_doubt = self._is_in_doubt or size is None
        self._body_bytes = sys.maxsize if size is None else size

    def take_body(self) -> bool:
        """Whether the body is all there for `read_body`, now that httpcore has given the head of the answer.

        Not if httpcore has seen another end of the head: it has taken a part of the body with it then.
        """
        if not self._is_behind_head:
            self.pass_body(None)
            return False
        connection = self._stream.get_extra_info("socket")
        connection.settimeout(None)  # a watchdog keeps the time
        # TLS within the TLS of a proxy is no socket's affair: there the socket knows the proxy's TLS alone.
        if not isinstance(self._stream.get_extra_info("ssl_object"), ssl.SSLObject):
            self._receive = connection.recv
        return True

    def read_body(self) -> bytes:
        """The next bytes, as they are on the wire; none when the other side has closed.

        Raises httpcore.ReadError.
        """
        if self._kept:
            data, self._kept = self._kept, b""
            return data
        try:
            return self._receive(READ_BYTES)
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def end_body(self) -> None:
        """Tell httpcore that the chunked body is over: the connection can be used again."""
        self._kept = LAST_CHUNK
        self.pass_body(len(LAST_CHUNK))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send a part of a request, or keep it: a small request then leaves whole, in one packet.

        httpcore ends a request by writing nothing.

        Raises httpcore.ConnectionNotAvailable: something has arrived since httpcore chose this connection for
        another request. httpcore takes another connection then.
        """
        if self._body_bytes is not None:
            if self._is_anything_waiting():
                raise httpcore.ConnectionNotAvailable
            self._body_bytes = None
            self._head.clear()
        self._unsent += buffer
        if not buffer or len(self._unsent) >= SENT_BYTES:
            self._send(timeout)

    def _send(self, timeout: float | None) -> None:
        data, self._unsent = self._unsent, b""
        if not data:
            return
        # An answer that begins before its request has been sent may not be the only one. TLS hides that:
        # session tickets make a new connection readable as well.
        if self._is_anything_waiting() and not isinstance(
            self._stream.get_extra_info("socket"), ssl.SSLSocket
        ):
            self._is_in_doubt = True
        self._has_begun_an_answer = False
        self._stream.write(data, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Connection:
        """The same over TLS. Raises httpcore.ConnectError, httpcore.ConnectTimeout."""
        connection = self._stream.get_extra_info("socket")
        if self._kept:  # in the clear, before TLS: neither the server nor an honest proxy has sent it
            self.close()
            raise httpcore.ConnectError("bytes came between the proxy's answer and the start of TLS")
        ssl_context.sslsocket_class = ConnectedTLSSocket
        if isinstance(connection, ssl.SSLSocket):  # a proxy's: it stays what it is
            return Connection(self._stream.start_tls(ssl_context, server_hostname, timeout))
        # The socket is taken out of its object, so another one is needed to end a handshake that blocks.
        try:
            with connection.dup() as self._in_handshake:
                return Connection(self._stream.start_tls(ssl_context, server_hostname, timeout))
        except OSError as error:  # no more sockets to be had
            self.close()
            raise httpcore.ConnectError(str(error)) from error

    def get_extra_info(self, info: str) -> Any:
        """What httpcore knows of the connection: its "socket", among others.

        The socket is one that can be shut down from another thread, also during a TLS handshake.
        """
        if info == "socket" and self._in_handshake is not None and self._in_handshake.fileno() >= 0:
            return self._in_handshake
        return self._is_anything_waiting() if info == "is_readable" else self._stream.get_extra_info(info)

    def _is_anything_waiting(self) -> bool:
        """Whether any layer holds a byte that the next answer could begin with, or might."""
        stream = self._stream
        if self._is_in_doubt or self._kept or stream.get_extra_info("is_readable"):
            return True
        connection, tls = stream.get_extra_info("socket"), stream.get_extra_info("ssl_object")
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        if not isinstance(tls, ssl.SSLObject):
            return False
        # TLS within the TLS of a proxy: what the outer one has decrypted waits here for the inner one.
        incoming = getattr(stream, "_incoming", None)  # httpcore's own; without it nothing is known
        return incoming is None or bool(incoming.pending or tls.pending())


class ConnectedTLSSocket(ssl.SSLSocket):
    """A TLS socket that is closed if its connection ends before the handshake begins.

    The constructor of ssl.SSLSocket would leave the socket open, or return one that sends in the clear.
    """

    def getpeername(self) -> Any:
        """Closes the socket and raises ConnectionError if there is no connection; the constructor asks."""
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionError("the connection ended before TLS began") from error


class Connections(httpcore.ConnectionPool):
    """httpcore's pool, for one request at a time."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """As httpcore's, but a failure leaves no connection behind.

        httpcore counts a tunnel whose TLS has failed as in use for ever: after ten it would open no more.
        """
        try:
            return super().handle_request(request)
        except BaseException:
            self.close()
            raise


class Network(httpcore.NetworkBackend):
    """Where httpcore gets its connections from."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._calls = TimedCalls("connect")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Connection:
        """A new connection. Raises httpcore.ConnectError, httpcore.ConnectTimeout."""

        def connect() -> httpcore.NetworkStream:
            return self._network.connect_tcp(host, port, timeout, local_address, socket_options)

        try:
            # The timeout is for each address that the name has, and the look-up of the name has none.
            stream = connect() if timeout is None else self._calls.in_time(timeout, connect)
        except UnicodeError as error:  # Python's, for a name that can stand in no DNS
            raise httpcore.ConnectError(str(error)) from None
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        return Connection(stream)
