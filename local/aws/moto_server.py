"""moto's server, in a process of its own so that it cannot slow the stream."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.aws.services import AwsServicesFailed
from local.function_url.page_guard import guarded_wsgi
from local.processes.child_process import ChildProcess, OrphanGuard

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

REPOSITORY = Path(__file__).parents[2]
START_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.02


class MotoServer:
    """AWS's services on 127.0.0.1:`port`; `last_lines` is the last of what the server has printed."""

    def __init__(self, guard: OrphanGuard, port: int) -> None:
        self.last_lines: deque[str] = deque(maxlen=20)  # moto logs every request: shown only if it fails
        self._port = port
        self._process = ChildProcess(guard, self.last_lines.append)
        self._running = False

    async def start(self, path: str) -> None:
        """Start the server; PATH is all it is given."""
        command = [sys.executable, "-m", "local.aws.moto_server", str(self._port)]
        await self._process.start(command, {"PATH": path}, REPOSITORY)
        self._running = True

    async def until_it_listens(self) -> None:
        """Wait for it to take connections. Raises AwsServicesFailed."""
        for _ in range(int(START_LIMIT_S / LOOK_AGAIN_S)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if self._process.has_ended:
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                writer.close()
                return
        raise AwsServicesFailed("\n".join(self.last_lines) or "moto's server did not come up")

    async def stop(self) -> None:
        """End the server; a receive that waits there ends with it."""
        if self._running:
            await self._process.stop()


def one_update_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """The application, with DynamoDB's requests served one after another, and all others as they come.

    DynamoDB looks at an update's condition and makes the update in one step. moto does it in two, on a thread
    for each request: with room for 50, of 100 parallel requests it admits 51 now and then. A lock around all
    of moto would keep everything waiting behind each long poll of SQS.
    """
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with lock:
            return app(environ, start_response)

    return serve


def _serve(port: int) -> None:
    """Be the server, in the process that MotoServer starts."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple

    app = guarded_wsgi(one_update_at_a_time(DomainDispatcherApplication(create_backend_app)))
    run_simple("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
