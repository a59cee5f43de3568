"""A real HTTP proxy on loopback: CONNECT and requests with an absolute URI, with or without TLS."""

from __future__ import annotations

import select
import socket
import ssl
import time
from urllib.parse import urlsplit

from tests.support.network.loopback_listener import PATIENCE_S, LoopbackListener

LATE_S = 0.1


class ConnectProxy(LoopbackListener):
    """`url` is a value for HTTPS_PROXY; `heads` are the heads of the requests to the proxy itself.

    Args:
        tls: the TLS context of the proxy itself, or None.
        refusal: the answer to every request, instead of passing it on.
        greeting: bytes to send right after the answer to a CONNECT.
        gather_s: how long to collect data of the server, so that one TLS record of the proxy holds several of
            the server's.
        late_bytes: how many of the last of those bytes to send a little later.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        refusal: bytes | None = None,
        *,
        greeting: bytes = b"",
        gather_s: float = 0.0,
        late_bytes: int = 0,
    ) -> None:
        super().__init__(tls)
        self.heads: list[bytes] = []
        self.url = self.origin
        self._refusal = refusal
        self.greeting = greeting
        self._gather_s = gather_s
        self._late_bytes = late_bytes

    def serve(self, client: socket.socket, number: int) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            data = client.recv(65536)
            if not data:
                return
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        self.heads.append(head)
        if self._refusal is not None:
            client.sendall(self._refusal)
            return
        method, target, version = head.split(b"\r\n")[0].split(b" ")
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
        else:
            parts = urlsplit(target.decode())
            host, port = str(parts.hostname), str(parts.port)
        with socket.create_connection((host, int(port)), PATIENCE_S) as server:
            self.shut_in_the_end(server)
            if method == b"CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + self.greeting)
            else:
                line = b" ".join((method, parts.path.encode(), version))
                server.sendall(line + head[head.index(b"\r\n") :] + b"\r\n\r\n" + rest)
            self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        """Pass bytes on in both directions until one side closes."""
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select([client, server], [], [], PATIENCE_S)[0]
            for one in ready:
                if one is server:
                    time.sleep(self._gather_s)
                data = one.recv(65536)
                if not data:
                    return
                if one is client:
                    server.sendall(data)
                    continue
                at = len(data) - self._late_bytes
                client.sendall(data[:at])
                if self._late_bytes:
                    time.sleep(LATE_S)
                    client.sendall(data[at:])
