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

StreamingFunction = Callable[[dict[str, Any], ResponseStream, LambdaContext], None]


class StreamingHandler:
    """A handler that streams. `handle` is the decorated function; called with (event, context) it buffers.

    A decorator above `@streaming_handler` makes a plain handler of it, which answers buffered, for the
    decorator may change what it returns. `hidden_by` is set by this package's runtime when it serves another
    handler: then the first buffered answer is warned of, for nothing but that other handler can have asked.
    """

    hidden_by: str | None = None

    def __init__(self, handle: StreamingFunction) -> None:
        functools.update_wrapper(self, handle)
        self.handle = handle

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer with the response object of function URLs and API Gateway, for a runtime that cannot stream.

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
        return response

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


def streaming_handler(handle: StreamingFunction) -> StreamingHandler:
    """Make a Lambda handler of `handle(event, stream, context)`.

    The argument order is that of AWS's own `awslambda.streamifyResponse` handlers in Node.
    """
    return StreamingHandler(handle)


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
