"""A proxy in front of moto's SQS that records calls and fails as SQS does: throttled, silent, by entry."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.support.network.loopback_server import LoopbackServer, QuietRequest

Refuse = Callable[[str, dict[str, Any]], str | None]  # (operation, entry) → the code to refuse it with


class SqsFront(LoopbackServer):
    """`url` is SQS while the block lasts. `calls` has each operation with its request.

    `throttled` has, by the name of the queue, the number of first messages to refuse. Messages for the queues
    in `held` wait until `released` is set; `holding` is set when one waits. `refuse` returns the code with
    which an entry of a batch fails and does not reach moto, or None.
    """

    def __init__(self, moto_url: str) -> None:
        super().__init__(_SqsFrontRequest)
        self.moto = urlsplit(moto_url).netloc
        self.throttled: dict[str, int] = {}
        self.held: set[str] = set()
        self.holding, self.released = threading.Event(), threading.Event()
        self.refuse: Refuse = lambda operation, entry: None
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.released.set()
        super().__exit__(kind, error, at)

    @property
    def sends(self) -> Counter[str]:
        """The number of messages sent to each queue, by its name."""
        return Counter(queue_of(request) for request in self.calls_of("SendMessage"))

    def calls_of(self, operation: str) -> list[dict[str, Any]]:
        """The requests of this operation, in order."""
        return [request for name, request in self.calls if name == operation]


def queue_of(request: dict[str, Any]) -> str:
    """The name of the queue that a request is for."""
    return str(request["QueueUrl"]).rsplit("/", 1)[-1]


class _SqsFrontRequest(QuietRequest):
    server: SqsFront

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[-1]
        self.server.calls.append((operation, request))
        if operation == "SendMessage":
            queue = queue_of(request)
            if self.server.sends[queue] <= self.server.throttled.get(queue, 0):
                refusal = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "Slow down."}
                self._answer(400, refusal)
                return
            if queue in self.server.held:
                self.server.holding.set()
                self.server.released.wait(60)
        self._answer(*self._passed_on(operation, request))

    def _passed_on(self, operation: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        failed = []
        for entry in request.get("Entries", []):
            code = self.server.refuse(operation, entry)
            if code is not None:
                failed.append({"Id": entry["Id"], "Code": code, "SenderFault": False, "Message": "the sky"})
        refused = {entry["Id"] for entry in failed}
        passed_on = [entry for entry in request.get("Entries", []) if entry["Id"] not in refused]
        if failed and not passed_on:
            return 200, {"Successful": [], "Failed": failed}
        status, answer = self._moto({**request, "Entries": passed_on} if failed else request)
        if failed:
            answer["Failed"] = [*answer.get("Failed", []), *failed]
        return status, answer

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _moto(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        body = json.dumps(request).encode()
        connection = http.client.HTTPConnection(self.server.moto, timeout=30)
        connection.request("POST", self.path, body, {**dict(self.headers), "Content-Length": str(len(body))})
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        connection.close()
        return response.status, answer
