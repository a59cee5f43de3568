"""Lambda's Invoke API, by which one function calls another.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.aws.services import AwsServicesError, function_arn
from local.lambda_service.environment_pool import EnvironmentPool
from local.lambda_service.invocation import MAX_PAYLOAD_BYTES, Invocation, InvocationError

MAX_EVENT_BYTES = {"RequestResponse": MAX_PAYLOAD_BYTES, "Event": 1024 * 1024}
RETRY_DELAYS_S = (1.0, 2.0)  # Lambda also retries twice, but after one and two minutes

OnFailure = Callable[[bytes, str, InvocationError], Awaitable[None]]


class InvokeApi:
    """Routes invocations by function name; queues asynchronous ones until they succeed or fail for good.

    `on_failure(payload, request id, failure)` is called for an event that failed for good, if its function
    has a failure destination; it may raise AwsServicesError.
    """

    def __init__(
        self,
        pools: Mapping[str, EnvironmentPool],
        on_failure: OnFailure,
        print_line: Callable[[str], None],
        retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        self._pools = pools
        self._on_failure = on_failure
        self._print_line = print_line
        self._retry_delays_s = retry_delays_s
        self._queued: dict[asyncio.Task[None], tuple[EnvironmentPool, Invocation]] = {}
        self._stopping = False
        path = "/2015-03-31/functions/{name}/invocations"
        self.app = Starlette(routes=[Route(path, self._invoke, methods=["POST"])])

    def queue(
        self, pool: EnvironmentPool, invocation: Invocation, on_delivered: Callable[[], None] | None = None
    ) -> None:
        """Invoke asynchronously; `on_delivered` is called when the function has succeeded."""
        task = asyncio.create_task(self._deliver(pool, invocation, on_delivered))
        self._queued[task] = (pool, invocation)
        task.add_done_callback(self._queued.pop)

    async def settle(self) -> None:
        """Wait until nothing is queued."""
        while self._queued:
            await asyncio.wait(self._queued)

    async def stop(self) -> list[Invocation]:
        """Take no more invocations and cancel the queued ones.

        Returns those to keep for a later run: the others, without a failure destination, are printed.
        """
        self._stopping = True
        queued = dict(self._queued)
        for task in queued:
            task.cancel()
        await asyncio.gather(*queued, return_exceptions=True)
        unfinished = [of for task, of in queued.items() if task.cancelled()]
        for pool, invocation in unfinished:
            if not pool.function.has_failure_destination:
                self._not_kept(pool, invocation)
        return [invocation for pool, invocation in unfinished if pool.function.has_failure_destination]

    async def _invoke(self, request: Request) -> Response:
        # A function is given by its name, by name:qualifier, or by its ARN.
        name = request.path_params["name"].removeprefix(function_arn(""))
        pool = self._pools.get(name.partition(":")[0])
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        payload = await request.body()
        if self._stopping:
            return _error(503, "ServiceException", "the local stack is stopping")
        if pool is None:
            return _error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if kind == "DryRun":
            return Response(status_code=204)
        if kind not in MAX_EVENT_BYTES:
            return _error(400, "InvalidParameterValueException", f"unknown invocation type {kind}")
        if len(payload) > MAX_EVENT_BYTES[kind]:
            limit = f"smaller than {MAX_EVENT_BYTES[kind]} bytes for the InvokeFunction operation"
            return _error(413, "RequestTooLargeException", f"Request must be {limit}")
        try:
            json.loads(payload or b"{}")
        except (ValueError, RecursionError) as error:  # the latter: nested too deeply
            message = f"Could not parse request body into json: {error}"
            return _error(400, "InvalidRequestContentException", message)
        invocation = Invocation(payload or b"{}")
        headers = {"x-amzn-RequestId": invocation.request_id}
        if kind == "Event":
            self.queue(pool, invocation)
            return Response(status_code=202, headers=headers)
        try:
            return Response(await pool.answer(invocation), media_type="application/json", headers=headers)
        except InvocationError as failure:
            if failure.kind == "throttled":
                return _error(429, failure.error_type, failure.message)
            body = {"errorType": failure.error_type, "errorMessage": failure.message}
            return JSONResponse(body, headers=headers | {"X-Amz-Function-Error": "Unhandled"})

    async def _deliver(
        self, pool: EnvironmentPool, first: Invocation, on_delivered: Callable[[], None] | None
    ) -> None:
        """Invoke asynchronously: retry a failure with the same request id, then give up."""
        name = pool.function.name
        for attempt, delay_s in enumerate((*self._retry_delays_s, None), start=1):
            try:
                await self._attempt(pool, first)
            except InvocationError as failure:
                self._print_line(f"[invoke] {name} failed, attempt {attempt}: {failure}")
                if delay_s is None:
                    await self._give_up(pool, first, failure)
                else:
                    await asyncio.sleep(delay_s)
            else:
                if on_delivered:
                    on_delivered()
                return

    async def _attempt(self, pool: EnvironmentPool, first: Invocation) -> None:
        """Invoke once. A throttled request does not count: Lambda keeps the event for hours and retries."""
        while True:
            try:
                await pool.answer(Invocation(first.payload, request_id=first.request_id))
            except InvocationError as failure:
                if failure.kind != "throttled":
                    raise
            else:
                return

    async def _give_up(self, pool: EnvironmentPool, invocation: Invocation, failure: InvocationError) -> None:
        label = f"[invoke] {pool.function.name} {invocation.request_id}: given up"
        if not pool.function.has_failure_destination:
            self._not_kept(pool, invocation)
            return
        try:
            await self._on_failure(invocation.payload, invocation.request_id, failure)
        except AwsServicesError as error:
            lost = invocation.payload.decode(errors="replace")
            self._print_line(f"{label}, and its failure destination failed too: {error}: {lost}")
        else:
            self._print_line(f"{label}, sent to its failure destination")

    def _not_kept(self, pool: EnvironmentPool, invocation: Invocation) -> None:
        name = pool.function.name
        self._print_line(f"[invoke] {name} {invocation.request_id}: given up and discarded")


def _error(status: int, error_type: str, message: str) -> Response:
    body = {"Type": "User", "Message": message}
    return JSONResponse(body, status, headers={"x-amzn-ErrorType": error_type})
