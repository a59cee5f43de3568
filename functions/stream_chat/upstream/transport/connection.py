"""The connection to the upstream: httpcore's own, except that a body can be read without httpcore.

httpcore and h11 read a response's head safely and keep connections. But per chunk of a body they cost as much
as all the rest of the relay: half of an event's processor time. So bodies are read here.
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
SENT_BYTES = 64 * 1024  # per write
MAX_HEAD_BYTES = 100 * 1024  # h11's own limit
_END_OF_HEAD = re.compile(rb"\n\r?\n")  # like h11, which accepts a bare line feed as a line end


class Connection(httpcore.NetworkStream):
    """An httpcore stream whose reads end where a head ends, so that the body can be read separately.

    httpcore reads heads (1xx too) until it has the final response's. Then `take_body` or `pass_body` decides
    how the body is read. After the next request, heads follow again.

    A connection is reused only if none of its layers can hold a byte and there is no doubt about where a
    response ended. Otherwise it counts as readable, so that httpcore closes it after the response.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._receive = stream.read  # replaced by the socket's faster recv for a body
        self._unsent = b""  # part of a request
        self._kept = b""  # read, but not returned yet
        self._head = bytearray()  # the part of the head that httpcore has
        self._is_behind_head = False
        self._has_response_begun = False  # whether a byte has arrived since the request was sent
        self._is_in_doubt = False  # about where a response ends
        self._body_bytes: int | None = None  # that httpcore may still read; None: a head is due
        self._in_handshake: socket.socket | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """For httpcore: the bytes available, up to the next end of a head or the end of the body."""
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
        """Read from the connection.

        Raises httpcore.RemoteProtocolError if the connection ends within a head: a response that has begun
        must not look like none.
        """
        self._send(timeout)
        is_within_head = self._has_response_begun and self._body_bytes is None
        try:
            data = self._stream.read(max_bytes, timeout)
        except httpcore.ReadError:
            if not is_within_head:
                raise
            data = b""
        if not data and is_within_head:
            raise httpcore.RemoteProtocolError("the connection was closed within the head of a response")
        return data

    def _with_whole_framing(self, data: bytes, max_bytes: int, timeout: float | None) -> bytes:
        """The bytes; if they name a Transfer-Encoding, extended to the end of the head.

        The field may be repeated, and `readable_head` needs all its lines.
        """
        head = bytes(self._head)
        self._has_response_begun = self._has_response_begun or bool(data)
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
        """Let httpcore read a body of this size; None: up to the connection's end, which rules out reuse."""
        self._is_in_doubt = self._is_in_doubt or size is None
        self._body_bytes = sys.maxsize if size is None else size

    def take_body(self) -> bool:
        """Whether `read_body` can read the whole body, now that httpcore has returned the response's head.

        It cannot if httpcore found a different end of the head: then httpcore already has a part of the body.
        """
        if not self._is_behind_head:
            self.pass_body(None)
            return False
        connection = self._stream.get_extra_info("socket")
        connection.settimeout(None)  # a watchdog enforces the time limits
        # With TLS inside a proxy's TLS the socket decrypts only the proxy's: then read through httpcore.
        if not isinstance(self._stream.get_extra_info("ssl_object"), ssl.SSLObject):
            self._receive = connection.recv
        return True

    def read_body(self) -> bytes:
        """The next raw bytes; empty when the upstream has closed.

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
        """Tell httpcore that the chunked body has ended: the connection can be reused."""
        self._kept = LAST_CHUNK
        self.pass_body(len(LAST_CHUNK))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send a part of a request, or buffer it, so that a small request leaves in one packet.

        httpcore ends a request with an empty write.

        Raises httpcore.ConnectionNotAvailable if bytes have arrived since httpcore chose this connection for
        another request. httpcore then uses another connection.
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
        # A response that begins before its request was sent may not be the only one. TLS hides that: session
        # tickets also make a new connection readable.
        if self._is_anything_waiting() and not isinstance(
            self._stream.get_extra_info("socket"), ssl.SSLSocket
        ):
            self._is_in_doubt = True
        self._has_response_begun = False
        self._stream.write(data, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Connection:
        """The connection over TLS. Raises httpcore.ConnectError, httpcore.ConnectTimeout."""
        connection = self._stream.get_extra_info("socket")
        if self._kept:  # plain text before TLS: neither the server nor an honest proxy sends any
            self.close()
            raise httpcore.ConnectError("bytes arrived between the proxy's answer and the start of TLS")
        ssl_context.sslsocket_class = ConnectedTLSSocket
        if isinstance(connection, ssl.SSLSocket):  # TLS to a proxy: the socket stays
            return Connection(self._stream.start_tls(ssl_context, server_hostname, timeout))
        # The handshake detaches the socket from its object: ending a blocked one needs a duplicate.
        try:
            with connection.dup() as self._in_handshake:
                return Connection(self._stream.start_tls(ssl_context, server_hostname, timeout))
        except OSError as error:  # no more sockets available
            self.close()
            raise httpcore.ConnectError(str(error)) from error

    def get_extra_info(self, info: str) -> Any:
        """httpcore's extra information, such as "socket".

        The socket can be shut down from another thread, also during a TLS handshake.
        """
        if info == "socket" and self._in_handshake is not None and self._in_handshake.fileno() >= 0:
            return self._in_handshake
        return self._is_anything_waiting() if info == "is_readable" else self._stream.get_extra_info(info)

    def _is_anything_waiting(self) -> bool:
        """Whether any layer holds, or may hold, a byte that the next response could begin with."""
        stream = self._stream
        if self._is_in_doubt or self._kept or stream.get_extra_info("is_readable"):
            return True
        connection, tls = stream.get_extra_info("socket"), stream.get_extra_info("ssl_object")
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        if not isinstance(tls, ssl.SSLObject):
            return False
        # With TLS inside a proxy's TLS, bytes that the outer layer has decrypted wait here for the inner one.
        incoming = getattr(stream, "_incoming", None)  # private; without it, assume that bytes wait
        return incoming is None or bool(incoming.pending or tls.pending())


class ConnectedTLSSocket(ssl.SSLSocket):
    """A TLS socket that is closed if its connection ends before the handshake begins.

    The constructor of ssl.SSLSocket would leave the socket open, or return one that sends in the clear.
    """

    def getpeername(self) -> Any:
        """Close the socket and raise ConnectionError if it is not connected. The constructor calls this."""
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionError("the connection ended before TLS began") from error


class Connections(httpcore.ConnectionPool):
    """httpcore's pool, for one request at a time."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Like httpcore's, but close the connections after a failure.

        httpcore counts a tunnel whose TLS failed as in use for ever: after ten it would open no more.
        """
        try:
            return super().handle_request(request)
        except BaseException:
            self.close()
            raise


class Network(httpcore.NetworkBackend):
    """Opens the connections for httpcore."""

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
            # httpcore's timeout applies to each of the name's addresses, and not to the name's look-up.
            stream = connect() if timeout is None else self._calls.in_time(timeout, connect)
        except UnicodeError as error:  # Python's error for a name that is invalid in DNS
            raise httpcore.ConnectError(str(error)) from None
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from None
        return Connection(stream)
