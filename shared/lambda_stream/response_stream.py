"""The answer to one invocation, as the handler sees it: started once, written, ended or broken off."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from .error_report import ErrorReport

_log = logging.getLogger("lambda_stream")


class CallerGone(ConnectionError):  # noqa: N818
    """The answer can no longer be delivered: the caller, the invocation or the connection is gone."""


class ResponseAborted(RuntimeError):  # noqa: N818
    """The answer was broken off with `ResponseStream.abort`; nothing can be written any more."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.report = ErrorReport(error_type, message)


class ResponseBody(Protocol):
    """Where an answer goes. Each method raises CallerGone when the bytes cannot be delivered.

    None waits for longer than until `give_up_at` (a `time.monotonic()` moment).
    """

    def open(self, prelude: Mapping[str, Any]) -> None:
        """Send status, headers and cookies."""

    def write(self, data: bytes, give_up_at: float) -> None:
        """Send a piece of the body."""

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        """End the body: cleanly, or with what broke it off."""

    def settle(self, give_up_at: float) -> None:
        """Wait until the answer has been taken over."""


class ResponseStream:
    """One streamed answer.

    `lock` is held by `start`, `write` and `abort`; another thread that takes it may call them too.
    `last_write_at` is the `time.monotonic()` moment of the last `start` or `write` (of the beginning, before
    the first). `give_up_at` is the moment past which nobody waits for a slow reader: a write that blocks
    raises CallerGone, and neither the answer's end nor its receipt is waited for. A handler sets it to keep
    time for what it has to do after the response; the invocation's deadline holds in any case.
    """

    def __init__(self, body: ResponseBody, *, cookies_as_headers: bool = False) -> None:
        self.lock = threading.RLock()
        self.last_write_at = time.monotonic()
        self.give_up_at = float("inf")
        self.started = False
        self.ended = False
        self.gone: CallerGone | None = None
        self.aborted: ResponseAborted | None = None
        self._body = body
        self._cookies_as_headers = cookies_as_headers
        self._callbacks: list[Callable[[], None]] = []

    def start(
        self, status: int = 200, headers: Mapping[str, str] | None = None, cookies: Sequence[str] = ()
    ) -> None:
        """Send status, headers and cookies (whole `Set-Cookie` values) at once. Can be called once.

        All three are sent, however empty: readers exist that insist, such as cargo-lambda's. For a sender
        that takes cookies as headers `cookies` stays empty and `multiValueHeaders` holds them; API Gateway's
        format for streams has all four.
        https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html

        Raises ValueError for a status outside 100..599 and for CR, LF or NUL in a header or cookie, TypeError
        for a status that is not an int and a header or cookie that is not a str, RuntimeError when the answer
        has already started (ResponseAborted when it was broken off), CallerGone.
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
        """Send `data`, bytes or another buffer of them, now, as one piece; b"" is nothing.

        Raises RuntimeError before `start` or after the end (ResponseAborted after `abort`), CallerGone.
        """
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))  # whose items may be wider than a byte
        with self.lock:
            if self.ended or self.gone or self.aborted or not self.started:
                self._refuse_if_over()
                raise RuntimeError("write() before start()")
            if data:
                self._deliver(self._body.write, data, self.give_up_at)
                self.last_write_at = time.monotonic()

    def abort(self, error_type: str, message: str) -> None:
        """Break the answer off, so that no reader takes what was written for the whole.

        What has been written stays; the body ends with error trailers. Before `start` the invocation ends as
        an error instead. The first abort counts; once the answer is over it does nothing.
        """
        with self.lock:
            if self.ended or self.gone or self.aborted:
                return
            self.aborted = ResponseAborted(error_type, message)
            if self.started:
                with suppress(CallerGone):  # `gone` tells
                    self._end_body(self.aborted.report)

    def after_response(self, callback: Callable[[], None]) -> None:
        """Have `callback` run when the response is over, however it ended, before the next invocation.

        Callbacks run in the order of their registration; an exception in one is logged and keeps no other
        from running.
        """
        self._callbacks.append(callback)

    def finish(self, error: ErrorReport | None = None) -> ErrorReport | None:
        """End the answer and wait until it has been taken over; for the runtime, once the handler is done.

        `error` breaks it off. Gives back the error that has to be reported elsewhere because the answer never
        started. Never raises CallerGone: `gone` tells.
        """
        with self.lock:
            error = error or (self.aborted.report if self.aborted else None)
            if error and not self.started:
                self.ended = True
                return error
            with suppress(CallerGone):  # `gone` tells
                if not self.started:
                    self.start()
                self._end_body(error)
                if not self.gone:
                    self._deliver(self._body.settle, self.give_up_at)
            return None

    def run_after_response(self) -> None:
        """Run the registered callbacks; for the runtime. What they register in turn runs too."""
        while self._callbacks:
            callback = self._callbacks.pop(0)
            try:
                callback()
            except Exception:  # noqa: BLE001  (the handler's own)
                _log.exception("a callback after the response failed")

    def _prelude(self, status: int, headers: Mapping[str, str], cookies: Sequence[str]) -> dict[str, Any]:
        if not isinstance(status, int):
            raise TypeError(f"status {status!r} is not an int")
        if not 100 <= status <= 599:
            raise ValueError(f"status {status} is outside 100..599")
        for text in (*headers, *headers.values(), *cookies):
            if not isinstance(text, str):
                raise TypeError(f"a header or cookie is not a str: {text!r}")
            if any(control in text for control in "\r\n\0"):
                raise ValueError(f"CR, LF or NUL in a header or cookie: {text!r}")
        prelude: dict[str, Any] = {"statusCode": status, "headers": dict(headers), "cookies": list(cookies)}
        if cookies and self._cookies_as_headers:
            prelude |= {"cookies": [], "multiValueHeaders": {"set-cookie": list(cookies)}}
        return prelude

    def _refuse_if_over(self) -> None:
        if self.gone:
            raise CallerGone(str(self.gone))
        if self.aborted:
            raise self.aborted
        if self.ended:
            raise RuntimeError("the answer has already ended")

    def _end_body(self, error: ErrorReport | None) -> None:
        if not (self.ended or self.gone):
            self.ended = True
            self._deliver(self._body.end, error, self.give_up_at)

    def _deliver(self, send: Callable[..., None], *arguments: Any) -> None:
        try:
            send(*arguments)
        except CallerGone as gone:
            self.gone = gone
            raise


def takes_cookies_as_headers(event: Any) -> bool:
    """Whether the sender of `event` wants cookies as `multiValueHeaders`.

    API Gateway's REST API does (payload 1.0: `httpMethod` at the top); function URLs and payload 2.0 take
    `cookies`.
    """
    return isinstance(event, dict) and event.get("version") != "2.0" and "httpMethod" in event
