"""One environment for each concurrent request, up to a limit, as on Lambda."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from local.lambda_service.environment import Environment, FunctionDefinition
from local.lambda_service.invocation import Invocation, InvocationError
from local.processes.child_process import OrphanGuard

# Lambda refuses requests over its limit (1000 by default) at once. The limit here is ten, which a test of
# concurrency soon reaches, so a request waits about as long as an answer takes: then one is free again.
MAX_WAIT_S = 30.0
# An environment that ends is replaced so that the next request finds a warm one, which is not urgent. The
# pause keeps a function whose process ends right after its start from using all of the machine.
RESTART_PAUSE_S = 1.0


class EnvironmentPool:
    """Hands each invocation to an idle environment, or starts one for it."""

    def __init__(
        self,
        function: FunctionDefinition,
        guard: OrphanGuard,
        print_line: Callable[[str], None],
        max_wait_s: float = MAX_WAIT_S,
        restart_pause_s: float = RESTART_PAUSE_S,
    ) -> None:
        self.function = function
        self._guard = guard
        self._print_line = print_line
        self._max_wait_s = max_wait_s
        self._restart_pause_s = restart_pause_s
        self._running: dict[Environment, asyncio.Task[None]] = {}
        self._idle: deque[Environment] = deque()  # the longest idle first
        self._waiting: deque[Invocation] = deque()
        self._numbers = 0
        self._stopping = False
        self._changed = asyncio.Event()  # set when an environment becomes idle or ends
        self.first_is_settled = asyncio.Event()

    def start(self) -> None:
        """Start one environment, so that the next request finds it warm."""
        self._numbers += 1
        environment = Environment(
            self.function, self._numbers, self._became_idle, self._ended, self._guard, self._print_line
        )
        self._running[environment] = asyncio.create_task(environment.run())

    def invoke(self, invocation: Invocation) -> None:
        """Take an invocation, which then carries its answer or its failure."""
        if self._stopping:
            invocation.fail(_stopping())
        elif self._idle:
            self._idle.popleft().invoke(invocation)
        else:
            self._waiting.append(invocation)
            asyncio.get_running_loop().call_later(self._max_wait_s, self._throttle, invocation)
            self._start_missing()

    async def answer(self, invocation: Invocation) -> bytes:
        """Take an invocation and wait for the whole answer. Raises InvocationError."""
        self.invoke(invocation)
        await invocation.mode()
        return b"".join([part async for part in invocation.parts()])

    async def break_off(self) -> None:
        """Take no more invocations, break off the answers in progress, and wait until all runtimes are done.

        A runtime sees that its caller has gone, and finishes its work (such as the transcript).
        """
        self._refuse_more()
        under_way = [environment.current for environment in self._running if environment.current]
        for invocation in under_way:
            if not invocation.is_over:
                invocation.fail(_stopping())
                invocation.abandon()
        while any(environment.current for environment in self._running):
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """End every process; the invocations in progress fail."""
        self._refuse_more()
        tasks = list(self._running.values())
        await asyncio.gather(*(environment.stop() for environment in list(self._running)))
        await asyncio.gather(*tasks)

    def _refuse_more(self) -> None:
        self._stopping = True
        while self._waiting:
            self.invoke(self._waiting.popleft())

    def _became_idle(self, environment: Environment) -> None:
        """Give the environment the request that has waited longest, if any."""
        self.first_is_settled.set()
        self._changed.set()
        self._drop_abandoned()
        if self._waiting:
            environment.invoke(self._waiting.popleft())
        else:
            self._idle.append(environment)

    def _ended(self, environment: Environment) -> None:
        """Replace an environment that had started. One that could not start fails one waiting request."""
        self.first_is_settled.set()
        self._changed.set()
        del self._running[environment]
        if environment in self._idle:
            self._idle.remove(environment)
        if self._stopping:
            return
        if environment.initialised:
            asyncio.get_running_loop().call_later(self._restart_pause_s, self._keep_one)
        elif self._waiting and environment.init_failure:
            # One request fails for each failed start: else a function that cannot load is started for ever.
            self._waiting.popleft().fail(environment.init_failure)
        self._start_missing()

    def _keep_one(self) -> None:
        if not self._running and not self._stopping:
            self.start()

    def _start_missing(self) -> None:
        self._drop_abandoned()
        starting = sum(not environment.initialised for environment in self._running)
        room = self.function.max_environments - len(self._running)
        for _ in range(min(len(self._waiting) - starting, room)):
            self.start()

    def _throttle(self, invocation: Invocation) -> None:
        if invocation in self._waiting:
            self._waiting.remove(invocation)
            invocation.fail(InvocationError("throttled", "TooManyRequestsException", "Rate Exceeded."))

    def _drop_abandoned(self) -> None:
        self._waiting = deque(invocation for invocation in self._waiting if not invocation.abandoned)


def _stopping() -> InvocationError:
    return InvocationError("exit", "Runtime.Shutdown", "the local stack is stopping")
