"""The streaming function in real runtime processes behind a function URL, with a companion that only records.

Without SQS and without moto's server, so that hundreds of answers are cheap.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from local.function_url.server import FunctionUrl
from local.lambda_service.environment_pool import EnvironmentPool
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from local.settings import STREAM_CHAT, LocalSettings, deployed_function
from tests.support.transcripts.handing_off import InvokeEndpoint

WAIT_S = 60.0
T = TypeVar("T")


class ServedRelay:
    """Serves `url` until the block ends. `lines` holds what the runtime processes have printed.

    Args:
        settings: the function's settings, and those of the local stack.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._companion = InvokeEndpoint(202)
        self._settings = LocalSettings.from_environment({"PATH": os.environ["PATH"], **settings})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def transcripts(self) -> list[dict[str, Any]]:
        """The transcripts that have been handed off so far."""
        return [json.loads(body) for _, _, body in list(self._companion.invoked)]

    def __enter__(self) -> Self:
        self._companion.__enter__()
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            self._run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
            self._companion.__exit__(kind, error, at)

    async def _start(self) -> None:
        # Without the table of callers, as there is no DynamoDB: keys that are not listed are refused.
        variables = self._settings.chat_variables("") | {
            "AWS_ENDPOINT_URL_LAMBDA": self._companion.url,
            "CALLERS_TABLE_NAME": "",
        }
        function = deployed_function(self._settings, STREAM_CHAT, variables)
        self._guard = OrphanGuard()
        await self._guard.start()
        self._pool = EnvironmentPool(function, self._guard, self.lines.append, max_wait_s=WAIT_S)
        self._service = HttpService(FunctionUrl(self._pool.invoke, self.lines.append), listening_socket())
        self.url = self._service.url
        self._service.start()

    async def _stop(self) -> None:
        await self._pool.stop()
        await self._service.stop()
        await self._guard.stop()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)
