"""`@streaming_handler`: one handler, streamed by this runtime and buffered by the stock one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from .error_report import ErrorReport
from .invocation_context import LambdaContext
from .response_stream import ResponseStream, takes_cookies_as_headers

StreamingFunction = Callable[[Any, ResponseStream, LambdaContext], None]


class StreamingHandler:
    """A handler that streams. `handle` is the decorated function; called with (event, context) it buffers.

    `streams` says of an event whether its answer is streamed. A decorator above `@streaming_handler` makes a
    plain handler of it, which answers buffered.
    """

    def __init__(self, handle: StreamingFunction, streams: Callable[[Any], bool]) -> None:
        functools.update_wrapper(self, handle)
        self.handle = handle
        self.streams = streams

    def __call__(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Answer with the response object of function URLs, API Gateway and load balancers, unstreamed.

        Callbacks run before it returns. Raises what the handler raises, and ResponseAborted after an abort.
        """
        body = _BufferedBody()
        stream = ResponseStream(body, cookies_as_headers=takes_cookies_as_headers(event))
        try:
            self.handle(event, stream, context)
            stream.finish()
        finally:
            stream.run_after_response()
        if stream.aborted:
            raise stream.aborted
        return _with_lists(body.response()) if _wants_lists(event) else body.response()


def streaming_handler(
    handle: StreamingFunction, *, streams: Callable[[Any], bool] = lambda event: True
) -> StreamingHandler:
    """Make a Lambda handler of `handle(event, stream, context)`.

    The argument order is that of AWS's own `awslambda.streamifyResponse` handlers in Node.

    Args:
        streams: whether the answer to an event is streamed; otherwise it is one response object, as the stock
            runtime would send it. Only function URLs and API Gateway read the prelude of a streamed answer:
            for a load balancer, a schedule or `aws lambda invoke` it is no JSON.
    """
    return StreamingHandler(handle, streams)


def _wants_lists(event: Any) -> bool:
    """Whether a load balancer sent it whose target group has multi-value headers: it refuses plain ones."""
    return isinstance(event, Mapping) and "multiValueHeaders" in event and "headers" not in event


def _with_lists(response: dict[str, Any]) -> dict[str, Any]:
    lists = {name: [value] for name, value in response.pop("headers").items()}
    return {**response, "multiValueHeaders": {**lists, **response.get("multiValueHeaders", {})}}


class _BufferedBody:
    """Holds an answer until it is whole."""

    def __init__(self) -> None:
        self._prelude: dict[str, Any] = {}
        self._body = bytearray()

    def open(self, prelude: Mapping[str, Any]) -> None:
        self._prelude = dict(prelude)

    def write(self, data: bytes, give_up_at: float) -> None:
        self._body += data

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """Nothing to send; a broken-off answer is raised instead of returned."""

    def settle(self, give_up_at: float) -> None:
        """Nothing to wait for."""

    def response(self) -> dict[str, Any]:
        """The answer as one object: text if it is UTF-8, otherwise base64."""
        try:
            return {**self._prelude, "body": self._body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            from base64 import b64encode

            return {**self._prelude, "body": b64encode(self._body).decode(), "isBase64Encoded": True}
