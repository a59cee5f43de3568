"""Serve an ASGI app with uvicorn in the running event loop, on a socket that is already bound."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from local.processes.page_guard import Admits, guarded_asgi

STOP_LIMIT_S = 1

# Broken answers are part of the emulation: the app returns without ending one, and uvicorn closes.
EXPECTED_MESSAGES = ("ASGI callable returned without completing response.", "Invalid HTTP request received.")


class _UvicornServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the stack, which ends its parts in order."""
        yield


def listening_socket(port: int = 0) -> socket.socket:
    """A listening TCP socket on 127.0.0.1. Raises OSError if the port is taken."""
    # asyncio sets TCP_NODELAY only on sockets that name their protocol. Without it the second of two small
    # writes waits for the caller's acknowledgement, which may take 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


class HttpService:
    """Serves an app at `url`, to programs and to web pages of the origins that `admits` accepts."""

    def __init__(self, app: ASGIApp, bound: socket.socket, admits: Admits | None = None) -> None:
        logger = logging.getLogger("uvicorn.error")
        logger.setLevel(logging.ERROR)
        logger.addFilter(_is_unexpected)
        config = uvicorn.Config(
            guarded_asgi(app, admits),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn trusts those of 127.0.0.1, which every caller is
            date_header=False,  # a function may send its own
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_LIMIT_S,
        )
        self._server = _UvicornServer(config)
        self._bound = bound
        self._serving: asyncio.Task[None] | None = None
        self.port: int = bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to serve; the socket already accepts connections."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._bound]))

    async def stop(self) -> None:
        """Accept no more requests, give those in progress STOP_LIMIT_S, and end."""
        self._server.should_exit = True
        if self._serving:
            await asyncio.shield(self._serving)  # a caller that is cancelled does not cancel the end


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith((*EXPECTED_MESSAGES, "Cancel "))
