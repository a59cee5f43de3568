"""Lambda's synchronous Invoke over a loopback socket; the test sets the answers of the function."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.support.network.loopback_server import LoopbackServer, QuietRequest


@dataclass(frozen=True, slots=True)
class InvokeAnswer:
    """The result of an invocation: success, an error of the function, or of Lambda if `status` is not 200."""

    error_type: str | None = None
    error_message: str = ""
    status: int = 200
    delay_s: float = 0.0


class LambdaInvokeEndpoint(LoopbackServer):
    """`url` is Lambda while the block lasts; `invocations` has the path, type and event of each invocation.

    `answers` has the results by the id of the event; an invocation without one succeeds.
    """

    def __init__(self) -> None:
        super().__init__(_InvokeRequest)
        self.answers: dict[str, InvokeAnswer] = {}
        self.invocations: list[tuple[str, str | None, Any]] = []


class _InvokeRequest(QuietRequest):
    server: LambdaInvokeEndpoint

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.invocations.append((self.path, self.headers.get("x-amz-invocation-type"), event))
        answer = self.server.answers.get(event.get("id"), InvokeAnswer())
        time.sleep(answer.delay_s)
        body = b"null"
        self.send_response(answer.status)
        if answer.error_type is not None:
            error = {"errorMessage": answer.error_message, "errorType": answer.error_type, "stackTrace": []}
            body = json.dumps(error).encode()
            name = "X-Amz-Function-Error" if answer.status == 200 else "X-Amzn-ErrorType"
            self.send_header(name, "Unhandled" if answer.status == 200 else answer.error_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
