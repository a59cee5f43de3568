"""The connection to the upstream: httpcore's own, but an answer's body can be read past httpcore.

httpcore and h11 read an answer's head safely, and keep connections. To each chunk of a body they add as much as
all the rest of the relay costs: half of the processor time of an event. So bodies are read here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from transfer_coding import LAST_CHUNK

READ_BYTES = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class UpstreamSocket(httpcore.NetworkStream):
    """A stream of httpcore's that ends a read where a head ends, so that what follows is still to be had."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._receive = stream.read  # or, for a body, what does the same for less
        self._kept = b""  # read, but not handed on yet
        self._handed = b""  # the last bytes of the head, as far as httpcore has it
        self._is_behind_head = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """As httpcore asks for it: what there is, to the next end of a head."""
        data = self._kept or self._stream.read(max_bytes, timeout)
        seen = self._handed + data
        end = seen.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        self._is_behind_head = end >= len(_END_OF_HEAD)
        at = end - len(self._handed) if self._is_behind_head else len(data)
        data, self._kept = data[:at], data[at:]
        self._handed = b"" if self._is_behind_head else seen[1 - len(_END_OF_HEAD) :]
        return data

    def take_body(self) -> bool:
        """Whether the body is all there for `read_body`, now that httpcore has given the head of the answer.

        Not if the head did not end as it should: httpcore has taken a part of the body with it then.
        """
        connection = self._stream.get_extra_info("socket")
        if self._is_behind_head:
            connection.settimeout(None)  # a watchdog keeps the time
            if isinstance(connection, ssl.SSLSocket) or not self._stream.get_extra_info("ssl_object"):
                self._receive = (
                    connection.recv
                )  # else it is TLS within the TLS of a proxy, no socket's affair
        return self._is_behind_head

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

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> UpstreamSocket:
        """The same over TLS."""
        return UpstreamSocket(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore knows of the connection: its "socket", among others."""
        return self._stream.get_extra_info(info)

    def shut(self) -> None:
        """End what blocks on the connection, in whatever thread. Raises OSError if it is closed already."""
        connection = self._stream.get_extra_info("socket")
        # Not SSLSocket.shutdown: that drops the TLS object under the reader's feet.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class UpstreamNetwork(httpcore.NetworkBackend):
    """Where httpcore gets its connections from."""

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> UpstreamSocket:
        """A new connection. Raises httpcore.ConnectError, httpcore.ConnectTimeout."""
        stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return UpstreamSocket(stream)
