"""A client of the Lambda Runtime API: the only module that knows its paths, headers and framing.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for streaming,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import json
import logging
import select
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

from .checked_values import deadline_epoch_ms, warn_once
from .error_report import ErrorReport
from .http_exchange import HttpAnswer, HttpConnection, NoResponseError, timeout_s
from .response_stream import CallerGoneError

_log = logging.getLogger("lambda_stream")

_PREFIX = "/2018-06-01/runtime"
_ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
_ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
_INVOCATION_ID = "Lambda-Runtime-Invocation-Id"
_PRELUDE_DELIMITER = bytes(8)
_CHUNK = b"%x\r\n%b\r\n"  # size and data
_USER_AGENT = "lambda-stream/1 Python/{}.{}.{}".format(*sys.version_info[:3])

MAX_XRAY_CAUSE_BYTES = 64 * 1024  # X-Ray's own limit for a whole segment document
# The Runtime API and its emulator run on Go's HTTP server. It refuses trailers that exceed its read buffer of
# 4096 bytes ("suspiciously long trailer after chunked body"), and the whole answer with them.
MAX_TRAILER_BYTES = 4000
MAX_NEXT_ATTEMPTS = 3  # an idle connection may have been closed, but not every new one as well
MAX_REASON_BYTES = 512  # kept of the body of a refusal
MIN_SETTLE_S = 1.0  # the acknowledgement is waited for this long even past the deadline
_OK, _GONE = 200, 410
_NEVER = float("inf")


class RuntimeApiError(Exception):
    """The Runtime API cannot be reached, or its answer leaves the runtime nothing to do but exit."""


class Invocation(NamedTuple):
    """One answer of `next`. `body` is the event, not yet parsed; `deadline_at` a `time.monotonic()` value."""

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
        """Return the path to answer this invocation on; `end` is "response" or "error"."""
        return f"{_PREFIX}/invocation/{_path_segment(self.request_id)}/{end}"

    def echo_headers(self) -> dict[str, str]:
        """Return the invocation id, which each response and error must repeat if `next` gave one."""
        return {_INVOCATION_ID: self.invocation_id} if self.invocation_id else {}


class RuntimeApi:
    """A client of the Runtime API at `address` on one keep-alive connection, for one thread at a time.

    The connection is reopened after it was closed or an exchange on it failed. Raises ValueError for an
    address that HttpConnection does not accept.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = HttpConnection(address)

    def next(self) -> Invocation:
        """Wait without a limit for the next invocation. Raises RuntimeApiError."""
        for _ in range(MAX_NEXT_ATTEMPTS):
            try:
                answer = self._exchange("GET", f"{_PREFIX}/invocation/next")
            except NoResponseError:
                continue
            _check_status(answer, "next")
            return _invocation(answer.headers, bytes(answer.body))
        raise RuntimeApiError(f"the Runtime API at {self.address} closes every connection")

    def post_result(self, invocation: Invocation, body: bytes, content_type: str) -> None:
        """Answer an invocation with a whole body. A refusal is logged."""
        headers = {"Content-Type": content_type, **invocation.echo_headers()}
        self._post_answer(invocation.path("response"), headers, body, invocation.deadline_at)

    def post_error(self, invocation: Invocation, report: ErrorReport) -> None:
        """Answer an invocation with an error. A refusal is logged."""
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
        """Report that the function cannot be loaded, as `error_type` if given. Returns the HTTP status."""
        return self._post_report(f"{_PREFIX}/init/error", report, error_type or report.type)

    def restore_next(self) -> None:
        """Report that the snapshot can be taken, and wait until it has been restored.

        The connection is closed afterwards: it may not have survived the restore. Raises RuntimeApiError.
        """
        try:
            answer = self._exchange("GET", f"{_PREFIX}/restore/next")
        except NoResponseError as error:
            raise RuntimeApiError(f"the Runtime API at {self.address} closed the connection") from error
        self.close()
        _check_status(answer, "restore/next")

    def post_restore_error(self, report: ErrorReport, error_type: str) -> int:
        """Report that a hook after the restore failed. Returns the HTTP status."""
        return self._post_report(f"{_PREFIX}/restore/error", report, error_type)

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        self._connection.close()

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        give_up_at: float = _NEVER,
    ) -> HttpAnswer:
        """Send a request and return its answer.

        Raises NoResponseError if the connection ended before an answer, otherwise RuntimeApiError.
        """
        sized = {} if body is None else {"Content-Length": str(len(body))}
        answer = HttpAnswer()
        try:
            head = self._connection.head(
                method, path, {"User-Agent": _USER_AGENT, **sized, **(headers or {})}
            )
            sock = self._connection.open()
            sock.settimeout(timeout_s(give_up_at))
            # The server may have answered (413, say) without reading all of the request.
            with suppress(ConnectionResetError, BrokenPipeError):
                sock.sendall(head + (body or b""))
            self._connection.receive(answer, give_up_at)
        except NoResponseError:
            self.close()
            raise
        except ConnectionResetError as error:
            self.close()
            raise NoResponseError(str(error)) from error
        except OSError as error:
            self.close()
            raise RuntimeApiError(f"the Runtime API at {self.address} cannot be reached: {error}") from error
        if not answer.reusable:
            self.close()
        return answer

    def _post_answer(self, path: str, headers: Mapping[str, str], body: bytes, deadline_at: float) -> None:
        try:
            answer = self._exchange("POST", path, headers, body, _settle_until(deadline_at))
        except (NoResponseError, RuntimeApiError) as error:
            _log.error("the answer did not reach the Runtime API: %s", error)
            return
        log_refusal(answer)

    def _post_report(self, path: str, report: ErrorReport, error_type: str) -> int:
        headers = {"Content-Type": "application/json", _ERROR_TYPE: _header_text(error_type)}
        try:
            answer = self._exchange("POST", path, headers, json.dumps(report.document()).encode())
        except NoResponseError as error:
            raise RuntimeApiError(f"the Runtime API at {self.address} closed the connection") from error
        return answer.status or 0


