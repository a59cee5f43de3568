"""A real proxy for HTTP on loopback: CONNECT, and requests with an absolute URI; in the clear or over TLS."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATIENCE_S = 20.0


class ConnectProxy:
    """`url` is what HTTPS_PROXY takes; `heads` are those of the requests to the proxy itself.

    Args:
        tls: the proxy's own, or None.
        refusal: what it answers to every request instead of passing it on.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, refusal: bytes | None = None) -> None:
        self.heads: list[bytes] = []
        self._tls = tls
        self._refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for connection in self._sockets:
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client:
                self._sockets.append(client)
                self._pass_on(client)
        except OSError:
            return  # one side has gone

    def _pass_on(self, client: socket.socket) -> None:
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
            self._sockets.append(server)
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
