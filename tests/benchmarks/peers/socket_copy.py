"""The lower bound: copies bytes from socket to socket. `socket_copy.py HOST:PORT` names the upstream."""

from __future__ import annotations

import json
import os
import re
import socket
import sys

READ_BYTES = 64 * 1024
END = b"0\r\n\r\n"


def main(upstream_address: str) -> None:
    """Serve one connection after the other, each with its own connection to the upstream."""
    host, _, port = upstream_address.partition(":")
    server = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{server.getsockname()[1]}", "pid": os.getpid()}), flush=True)
    while True:
        caller, _ = server.accept()
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with caller, socket.create_connection((host, int(port))) as upstream:
            while request := read_request(caller):
                upstream.sendall(request)
                while True:
                    data = upstream.recv(READ_BYTES)
                    caller.sendall(data)
                    if data.endswith(END):
                        break


def read_request(caller: socket.socket) -> bytes:
    """The next request, head and body; empty if the caller has closed the connection."""
    request = b""
    while data := caller.recv(READ_BYTES):
        request += data
        head, blank_line, body = request.lower().partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head)
        if blank_line and length and len(body) == int(length[1]):
            break
    return request


if __name__ == "__main__":
    main(sys.argv[1])
