"""moto's server, in a process of its own so that it cannot slow down the stream."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.aws.services import AwsServicesError
from local.processes.child_process import ChildProcess, OrphanGuard
from local.processes.page_guard import guarded_wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

REPOSITORY = Path(__file__).parents[2]
START_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.02


class MotoServer:
    """AWS's services on 127.0.0.1:`port`; `last_lines` are the last lines that the server printed."""

    def __init__(self, guard: OrphanGuard, port: int) -> None:
        self.last_lines: deque[str] = deque(maxlen=20)  # moto logs every request: shown only on failure
        self._port = port
        self._process = ChildProcess(guard, self.last_lines.append)

    async def start(self, path: str) -> None:
        """Start the server, with PATH as its only environment variable."""
        command = [sys.executable, "-m", "local.aws.moto_server", str(self._port)]
        await self._process.start(command, {"PATH": path}, REPOSITORY)

    async def wait_until_listening(self) -> None:
        """Wait until it accepts connections. Raises AwsServicesError."""
        for _ in range(int(START_LIMIT_S / LOOK_AGAIN_S)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if not self._process.is_running:
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                writer.close()
                return
        raise AwsServicesError("\n".join(self.last_lines) or "moto's server did not start")

    async def stop(self) -> None:
        """End the server, and with it any receive that waits there."""
        await self._process.stop()


def one_update_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """`app` with DynamoDB's requests served one after another, and all others in parallel.

    DynamoDB checks the condition of an update and makes the update in one step. moto takes two, on a thread
    for each request: with a limit of 50, it sometimes admits 51 of 100 parallel requests. A lock around all
    of moto would keep every request waiting behind each long poll of SQS.
    """
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with lock:
            return app(environ, start_response)

    return serve


def _serve(port: int) -> None:
    """Run the server, in the process that MotoServer starts."""
    from moto import backends
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple

    # moto lists and sorts the folders of its 160 services twice for each request, a fifth of its time.
    modules = frozenset(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    app = guarded_wsgi(one_update_at_a_time(DomainDispatcherApplication(create_backend_app)))
    run_simple("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
