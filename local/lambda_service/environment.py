"""One execution environment: a runtime process, its Runtime API, one invocation at a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.aws.services import function_arn
from local.lambda_service.invocation import TRUNCATED, Invocation, InvocationError
from local.lambda_service.runtime_api import EmulatedRuntimeApi
from local.processes.child_process import ChildProcess, OrphanGuard

INIT_LIMIT_S = 30.0  # Lambda allows ten seconds; a laptop that starts ten interpreters at once needs more


@dataclass(frozen=True)
class FunctionDefinition:
    """How a function runs: `command` with `variables` in `folder`, each invocation for at most `timeout_s`.

    `has_failure_destination`: asynchronous invocations that fail for good are kept, not discarded.
    `hands_off_transcripts`: it hands off a transcript after each answer, which is lost if its process dies.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    variables: dict[str, str]
    timeout_s: float
    max_environments: int
    has_failure_destination: bool = False
    hands_off_transcripts: bool = False

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return function_arn(self.name)


class Environment:
    """Starts a runtime process, hands it invocations, limits their time and reports how they failed.

    It calls `on_idle` when its runtime asks for the next invocation, and `on_end` when its process has ended.
    """

    def __init__(
        self,
        function: FunctionDefinition,
        number: int,
        on_idle: Callable[[Environment], None],
        on_end: Callable[[Environment], None],
        guard: OrphanGuard,
        print_line: Callable[[str], None],
    ) -> None:
        self.function_arn = function.arn
        self.current: Invocation | None = None
        self.initialised = False
        self.init_failure: InvocationError | None = None
        self._function = function
        self._on_idle = on_idle
        self._on_end = on_end
        self._label = f"{function.name} {number}"
        self._print_line = print_line
        self._api = EmulatedRuntimeApi(self)
        self._process = ChildProcess(guard, self.report)
        self._assigned: asyncio.Future[Invocation] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._has_failed = False

    async def run(self) -> None:
        """Start the process and wait for its end."""
        try:
            port = await self._api.start()
            runtime_variables = {
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
                "AWS_LAMBDA_LOG_STREAM_NAME": time.strftime("%Y/%m/%d/[$LATEST]") + os.urandom(16).hex(),
            }
            variables = self._function.variables | runtime_variables
            self._set_timer(INIT_LIMIT_S)
            await self._process.start(self._function.command, variables, self._function.folder)
            if self._stopping:  # stop() was called while the process was being started
                await self._process.stop()
            code = await self._process.wait()
            message = f"the runtime ended with exit code {code}"
            self._fail(InvocationError("exit", "Runtime.ExitError", message))
        except OSError as error:
            self._fail(InvocationError("exit", "Runtime.InvalidEntrypoint", str(error)))
        finally:
            self._clear_timer()
            self._on_end(self)  # first: a process that is gone must get no more invocations
            await self._api.close()

    def invoke(self, invocation: Invocation) -> None:
        """Hand an event to the waiting runtime."""
        assert self._assigned is not None
        invocation.begin(self._function.timeout_s)
        self.current = invocation
        self._set_timer(self._function.timeout_s)
        self._assigned.set_result(invocation)

    async def stop(self) -> None:
        """End the process, if it was started."""
        self._stopping = True
        await self._process.stop()

    # RuntimeHost: what the Runtime API calls.

    async def next_invocation(self) -> Invocation:
        """The runtime has finished its invocation, if any, and waits for the next."""
        self._clear_timer()
        self.initialised = True
        self.current = None
        self._assigned = asyncio.get_running_loop().create_future()
        self._on_idle(self)
        return await self._assigned

    def init_failed(self, error_type: str, message: str) -> None:
        """The function could not be loaded; the process is about to end."""
        self.init_failure = InvocationError("error", error_type, message)
        self.report(f"init failed: {error_type}: {message}")

    def report(self, line: str) -> None:
        """Print a line under this environment's label."""
        self._print_line(f"[{self._label}] {line}")

    # Time.

    def _set_timer(self, limit_s: float) -> None:
        self._clear_timer()
        self._timer = asyncio.get_running_loop().call_later(limit_s, self._time_out, limit_s)

    def _clear_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _time_out(self, limit_s: float) -> None:
        message = f"Task timed out after {limit_s:.2f} seconds"
        self._fail(InvocationError("timeout", "Sandbox.Timedout", message))
        self._process.kill()

    def _fail(self, failure: InvocationError) -> None:
        """Let the current invocation fail. The first failure counts."""
        if self.current is not None and not self._has_failed:
            self.report(f"{failure.message}: {self._fate_of(self.current)}")
        elif not self._stopping:
            self.report(failure.message)
        self._has_failed = True
        if self.current is not None:
            self.current.fail(failure)
        elif self.init_failure is None:
            self.init_failure = failure

    def _fate_of(self, invocation: Invocation) -> str:
        """What is known of an invocation that this environment will not finish."""
        sent = f"request {invocation.request_id}, {invocation.sent_bytes} bytes of its answer had been sent"
        if not self._function.hands_off_transcripts:
            return sent
        failure = invocation.failure
        if invocation.is_over and (failure is None or failure.error_type != TRUNCATED):
            return f"{sent} and it had ended; whether its transcript was handed off is unknown"
        return f"{sent}; it will have no transcript"