class StreamedResponse:
    """Sends the streamed answer to one invocation to the Runtime API, each chunk in one send.

    Each write also checks the socket for an early answer or the connection's end. So a Runtime API that has
    stopped reading is noticed at the next write, not when the socket's buffers are full. No call waits past
    `give_up_at` or the invocation's deadline, whichever is earlier.

    A 2xx acknowledges the answer, whenever it comes. Some servers send it after the body's first byte and
    read on: cargo-lambda's emulator does, and any server on Hyper or Go can. The stream then continues, even
    if the server also shuts down its sending direction; if it closed the connection, the next write gets a
    reset. Any other status is a refusal, including 3xx: the Runtime API does not redirect.
    """

    def __init__(self, api: RuntimeApi, invocation: Invocation) -> None:
        self._api = api
        self._invocation = invocation
        self._connection = api._connection
        self._sock: socket.socket
        self._answer = HttpAnswer(MAX_REASON_BYTES)
        self._poll = select.poll()

    def open(self, prelude: Mapping[str, Any]) -> None:
        """Send the head, and prelude and delimiter as two chunks, in one send. Raises CallerGoneError."""
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
            sock = self._connection.open()
            sock.settimeout(timeout_s(_settle_until(self._invocation.deadline_at)))
            sock.sendall(self._connection.head("POST", self._invocation.path("response"), headers) + opening)
            sock.setblocking(False)
        except OSError as error:
            self._lost("the connection to the Runtime API is broken", error)
        self._sock = sock
        self._poll.register(sock, select.POLLIN | select.POLLOUT)

    def write(self, data: bytes, give_up_at: float) -> None:
        """Send `data` as one chunk. Raises CallerGoneError."""
        self._send(_CHUNK % (len(data), data), give_up_at)

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """Send the terminating chunk and, for an `error`, the two trailers. Raises CallerGoneError."""
        trailers = error_trailers(error, self._invocation.request_id) if error else b""
        self._send(b"0\r\n" + trailers + b"\r\n", give_up_at)

    def settle(self, give_up_at: float) -> None:
        """Wait for the Runtime API's acknowledgement, unless it has come; log a refusal.

        Raises CallerGoneError.

        If `give_up_at` is near or past, it still waits MIN_SETTLE_S for the head of the acknowledgement. It
        never waits longer than MIN_SETTLE_S for the rest.
        """
        answer, give_up_at = self._answer, _settle_until(self._limit(give_up_at))
        came_early = answer.accepted
        if came_early:
            self._check_connection()
        try:
            self._connection.receive(answer, give_up_at, enough=lambda: answer.status is not None)
            self._connection.receive(answer, min(give_up_at, time.monotonic() + MIN_SETTLE_S))
        except OSError as error:
            if answer.status is None:
                self._lost("the Runtime API did not acknowledge the answer", error)
        # A server that answered early may answer again at the end: that must not meet the next request.
        if came_early or not answer.reusable:
            self._api.close()
        log_refusal(answer)

    def _check_connection(self) -> None:
        """Raise CallerGoneError if the connection was reset after the acknowledgement."""
        if any(events & (select.POLLERR | select.POLLHUP) for _, events in self._poll.poll(0)):
            self._lost("the Runtime API closed the connection before the answer's end")

    def _limit(self, give_up_at: float) -> float:
        return min(give_up_at, self._invocation.deadline_at)

    def _send(self, data: bytes, give_up_at: float) -> None:
        sock = self._sock
        unsent: bytes | memoryview = data
        while unsent:
            # There is usually room in the socket's buffer: ask without a timeout first.
            events = self._poll.poll(0) or self._poll.poll(_poll_timeout_ms(self._limit(give_up_at)))
            if not events:
                self._lost("the answer was not taken in time")
            if events[0][1] & ~select.POLLOUT:
                self._take_early_answer()
            try:
                sent_bytes = sock.send(unsent)
            except BlockingIOError:
                continue
            except OSError as error:
                self._lost("the connection to the Runtime API is broken", error)
            if sent_bytes == len(unsent):
                return
            unsent = memoryview(unsent)[sent_bytes:]

    def _take_early_answer(self) -> None:
        """Read an early answer. Raises CallerGoneError unless its status is 1xx or 2xx."""
        answer = self._answer
        try:
            has_ended = self._connection.receive_at_hand(answer)
        except OSError as error:
            self._lost("the Runtime API has closed the connection", error)
        if answer.accepted:
            if has_ended:  # perhaps only the server's sending direction; if not, the next send fails
                self._poll.modify(self._sock, select.POLLOUT)
        elif answer.status is not None:
            with suppress(OSError):  # the body, which says why, is optional
                self._connection.receive(answer, time.monotonic() + MIN_SETTLE_S)
            log_refusal(answer)
            self._lost(f"the Runtime API answered {answer.status} before the answer's end")
        elif has_ended:
            self._lost("the Runtime API has closed the connection")

    def _lost(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        """Close the connection, since no request can follow half a body, and raise CallerGoneError."""
        self._api.close()
        raise CallerGoneError(f"{reason}: {cause}" if cause else reason) from cause


def _check_status(answer: HttpAnswer, request: str) -> None:
    if answer.status != _OK:
        reason = _excerpt(answer.body)
        raise RuntimeApiError(f"the Runtime API answered `{request}` with status {answer.status}: {reason}")


def error_trailers(report: ErrorReport, request_id: str) -> bytes:
    """Return the two trailers that report an error in mid-stream, at most MAX_TRAILER_BYTES long."""
    told = report.shortened(lambda shorter: len(_encode_trailers(shorter, request_id)) <= MAX_TRAILER_BYTES)
    return _encode_trailers(told, request_id)


def log_refusal(answer: HttpAnswer) -> None:
    """Log the status and body of an answer that is not a 2xx.

    410 means that the invocation timed out or was superseded: a warning, as the function is not at fault.
    """
    if answer.status == _GONE:
        _log.warning("the invocation is stale, its answer was not accepted (410)")
    elif not answer.accepted:
        reason = _excerpt(answer.body)
        _log.error("the Runtime API refused the answer with status %s: %s", answer.status, reason)


def _encode_trailers(report: ErrorReport, request_id: str) -> bytes:
    from base64 import b64encode

    body = b64encode(json.dumps(report.document(request_id)).encode()).decode()
    return f"{_ERROR_TYPE}: {_header_text(report.type)}\r\n{_ERROR_BODY}: {body}\r\n".encode()


def _header_text(text: str) -> str:
    """Return an error type in printable ASCII.

    An exception's name may be any identifier, and the type of an aborted answer any text. The result is never
    blank: a blank error type could be taken for no error.
    """
    escaped = text.encode("ascii", "backslashreplace").decode()[:256].strip() or "Error"
    return "".join(character if character.isprintable() else "?" for character in escaped)


def _path_segment(text: str) -> str:
    """Percent-encode `text`, decoded from a header as Latin-1, as one segment of a path."""
    return "".join(
        character
        if character.isascii() and (character.isalnum() or character in "-._~")
        else f"%{ord(character):02X}"
        for character in text
    )


def _excerpt(body: bytes | bytearray) -> str:
    return body[:MAX_REASON_BYTES].decode("utf-8", "replace")


def _poll_timeout_ms(give_up_at: float) -> float | None:
    return None if give_up_at == _NEVER else max(0.0, give_up_at - time.monotonic()) * 1000


def _settle_until(give_up_at: float) -> float:
    return max(give_up_at, time.monotonic() + MIN_SETTLE_S)


def _invocation(headers: Mapping[str, str], body: bytes) -> Invocation:
    deadline = deadline_epoch_ms(headers.get("lambda-runtime-deadline-ms"))
    deadline_at = _NEVER if deadline is None else time.monotonic() + deadline / 1000 - time.time()
    request_id = headers.get("lambda-runtime-aws-request-id") or ""
    if not request_id:
        warn_once("Lambda-Runtime-Aws-Request-Id", "is missing: no answer can reach its invocation")
    return Invocation(
        request_id=request_id,
        body=body,
        content_type=headers.get("content-type") or "application/json",
        deadline_epoch_ms=deadline,
        deadline_at=deadline_at,
        function_arn=headers.get("lambda-runtime-invoked-function-arn"),
        trace_id=headers.get("lambda-runtime-trace-id"),
        client_context=headers.get("lambda-runtime-client-context"),
        cognito_identity=headers.get("lambda-runtime-cognito-identity"),
        tenant_id=headers.get("lambda-runtime-aws-tenant-id"),
        invocation_id=headers.get(_INVOCATION_ID.lower()),
    )
