"""The streamed answer to one invocation, as a handler sees it: start, write, then end or abort."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from .empty_bodies import stand_in, status_with_body, without_zero_length
from .error_report import ErrorReport

_log = logging.getLogger("lambda_stream")


class CallerGoneError(ConnectionError):
    """The answer can no longer be delivered: the caller, the invocation or the connection is gone."""


class ResponseAbortedError(RuntimeError):
    """The answer was ended by `ResponseStream.abort`; nothing more can be written."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.report = ErrorReport(error_type, message)


class ResponseBody(Protocol):
    """The destination of an answer. Each method raises CallerGoneError if the bytes cannot be delivered.

    No method waits past `give_up_at` (a `time.monotonic()` value).
    """

    def open(self, prelude: Mapping[str, Any]) -> None:
        """Send status, headers and cookies."""

    def write(self, data: bytes, give_up_at: float) -> None:
        """Send a piece of the body."""

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """End the body: cleanly, or with `error`."""

    def settle(self, give_up_at: float) -> None:
        """Wait until the answer has been acknowledged."""


class ResponseStream:
    """One streamed answer.

    `start`, `write` and `abort` hold `lock`; another thread may take it and call them too.
    `last_write_at` is the time of the last `start` or `write`, initially that of the stream's creation.
    `give_up_at` limits how long a slow reader is waited for: past it a blocked write raises CallerGoneError,
    and neither the end of the answer nor its acknowledgement is waited for. A handler sets it to keep time
    for its work after the response. The invocation's deadline applies in any case. Both times are values of
    `time.monotonic()`.
    `prelude_gap_s` is the least time between status and headers and the first byte of the body. A handler
    sets it before `start`, for accounts on which an answer arrives in one burst if the two arrive together.
    https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/issues/94
    The answer is never without a body, unless it is `buffered`: `empty_bodies` says why, and what is sent.
    """

    def __init__(
        self, body: ResponseBody, *, cookies_as_headers: bool = False, buffered: bool = False
    ) -> None:
        self.lock = threading.RLock()
        self.last_write_at = time.monotonic()
        self.give_up_at = float("inf")
        self.prelude_gap_s = 0.0
        self.started = False
        self.ended = False
        self.gone: CallerGoneError | None = None
        self.aborted: ResponseAbortedError | None = None
        self._body = body
        self._cookies_as_headers = cookies_as_headers
        self._buffered = buffered
        self._has_body = buffered  # a buffered answer needs none
        self._stand_in = b""
        self._callbacks: list[Callable[[], None]] = []

    def start(
        self, status: int = 200, headers: Mapping[str, str] | None = None, cookies: Sequence[str] = ()
    ) -> None:
        """Send status, headers and cookies (whole `Set-Cookie` values) at once. It can be called only once.

        All three are sent even if they are empty, because some readers, such as cargo-lambda, require them.
        If the event's sender takes cookies as headers, `cookies` is empty and `multiValueHeaders` holds them;
        API Gateway's format for streams has all four.
        https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html

        A status without a body, such as 204 and 304, cannot be streamed: on Lambda another is sent.

        Raises ValueError for a status outside 200..599, for CR, LF or NUL in a header or cookie, and except
        on Lambda for a status without a body; TypeError for a status that is not an int and a header or
        cookie that is not a str; RuntimeError if the answer has already started (ResponseAbortedError if it
        was aborted); CallerGoneError.
        """
        prelude = self._prelude(status, headers or {}, cookies)
        with self.lock:
            self._refuse_if_over()
            if self.started:
                raise RuntimeError("the answer has already started")
            self.started = True
            self._deliver(self._body.open, prelude)
            self.last_write_at = time.monotonic()

    def write(self, data: bytes) -> None:
        """Send `data`, bytes or another buffer, at once and as one piece; b"" sends nothing.

        Raises RuntimeError before `start` and after the end (ResponseAbortedError after `abort`);
        CallerGoneError.
        """
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))  # its items may be wider than a byte: len() must count bytes
        with self.lock:
            if self.ended or self.gone or self.aborted or not self.started:
                self._refuse_if_over()
                raise RuntimeError("write() before start()")
            if data:
                if not self._has_body:
                    self._begin_body()
                self._deliver(self._body.write, data, self.give_up_at)
                self.last_write_at = time.monotonic()

    def abort(self, error_type: str, message: str) -> None:
        """End the answer as an error, so that no reader mistakes what was written for a whole answer.

        The body ends with error trailers after what has been written. Before `start`, the invocation itself
        fails instead. Only the first abort counts; after the end of the answer it does nothing.
        """
        with self.lock:
            if self.ended or self.gone or self.aborted:
                return
            self.aborted = ResponseAbortedError(error_type, message)
            if self.started:
                with suppress(CallerGoneError):  # recorded in `gone`
                    self._end_body(self.aborted.report)

    def after_response(self, callback: Callable[[], None]) -> None:
        """Register `callback` to run after the response, however it ends, and before the next invocation.

        Callbacks run in the order of registration. An exception in one is logged; the others still run.
        """
        self._callbacks.append(callback)

    def finish(self, error: ErrorReport | None = None) -> ErrorReport | None:
        """End the answer and wait for its acknowledgement. Called by the runtime after the handler.

        With `error`, the answer ends as an error. Returns an error that must be reported elsewhere because
        the answer never started. Never raises CallerGoneError, but records it in `gone`.
        """
        with self.lock:
            error = error or (self.aborted.report if self.aborted else None)
            if error and not self.started:
                self.ended = True
                return error
            with suppress(CallerGoneError):  # recorded in `gone`
                if not self.started:
                    self.start()
                self._end_body(error)
                if not self.gone:
                    self._deliver(self._body.settle, self.give_up_at)
            return None

    def run_after_response(self) -> None:
        """Run the registered callbacks, and those that they register. Called by the runtime."""
        while self._callbacks:
            callback = self._callbacks.pop(0)
            try:
                callback()
            except Exception:  # noqa: BLE001  (the handler's own)
                _log.exception("a callback after the response failed")

    def _prelude(self, status: int, headers: Mapping[str, str], cookies: Sequence[str]) -> dict[str, Any]:
        if not isinstance(status, int):
            raise TypeError(f"status {status!r} is not an int")
        if not 200 <= status <= 599:  # 1xx is not the status of an answer
            raise ValueError(f"status {status} is outside 200..599")
        for text in (*headers, *headers.values(), *cookies):
            if not isinstance(text, str):
                raise TypeError(f"a header or cookie is not a str: {text!r}")
            if any(control in text for control in "\r\n\0"):
                raise ValueError(f"CR, LF or NUL in a header or cookie: {text!r}")
        if not self._buffered:
            status, headers = status_with_body(status), without_zero_length(headers)
            self._stand_in = stand_in(headers)
        prelude: dict[str, Any] = {"statusCode": status, "headers": dict(headers), "cookies": list(cookies)}
        if cookies and self._cookies_as_headers:
            prelude |= {"cookies": [], "multiValueHeaders": {"set-cookie": list(cookies)}}
        return prelude

    def _refuse_if_over(self) -> None:
        if self.gone:
            raise CallerGoneError(str(self.gone))
        if self.aborted:
            raise self.aborted
        if self.ended:
            raise RuntimeError("the answer has already ended")

    def _begin_body(self) -> None:
        """Wait until `prelude_gap_s` has passed since the start. The lock must be held."""
        self._has_body = True
        if self.prelude_gap_s:
            begin_at = min(self.last_write_at + self.prelude_gap_s, self.give_up_at)
            time.sleep(max(0.0, begin_at - time.monotonic()))

    def _end_body(self, error: ErrorReport | None) -> None:
        if not (self.ended or self.gone):
            if not self._has_body:
                self._begin_body()
                self._deliver(self._body.write, self._stand_in, self.give_up_at)
            self.ended = True
            self._deliver(self._body.end, error, self.give_up_at)

    def _deliver(self, send: Callable[..., None], *arguments: Any) -> None:
        try:
            send(*arguments)
        except CallerGoneError as gone:
            self.gone = gone
            raise


def takes_cookies_as_headers(event: Any) -> bool:
    """Whether the sender of `event` expects cookies in `multiValueHeaders`.

    REST APIs of API Gateway do (payload 1.0, with `httpMethod` at the top level); function URLs and payload
    2.0 expect `cookies`.
    """
    return isinstance(event, dict) and event.get("version") != "2.0" and "httpMethod" in event
