"""A listener on loopback that serves each connection on its own thread, as raw bytes."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Self

PATIENCE_S = 20.0


class LoopbackListener:
    """Serves while the block lasts; then it shuts every connection and waits for its thread.

    Args:
        tls: the TLS context of the server's side, or None.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        if tls is not None:
            # Here, because the benchmarks use this module without the function's folder on the path.
            from upstream.transport.connection import ConnectedTLSSocket

            # A client that hangs up before the handshake then leaves no open socket.
            tls.sslsocket_class = ConnectedTLSSocket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.origin = f"{'https' if tls else 'http'}://{self.address}"
        self._sockets: list[socket.socket] = []  # to be shut at the end
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._shut(self._listener)
        self._listener.close()
        self._threads[0].join(PATIENCE_S)
        for connection in self._sockets:
            self._shut(connection)
        self.release()
        for thread in self._threads[1:]:
            thread.join(PATIENCE_S)

    def serve(self, connection: socket.socket, number: int) -> None:
        """Serve one connection until it ends, also by an OSError. Connections are numbered from 1."""
        raise NotImplementedError

    def release(self) -> None:
        """End everything else that the serving threads wait for."""

    def shut_in_the_end(self, connection: socket.socket) -> None:
        """Shut another socket at the end as well."""
        self._sockets.append(connection)

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(connection)
            thread = threading.Thread(target=self._run, args=(connection, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            with connection:
                self.serve(connection, number)

    @staticmethod
    def _shut(connection: socket.socket) -> None:
        with suppress(OSError):  # already closed
            # Not SSLSocket.shutdown, which removes the TLS object while another thread reads.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
