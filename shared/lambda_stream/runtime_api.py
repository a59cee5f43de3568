"""The Lambda Runtime API over HTTP: the only module that knows its paths, headers and framing.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for streaming,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import http.client
import json
import logging
import select
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from .error_report import ErrorReport
from .response_stream import CallerGone

_log = logging.getLogger("lambda_stream")

_PREFIX = "/2018-06-01/runtime"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_INVOCATION_ID = "Lambda-Runtime-Invocation-Id"
_PRELUDE_DELIMITER = bytes(8)
_CHUNK = b"%x\r\n%b\r\n"  # its size and itself
_USER_AGENT = "lambda-stream/1 Python/{}.{}.{}".format(*sys.version_info[:3])

MAX_XRAY_CAUSE_BYTES = 64 * 1024  # what X-Ray itself takes for a whole segment
# Go's HTTP server, which the Runtime API and its emulator are, refuses trailers that do not fit its read
# buffer of 4096 bytes ("suspiciously long trailer after chunked body"), and the answer with them.
MAX_TRAILER_BYTES = 4000
MAX_NEXT_ATTEMPTS = 3  # a kept-alive connection may have been closed; a server that always closes is gone
MAX_REASON_BYTES = 512  # of what the Runtime API says against an answer
MIN_SETTLE_S = 1.0  # even past the deadline there is this much patience with the Runtime API's receipt


class RuntimeApiError(Exception):
    """The Runtime API cannot be reached or answers what no runtime can go on from."""


class Invocation(NamedTuple):
    """One answer of `next`. `deadline_at` is a `time.monotonic()` moment; the event is still bytes."""

    request_id: str
    body: bytes
    content_type: str
    deadline_epoch_ms: int | None
    deadline_at: float
    function_arn: str | None
    trace_id: str | None
    client_context: str | None
    cognito_identity: str | None
    tenant_id: str | None
    invocation_id: str | None

    def path(self, end: str) -> str:
        """The path on which this invocation is answered: `end` is "response" or "error"."""
        return f"{_PREFIX}/invocation/{self.request_id}/{end}"

    def echo_headers(self) -> dict[str, str]:
        """The invocation id, which every response and error has to repeat when `next` gave one."""
        return {_INVOCATION_ID: self.invocation_id} if self.invocation_id else {}


class RuntimeApi:
    """A client of the Runtime API at `address` ("host:port"), on one kept-alive connection.

    For one thread at a time. The connection is opened anew when it was closed or an exchange on it failed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(address)

    def next(self) -> Invocation:
        """Wait, for as long as it takes, for the next invocation. Raises RuntimeApiError."""
        for _ in range(MAX_NEXT_ATTEMPTS):
            try:
                status, headers, body = self._exchange("GET", f"{_PREFIX}/invocation/next")
            except http.client.RemoteDisconnected:
                continue
            if status != http.client.OK:
                raise RuntimeApiError(
                    f"the Runtime API answered `next` with status {status}: {_excerpt(body)}"
                )
            return _invocation(headers, body)
        raise RuntimeApiError(f"the Runtime API at {self.address} closes every connection")

    def post_result(self, invocation: Invocation, body: bytes, content_type: str) -> None:
        """Answer an invocation whole. What the Runtime API says against it is logged."""
        headers = {"Content-Type": content_type, **invocation.echo_headers()}
        self._post_answer(invocation.path("response"), headers, body, invocation.deadline_at)

    def post_error(self, invocation: Invocation, report: ErrorReport) -> None:
        """Answer an invocation with an error. What the Runtime API says against it is logged."""
        headers = {
            "Content-Type": "application/json",
            _ERROR_TYPE: _header_text(report.type),
            **invocation.echo_headers(),
        }
        traced = report.shortened(lambda shorter: len(shorter.xray_cause()) <= MAX_XRAY_CAUSE_BYTES)
        headers["Lambda-Runtime-Function-XRay-Error-Cause"] = traced.xray_cause()
        body = json.dumps(report.document(invocation.request_id)).encode()
        self._post_answer(invocation.path("error"), headers, body, invocation.deadline_at)

    def post_init_error(self, report: ErrorReport, error_type: str | None = None) -> int:
        """Report that the function cannot be loaded, as `error_type` if given. The status is returned."""
        return self._post_report(f"{_PREFIX}/init/error", report, error_type or report.type)

    def restore_next(self) -> None:
        """Say that the snapshot can be taken, and wait until it has been restored. Raises RuntimeApiError.

        The connection is given up afterwards: what comes out of a snapshot is not to be trusted.
        """
        status, _, body = self._exchange("GET", f"{_PREFIX}/restore/next")
        self.close()
        if status != http.client.OK:
            raise RuntimeApiError(
                f"the Runtime API answered `restore/next` with status {status}: {_excerpt(body)}"
            )

    def post_restore_error(self, report: ErrorReport, error_type: str) -> int:
        """Report that a hook after the restore failed. The status is returned."""
        return self._post_report(f"{_PREFIX}/restore/error", report, error_type)

    def close(self) -> None:
        """Give up the connection; the next exchange opens another."""
        self._connection.close()

    def ready_connection(self) -> http.client.HTTPConnection:
        """The connection, open: a kept-alive one that the other side has closed meanwhile is replaced.

        TCP_NODELAY is set (by http.client): a small write is not held back. Raises OSError.
        """
        if self._connection.sock is not None and _is_readable(self._connection.sock):
            self._connection.close()
        if self._connection.sock is None:
            self._connection.connect()
        return self._connection

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request and its answer: (status, headers, body).

        Raises RemoteDisconnected if the connection ended before an answer, RuntimeApiError otherwise.
        """
        try:
            connection = self.ready_connection()
            connection.sock.settimeout(timeout_s)
            connection.request(method, path, body, {"User-Agent": _USER_AGENT, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except http.client.RemoteDisconnected:
            self.close()
            raise
        except (ConnectionResetError, BrokenPipeError) as error:
            self.close()
            raise http.client.RemoteDisconnected(str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise RuntimeApiError(f"the Runtime API at {self.address} cannot be reached: {error}") from error

    def _post_answer(self, path: str, headers: Mapping[str, str], body: bytes, deadline_at: float) -> None:
        try:
            status, _, answer = self._exchange("POST", path, headers, body, _settle_timeout_s(deadline_at))
        except (http.client.RemoteDisconnected, RuntimeApiError) as error:
            _log.error("the answer did not reach the Runtime API: %s", error)
            return
        log_refusal(status, answer)

    def _post_report(self, path: str, report: ErrorReport, error_type: str) -> int:
        headers = {"Content-Type": "application/json", _ERROR_TYPE: _header_text(error_type)}
        try:
            return self._exchange("POST", path, headers, json.dumps(report.document()).encode())[0]
        except http.client.RemoteDisconnected as error:
            raise RuntimeApiError(f"the Runtime API at {self.address} closed the connection") from error


class StreamedResponse:
    """The streamed answer to one invocation, on its way to the Runtime API in chunks.

    A chunk is one send. The socket is watched for an answer or an end while it is written to: a Runtime API
    that no longer takes the body is noticed at the next write, not when its buffers are full. Nothing is
    waited for past `give_up_at` or the invocation's deadline, whichever is nearer.
    """

    def __init__(self, api: RuntimeApi, invocation: Invocation) -> None:
        self._api = api
        self._invocation = invocation
        self._connection: http.client.HTTPConnection | None = None
        self._poll = select.poll()

    def open(self, prelude: Mapping[str, Any]) -> None:
        """Send the head, and prelude and delimiter as two chunks in one send. Raises CallerGone."""
        parts = json.dumps(prelude).encode(), _PRELUDE_DELIMITER
        opening = b"".join(_CHUNK % (len(part), part) for part in parts)
        headers = {
            "Lambda-Runtime-Function-Response-Mode": "streaming",
            "Transfer-Encoding": "chunked",
            "Content-Type": "application/vnd.awslambda.http-integration-response",
            "Trailer": f"{_ERROR_TYPE}, {_ERROR_BODY}",
            "User-Agent": _USER_AGENT,
            **self._invocation.echo_headers(),
        }
        try:
            connection = self._connection = self._api.ready_connection()
            connection.sock.settimeout(_settle_timeout_s(self._invocation.deadline_at))
            connection.putrequest("POST", self._invocation.path("response"), skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            connection.sock.setblocking(False)
        except OSError as error:
            self._lost("the connection to the Runtime API is broken", error)
        self._poll.register(connection.sock, select.POLLIN | select.POLLOUT)
        self._send(opening, float("inf"))

    def write(self, data: bytes, give_up_at: float) -> None:
        """Send `data` as one chunk. Raises CallerGone."""
        self._send(_CHUNK % (len(data), data), give_up_at)

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """Send the terminating chunk and, for an `error`, the two trailers. Raises CallerGone."""
        trailers = error_trailers(error, self._invocation.request_id) if error else b""
        self._send(b"0\r\n" + trailers + b"\r\n", give_up_at)

    def settle(self, give_up_at: float) -> None:
        """Read the Runtime API's receipt; what it says against the answer is logged. Raises CallerGone.

        The receipt is waited for past `give_up_at` too, but for no longer than MIN_SETTLE_S in all.
        """
        assert self._connection is not None
        try:
            self._connection.sock.settimeout(_settle_timeout_s(self._limit(give_up_at)))
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._lost("the Runtime API did not acknowledge the answer", error)
        log_refusal(response.status, body)

    def _limit(self, give_up_at: float) -> float:
        return min(give_up_at, self._invocation.deadline_at)

    def _send(self, data: bytes, give_up_at: float) -> None:
        assert self._connection is not None
        unsent: bytes | memoryview = data
        while unsent:
            # Most often there is room, and nothing to wait for.
            events = self._poll.poll(0) or self._poll.poll(_poll_timeout_ms(self._limit(give_up_at)))
            if not events:
                self._lost("the answer was not taken in time")
            if events[0][1] & ~select.POLLOUT:
                self._read_early_answer()
            try:
                sent_bytes = self._connection.sock.send(unsent)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lost("the connection to the Runtime API is broken", error)
            if sent_bytes == len(unsent):
                return
            unsent = memoryview(unsent)[sent_bytes:]

    def _read_early_answer(self) -> NoReturn:
        """Say why the socket can be read in mid-answer: it was closed, or the answer is not wanted."""
        assert self._connection is not None
        try:
            self._connection.sock.settimeout(MIN_SETTLE_S)
            # Closed here: http.client leaves a response with `Connection: close` open.
            with self._connection.getresponse() as response:
                reason = response.read(MAX_REASON_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self._lost("the Runtime API has closed the connection", error)
        log_refusal(response.status, reason)
        self._lost(f"the Runtime API answered {response.status} before the answer's end")

    def _lost(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        """Give up the connection: half a body is on it, and no other request may follow that."""
        self._api.close()
        raise CallerGone(f"{reason}: {cause}" if cause else reason) from cause


def error_trailers(report: ErrorReport, request_id: str) -> bytes:
    """The two trailers that tell of an error in mid-stream, within MAX_TRAILER_BYTES."""
    told = report.shortened(lambda shorter: len(_encode_trailers(shorter, request_id)) <= MAX_TRAILER_BYTES)
    return _encode_trailers(told, request_id)


def log_refusal(status: int, body: bytes) -> None:
    """Log what an answer's status says, unless it is 202.

    410: the invocation has timed out or was superseded; that is the caller's loss, not the function's fault.
    """
    if status == http.client.GONE:
        _log.warning("the invocation is stale, its answer was not taken (410)")
    elif status != http.client.ACCEPTED:
        _log.error("the Runtime API refused the answer with status %d: %s", status, _excerpt(body))


def _encode_trailers(report: ErrorReport, request_id: str) -> bytes:
    from base64 import b64encode

    body = b64encode(json.dumps(report.document(request_id)).encode()).decode()
    return f"{_ERROR_TYPE}: {_header_text(report.type)}\r\n{_ERROR_BODY}: {body}\r\n".encode()


def _header_text(text: str) -> str:
    """`text` in printable ASCII: an exception's name may be any identifier, an aborted answer's any text.

    Never blank: an error type without a name could be taken for no error.
    """
    escaped = text.encode("ascii", "backslashreplace").decode()[:256].strip() or "Error"
    return "".join(character if character.isprintable() else "?" for character in escaped)


def _excerpt(body: bytes) -> str:
    return body[:MAX_REASON_BYTES].decode("utf-8", "replace")


def _is_readable(sock: Any) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _poll_timeout_ms(give_up_at: float) -> float | None:
    return None if give_up_at == float("inf") else max(0.0, give_up_at - time.monotonic()) * 1000


def _settle_timeout_s(deadline_at: float) -> float | None:
    return None if deadline_at == float("inf") else max(MIN_SETTLE_S, deadline_at - time.monotonic())


def _invocation(headers: http.client.HTTPMessage, body: bytes) -> Invocation:
    deadline = headers.get("Lambda-Runtime-Deadline-Ms")
    deadline_epoch_ms = int(deadline) if deadline else None
    deadline_at = (
        float("inf")
        if deadline_epoch_ms is None
        else time.monotonic() + deadline_epoch_ms / 1000 - time.time()
    )
    return Invocation(
        request_id=headers.get("Lambda-Runtime-Aws-Request-Id") or "",
        body=body,
        content_type=headers.get("Content-Type") or "application/json",
        deadline_epoch_ms=deadline_epoch_ms,
        deadline_at=deadline_at,
        function_arn=headers.get("Lambda-Runtime-Invoked-Function-Arn"),
        trace_id=headers.get("Lambda-Runtime-Trace-Id"),
        client_context=headers.get("Lambda-Runtime-Client-Context"),
        cognito_identity=headers.get("Lambda-Runtime-Cognito-Identity"),
        tenant_id=headers.get("Lambda-Runtime-Aws-Tenant-Id"),
        invocation_id=headers.get(_INVOCATION_ID),
    )
