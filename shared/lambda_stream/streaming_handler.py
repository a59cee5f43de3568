"""`@streaming_handler`: one handler, streamed by this runtime and buffered by the stock one."""

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
    """A handler that streams. `handle` is the decorated function; called with (event, context) it buffers.

    `streams` says of an event whether its answer is streamed. A decorator above `@streaming_handler` makes a
    plain handler of it, which answers buffered, for the decorator may change what it returns. `hidden_by` is
    set by this package's runtime when it serves another handler: then the first buffered answer is warned of,
    for nothing but that other handler can have asked.
    """

    hidden_by: str | None = None

    def __init__(self, handle: StreamingFunction, streams: Callable[[Any], bool]) -> None:
        functools.update_wrapper(self, handle)
        self.handle = handle
        self.streams = streams

    def __call__(self, event: Any, context: LambdaContext) -> dict[str, Any]:
        """Answer with the response object of function URLs, API Gateway and load balancers, unstreamed.

        A REST API's has no field `cookies`: buffered, API Gateway knows only its own.
        Callbacks run before it returns. Raises what the handler raises, and ResponseAborted after an abort.
        """
        self._warn_if_hidden()
        as_headers = takes_cookies_as_headers(event)
        body = _BufferedBody()
        stream = ResponseStream(body, cookies_as_headers=as_headers)
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
                "handler %s calls %s.%s with (event, context). Let the handler be the streaming one itself, "
                "and decorate a function that it calls: traced(event, context, stream=stream)",
                StreamingHandler.hidden_by,
                getattr(self, "__module__", ""),
                getattr(self, "__qualname__", ""),
            )
            StreamingHandler.hidden_by = None


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
