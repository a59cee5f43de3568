"""The local emulator's function URL and Invoke endpoint in the test's process, serving one small function.

The function is remote-controlled: it connects to the test, which sends it one command per line. So a test
observes the order of events instead of relying on pauses.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from local.function_url.cors import allows
from local.function_url.server import FunctionUrl
from local.lambda_service.environment import FunctionDefinition
from local.lambda_service.environment_pool import EnvironmentPool
from local.lambda_service.invocation import InvocationError
from local.lambda_service.invoke_api import InvokeApi, OnFailure
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from tests.support.project import PROJECT

WAIT_S = 60.0
T = TypeVar("T")

REMOTE_CONTROLLED = """
import os, signal, socket
from lambda_stream import CallerGoneError, streaming_handler

signal.signal(signal.SIGTERM, signal.SIG_IGN)

@streaming_handler
def handle(event, stream, context):
    port = int(event["queryStringParameters"]["control"])
    with socket.create_connection(("127.0.0.1", port)) as control, control.makefile("r") as lines:
        def say(text):
            control.sendall(text.encode() + b"\\n")
        say(f"pid {os.getpid()}")
        try:
            for line in lines:
                command, _, argument = line.rstrip("\\n").partition(" ")
                if command == "start":
                    stream.start(int(argument or 200), {"x-one": "1"}, ["a=1", "b=2"])
                elif command == "write":
                    stream.write(argument.encode())
                    say("written")
                elif command == "write-kib":
                    stream.write(bytes(1024) * int(argument))
                    say("written")
                elif command == "abort":
                    return stream.abort("Upstream.Cut", argument)
                elif command == "raise":
                    raise ValueError(argument)
                elif command == "die":
                    os._exit(7)
                elif command == "end":
                    return
        except CallerGoneError:
            say("caller gone")
            raise
"""


class RemoteFunction:
    """The test's end of one invocation."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_S)
        self._connection = connection
        self._lines = connection.makefile("r", encoding="utf-8")
        self.pid = int(self.received().removeprefix("pid "))

    def do(self, *commands: str) -> None:
        self._connection.sendall("".join(f"{command}\n" for command in commands).encode())

    def received(self) -> str:
        return self._lines.readline().rstrip("\n")

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


class LocalEmulator:
    """Serves `url` and `invoke_url` until the block ends; `lines` holds the emulator's terminal output."""

    def __init__(self, folder: Path, source: str = REMOTE_CONTROLLED, **limits: Any) -> None:
        (folder / "function_under_test.py").write_text(source)
        pool_limits = {name: limits.pop(name) for name in ("max_wait_s", "restart_pause_s") if name in limits}
        self._pool_settings = {"max_wait_s": WAIT_S, **pool_limits}
        variables = {
            "PATH": os.environ["PATH"],
            "_HANDLER": "function_under_test.handle",
            "LAMBDA_TASK_ROOT": str(folder),
            "AWS_LAMBDA_FUNCTION_NAME": "under-test",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        }
        wrapper = str(PROJECT / "shared" / "lambda_stream" / "exec-wrapper")
        command = limits.pop("command", (wrapper, sys.executable, "bootstrap"))
        settings = {"timeout_s": WAIT_S, "max_environments": 10, "has_failure_destination": True, **limits}
        self._function = FunctionDefinition("under-test", folder, command, variables, **settings)
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.failures: queue.SimpleQueue[tuple[bytes, str, str]] = queue.SimpleQueue()
        self._functions: list[RemoteFunction] = []
        self.on_failure: OnFailure = self._keep  # a test may replace it
        self._background: list[concurrent.futures.Future[None]] = []
        self._control = socket.create_server(("127.0.0.1", 0))
        self._control.settimeout(WAIT_S)
        self._control_port = self._control.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def controlled(self, path: str = "/") -> str:
        """Return a URL whose answer the test controls."""
        return f"{self.url}{path}?control={self._control_port}"

    def invoked(self) -> RemoteFunction:
        """Wait for the next invocation that reaches a function."""
        function = RemoteFunction(self._control.accept()[0])
        self._functions.append(function)
        return function

    def line_with(self, text: str) -> str:
        """Wait for a line of terminal output that contains `text`."""
        while text not in (line := self.lines.get(timeout=WAIT_S)):
            pass
        return line

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()` is true; it is called on the emulator's event loop."""

        async def look() -> None:
            while not holds():
                await asyncio.sleep(0.01)

        self._run(look())

    def accepted_from(self, caller: socket.socket) -> socket.socket:
        """The function URL's end of this connection."""
        connections = self._url_service._server.server_state.connections
        accepted: list[socket.socket] = [
            protocol.transport.get_extra_info("socket") for protocol in connections
        ]
        (found,) = [end for end in accepted if end.getpeername() == caller.getsockname()]
        return found

    def is_holding_back(self) -> bool:
        """Whether a slow caller's answer fills the emulator's buffer (to be asked on its own loop)."""
        under_way = [environment.current for environment in self.pool._running if environment.current]
        return any(invocation._waiting_bytes >= invocation.max_waiting_bytes for invocation in under_way)

    def time_out(self) -> None:
        """Let the time of the invocation that is under way run out now."""
        (environment,) = [environment for environment in self.pool._running if environment.current]
        self._loop.call_soon_threadsafe(environment._time_out, self._function.timeout_s)

    def in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on the emulator's event loop until the emulator ends."""
        self._background.append(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            for task in self._background:
                task.cancel()
            self._run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            for function in self._functions:
                function.close()
            self._control.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    async def _start(self) -> None:
        self._guard = OrphanGuard()
        await self._guard.start()
        self.pool = EnvironmentPool(self._function, self._guard, self.lines.put, **self._pool_settings)
        function_url = FunctionUrl(self.pool.invoke, self.lines.put)
        self._url_service = HttpService(function_url, listening_socket(), partial(allows, ()))
        self._invoke_api = InvokeApi(
            {"under-test": self.pool}, self._failed_for_good, self.lines.put, retry_delays_s=(0.01, 0.01)
        )
        self._invoke_service = HttpService(self._invoke_api.app, listening_socket())
        self.url, self.invoke_url = self._url_service.url, self._invoke_service.url
        self._url_service.start()
        self._invoke_service.start()

    async def _stop(self) -> None:
        await self.pool.stop()
        await self._url_service.stop()
        await self._invoke_api.stop()
        await self._invoke_service.stop()
        await self._guard.stop()

    async def _failed_for_good(self, payload: bytes, request_id: str, failure: InvocationError) -> None:
        await self.on_failure(payload, request_id, failure)

    async def _keep(self, payload: bytes, request_id: str, failure: InvocationError) -> None:
        self.failures.put((payload, request_id, f"{failure.error_type}: {failure.message}"))


@contextlib.contextmanager
def raw_http(url: str, request: bytes) -> Iterator[socket.socket]:
    """Send a raw request and yield the connection, to see what an HTTP client would hide."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        connection.sendall(request)
        yield connection
