"""AWS on loopback, without faults: moto's server, and Lambda's Invoke with real processes behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import boto3
from botocore.config import Config

from local.aws.moto_server import MotoServer
from local.lambda_service.environment import FunctionDefinition
from local.lambda_service.environment_pool import EnvironmentPool
from local.lambda_service.invocation import InvocationError
from local.lambda_service.invocation_record import failure_record
from local.lambda_service.invoke_api import InvokeApi
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from tests.support.runtime.local_stack import free_ports

START_LIMIT_S = 60.0
T = TypeVar("T")

OnFailure = Callable[[str], None]  # called with Lambda's record of an invocation that failed for good


@dataclass
class Kills:
    """How many processes were killed, and how many of them during an invocation."""

    total: int = 0
    under_way: int = 0


class LoopbackAws:
    """`url` and `invoke_url` are served while the block lasts, by an event loop on its own thread."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self.kills = Kills()
        self._print_line = print_line
        self._pools: dict[str, EnvironmentPool] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-aws")
        self._on_exit = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    def client(self, service: str, url: str = "") -> Any:
        """A boto3 client of moto's server, or of `url`, whatever the environment says."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=url or self.url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(read_timeout=900, retries={"total_max_attempts": 1}, proxies={}),
        )

    def serve(
        self, functions: Sequence[FunctionDefinition], on_failure: OnFailure, retry_delays_s: Sequence[float]
    ) -> None:
        """Serve these functions; `on_failure` is the failure destination of the first."""
        self._run(self._serve(functions, on_failure, retry_delays_s))

    def asynchronous_invocations(self) -> int:
        """How many are in progress: waiting, being served, or waiting for a retry."""
        return len(self._invoke_api._queued)

    def kill_at_random(self, name: str, mean_pause_s: float, seed: int) -> None:
        """From now on, kill (SIGKILL) processes of this function at random moments; `kills` counts them."""
        self._killing = asyncio.run_coroutine_threadsafe(self._kill(name, mean_pause_s, seed), self._loop)

    def stop_killing(self) -> None:
        """Stop killing processes."""
        self._killing.cancel()

    def _end(self) -> None:
        try:
            self._run(self._on_exit.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_LIMIT_S)

    async def _start(self) -> None:
        self._guard = OrphanGuard()
        await self._guard.start()
        self._on_exit.push_async_callback(self._guard.stop)
        self._invoke_socket = listening_socket()
        self._on_exit.callback(self._invoke_socket.close)
        self.invoke_url = f"http://127.0.0.1:{self._invoke_socket.getsockname()[1]}"
        port = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        moto = MotoServer(self._guard, port)
        self._on_exit.push_async_callback(moto.stop)
        await moto.start(os.environ["PATH"])
        await moto.wait_until_listening()

    async def _serve(
        self, functions: Sequence[FunctionDefinition], on_failure: OnFailure, retry_delays_s: Sequence[float]
    ) -> None:
        async def keep(payload: bytes, request_id: str, failure: InvocationError) -> None:
            attempts = len(retry_delays_s) + 1
            record = failure_record(functions[0].arn, payload, request_id, failure, attempts)
            await asyncio.to_thread(on_failure, record)

        for function in functions:
            pool = EnvironmentPool(function, self._guard, self._print_line)
            self._pools[function.name] = pool
            self._on_exit.push_async_callback(pool.stop)
        self._invoke_api = InvokeApi(self._pools, keep, self._print_line, retry_delays_s)
        service = HttpService(self._invoke_api.app, self._invoke_socket)
        self._on_exit.push_async_callback(service.stop)
        self._on_exit.push_async_callback(self._invoke_api.stop)
        service.start()

    async def _kill(self, name: str, mean_pause_s: float, seed: int) -> None:
        draw = random.Random(seed)
        while True:
            await asyncio.sleep(draw.expovariate(1 / mean_pause_s))
            # Only those that start or serve: one that is idle has nothing to lose.
            at_work = [
                environment
                for environment in self._pools[name]._running
                if environment._process.is_running
                and (environment.current is not None or not environment.initialised)
            ]
            if at_work:
                victim = draw.choice(at_work)
                self.kills.total += 1
                self.kills.under_way += victim.current is not None and not victim.current.is_over
                victim._process.kill()
