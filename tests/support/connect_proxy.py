"""A real proxy for HTTP on loopback: CONNECT, and requests with an absolute URI; in the clear or over TLS."""

from __future__ import annotations

import select
import socket
import ssl
from urllib.parse import urlsplit

from tests.support.loopback_listener import PATIENCE_S, LoopbackListener


class ConnectProxy(LoopbackListener):
    """`url` is what HTTPS_PROXY takes; `heads` are those of the requests to the proxy itself.

    Args:
        tls: the proxy's own, or None.
        refusal: what it answers to every request instead of passing it on.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, refusal: bytes | None = None) -> None:
        super().__init__(tls)
        self.heads: list[bytes] = []
        self.url = self.origin
        self._refusal = refusal

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
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                line = b" ".join((method, parts.path.encode(), version))
                server.sendall(line + head[head.index(b"\r\n") :] + b"\r\n\r\n" + rest)
            _pump(client, server)


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Pass bytes on in both directions until one side closes."""
    others = {client: server, server: client}
    while True:
        pending = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if pending else select.select([client, server], [], [], PATIENCE_S)[0]
        for one in ready:
            data = one.recv(65536)
            if not data:
                return
            others[one].sendall(data)
