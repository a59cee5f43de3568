"""`@streaming_handler`: the same handler streams under this runtime and is buffered under the stock one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from .error_report import ErrorReport
from .invocation_context import LambdaContext
from .response_stream import ResponseStream, takes_cookies_as_headers

_log = logging.getLogger("lambda_stream")

StreamingFunction = Callable[[Any, ResponseStream, LambdaContext], None]


class StreamingHandler:
    """A streaming handler: `handle` is the decorated function. Called with (event, context), it buffers.

    `streams(event)` says whether the answer to `event` is streamed. Wrapped by another decorator, the handler
    is a plain one and answers buffered, because the decorator may change what it returns. This package's
    runtime sets `hidden_by` if the handler that it serves is not a streaming one: only that handler can then
    be asking for a buffered answer, and the first such answer is logged as a warning.
    """

    hidden_by: str | None = None

    def __init__(self, handle: StreamingFunction, streams: Callable[[Any], bool]) -> None:
        functools.update_wrapper(self, handle)
        self.handle = handle
        self.streams = streams

    def __call__(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Return the whole answer as the response object of function URLs, API Gateway and load balancers.

        For a REST API the field `cookies` is left out: in a buffered response, API Gateway does not know it.
        Callbacks run before it returns. Raises what the handler raises, and ResponseAbortedError after an
        abort.
        """
        self._warn_if_hidden()
        as_headers = takes_cookies_as_headers(event)
        body = _BufferedBody()
        stream = ResponseStream(body, cookies_as_headers=as_headers, buffered=True)
        try:
            self.handle(event, stream, context)
            stream.finish()
        finally:
            stream.run_after_response()
        if stream.aborted:
            raise stream.aborted
        response = body.response()
        if as_headers:
            del response["cookies"]
        return _with_lists(response) if _wants_lists(event) else response

    def _warn_if_hidden(self) -> None:
        if StreamingHandler.hidden_by is not None:
            _log.warning(
                "a decorator above @streaming_handler hides it, and answers are buffered: the function's "
                "handler %s calls %s.%s with (event, context). Make the streaming handler itself the "
                "function's handler, and decorate a function that it calls: "
                "traced(event, context, stream=stream)",
                StreamingHandler.hidden_by,
                getattr(self, "__module__", ""),
                getattr(self, "__qualname__", ""),
            )
            StreamingHandler.hidden_by = None


def streaming_handler(
    handle: StreamingFunction, *, streams: Callable[[Any], bool] = lambda event: True
) -> StreamingHandler:
    """Turn `handle(event, stream, context)` into a Lambda handler.

    The argument order is that of AWS's own `awslambda.streamifyResponse` handlers in Node.

    Args:
        handle: writes the answer to `stream`; what it returns is ignored.
        streams: whether the answer to an event is streamed. If not, it is sent as one response object, as
            under the stock runtime. Only function URLs and API Gateway understand the prelude of a streamed
            answer; a load balancer, a schedule or `aws lambda invoke` expects JSON.
    """
    return StreamingHandler(handle, streams)


def _wants_lists(event: Any) -> bool:
    """Whether `event` is from a load balancer with multi-value headers enabled: it refuses plain ones."""
    return isinstance(event, Mapping) and "multiValueHeaders" in event and "headers" not in event


def _with_lists(response: dict[str, Any]) -> dict[str, Any]:
    lists = {name: [value] for name, value in response.pop("headers").items()}
    return {**response, "multiValueHeaders": {**lists, **response.get("multiValueHeaders", {})}}


class _BufferedBody:
    """A ResponseBody that collects the whole answer."""

    def __init__(self) -> None:
        self._prelude: dict[str, Any] = {}
        self._body = bytearray()

    def open(self, prelude: Mapping[str, Any]) -> None:
        self._prelude = dict(prelude)

    def write(self, data: bytes, give_up_at: float) -> None:
        self._body += data

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """Do nothing: an aborted answer is raised by the handler's `__call__`."""

    def settle(self, give_up_at: float) -> None:
        """Do nothing: there is no acknowledgement."""

    def response(self) -> dict[str, Any]:
        """Return the answer as one object: as text if the body is UTF-8, otherwise in base64."""
        try:
            return {**self._prelude, "body": self._body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            from base64 import b64encode

            return {**self._prelude, "body": b64encode(self._body).decode(), "isBase64Encoded": True}
