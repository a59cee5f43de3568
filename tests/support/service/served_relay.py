"""The streaming function in real runtime processes behind its URL, with a companion that only records.

Without SQS and without moto's server, which takes more time for an answer than all the rest.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from local.lambda_service.environment_pool import EnvironmentPool
from local.model.scripted_model import scripted_model
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from local.settings import STREAM_CHAT, LocalSettings, deployed_function
from local.stack import url_service
from tests.support.runtime.local_stack import runtime_processes_of
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

    def line_with(self, text: str) -> None:
        """Wait for a line that contains `text`."""
        give_up_at = time.monotonic() + WAIT_S
        while not any(text in line for line in list(self.lines)):
            assert time.monotonic() < give_up_at, "\n".join(self.lines)
            time.sleep(0.01)

    def transcript(self, request_id: str) -> dict[str, Any]:
        """Wait for the transcript with this id."""
        give_up_at = time.monotonic() + WAIT_S
        while not (found := [document for document in self.transcripts if document["id"] == request_id]):
            assert time.monotonic() < give_up_at, f"no transcript {request_id}"
            time.sleep(0.01)
        return found[0]

    @property
    def runtime_processes(self) -> list[int]:
        """The ids of the runtime processes (Linux only: reads /proc)."""
        return runtime_processes_of(os.getpid(), f"AWS_ENDPOINT_URL_LAMBDA={self._companion.url}")

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
            self._loop.close()
            self._companion.__exit__(kind, error, at)

    async def _start(self) -> None:
        self._model = HttpService(scripted_model(self._settings.words_per_s), listening_socket())
        self._model.start()
        # Without the table of callers, as there is no DynamoDB: keys that are not listed are refused.
        variables = self._settings.chat_variables(f"{self._model.url}/v1") | {
            "AWS_ENDPOINT_URL_LAMBDA": self._companion.url,
            "CALLERS_TABLE_NAME": "",
        }
        function = deployed_function(self._settings, STREAM_CHAT, variables)
        self._guard = OrphanGuard()
        await self._guard.start()
        self._pool = EnvironmentPool(function, self._guard, self.lines.append, max_wait_s=WAIT_S)
        self._service = url_service(self._settings, self._pool, listening_socket(), self.lines.append)
        self.url, self.port = self._service.url, self._service.port
        self._service.start()

    async def _stop(self) -> None:
        await self._pool.stop()
        await self._service.stop()
        await self._model.stop()
        await self._guard.stop()
        await self._loop.shutdown_asyncgens()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)
