"""Response streaming for Python on AWS Lambda.

    from lambda_stream import streaming_handler

    @streaming_handler
    def handle(event, stream, context):
        stream.start(200, {"content-type": "text/plain"})
        stream.write(b"hello ")
        stream.write(b"world")

Set AWS_LAMBDA_EXEC_WRAPPER to this folder's `exec-wrapper` and the function URL's invoke mode to
RESPONSE_STREAM.

The package depends on the standard library only. What a handler sees: `streaming_handler`, `response_stream`,
`invocation_context`, `watchdog`. What serves it: `runtime` (the loop), `runtime_api` on `http_exchange` (the
wire), `empty_bodies`, `error_report`, `checked_values`, and `environment/` (log format, SnapStart, several
processes).
"""

from __future__ import annotations

from .invocation_context import LambdaContext
from .response_stream import CallerGoneError, ResponseAbortedError, ResponseStream
from .streaming_handler import StreamingHandler, streaming_handler
from .watchdog import Watchdog

__all__ = [
    "CallerGoneError",
    "LambdaContext",
    "ResponseAbortedError",
    "ResponseStream",
    "StreamingHandler",
    "Watchdog",
    "streaming_handler",
]
