"""As many environments as there are concurrent requests, up to a limit, as Lambda has them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from local.lambda_service.environment import Environment, FunctionDefinition
from local.lambda_service.invocation import Invocation, InvocationFailed
from local.processes.child_process import OrphanGuard

# Lambda refuses at once what is over its limit (1000 by default). Ten are soon reached by a test of
# concurrency, so here a request waits as long as an ordinary answer takes, by when one has come free.
MAX_WAIT_S = 30.0
# Only so that a next request finds a warm environment again, so it may wait; and a function whose process
# ends as soon as it has come up does not keep the machine busy.
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
        self._changed = asyncio.Event()  # an environment has become idle or has ended
        self.first_is_settled = asyncio.Event()

    def start(self) -> None:
        """Start one environment, so that the first request finds it warm."""
        self._start_one()

    def invoke(self, invocation: Invocation) -> None:
        """Take an invocation; its answer, or its failure, comes through the invocation itself."""
        if self._stopping:
            invocation.fail(_stopping())
        elif self._idle:
            self._idle.popleft().invoke(invocation)
        else:
            self._waiting.append(invocation)
            asyncio.get_running_loop().call_later(self._max_wait_s, self._throttle, invocation)
            self._start_missing()

    async def answer(self, invocation: Invocation) -> bytes:
        """Take an invocation and wait for its whole answer. Raises InvocationFailed."""
        self.invoke(invocation)
        await invocation.mode()
        return b"".join([part async for part in invocation.parts()])

    async def break_off(self) -> None:
        """Take no more, and break off what is being answered; return when every runtime is done with it.

        To a runtime its caller has gone, which is no reason for it not to finish its work.
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
        """End every process; what was under way fails."""
        self._refuse_more()
        tasks = list(self._running.values())
        await asyncio.gather(*(environment.stop() for environment in list(self._running)))
        await asyncio.gather(*tasks)

    def _refuse_more(self) -> None:
        self._stopping = True
        while self._waiting:
            self.invoke(self._waiting.popleft())

    # What environments tell their owner.

    def became_idle(self, environment: Environment) -> None:
        """Give it the request that has waited longest, or let it wait."""
        self.first_is_settled.set()
        self._changed.set()
        self._drop_abandoned()
        if self._waiting:
            environment.invoke(self._waiting.popleft())
        else:
            self._idle.append(environment)

    def ended(self, environment: Environment) -> None:
        """Replace it if it had served; if it never came up, that is the answer to whom it was started for."""
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
            # One request for each failed start, so that a function that cannot load is not started for ever.
            self._waiting.popleft().fail(environment.init_failure)
        self._start_missing()

    def _keep_one(self) -> None:
        if not self._running and not self._stopping:
            self._start_one()

    def _start_missing(self) -> None:
        self._drop_abandoned()
        starting = sum(not environment.initialised for environment in self._running)
        room = self.function.max_environments - len(self._running)
        for _ in range(min(len(self._waiting) - starting, room)):
            self._start_one()

    def _start_one(self) -> None:
        self._numbers += 1
        environment = Environment(self.function, self._numbers, self, self._guard, self._print_line)
        self._running[environment] = asyncio.create_task(environment.run())

    def _throttle(self, invocation: Invocation) -> None:
        if invocation in self._waiting:
            self._waiting.remove(invocation)
            invocation.fail(InvocationFailed("throttled", "TooManyRequestsException", "Rate Exceeded."))

    def _drop_abandoned(self) -> None:
        self._waiting = deque(invocation for invocation in self._waiting if not invocation.abandoned)


def _stopping() -> InvocationFailed:
    return InvocationFailed("exit", "Runtime.Shutdown", "the local stack is stopping")
