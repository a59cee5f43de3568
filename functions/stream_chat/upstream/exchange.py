"""One request to the model and its answer: attempts are made until the answer's first bytes arrive."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from errors import UpstreamError
from upstream import failures
from upstream.body.answer_body import AnswerBody, is_malformed, log_transport_error
from upstream.failures import KeyRefusedError, RetryableError
from upstream.headers import caller_headers, request_headers
from upstream.key_redaction import KeyRedaction
from upstream.time_limits import TimeLimits

if TYPE_CHECKING:
    from upstream.client import Upstream

MAX_RETRY_WAIT_S = 10.0  # longer waits are left to the caller: here each second is billed
BACKOFF_S = 0.5
# An upstream that closes without an answer later than this after the request may have worked on one, and each
# attempt is billed. A kept connection that the upstream had already closed ends at once.
MAYBE_SERVED_AFTER_S = 3.0
SENT_BYTES = 64 * 1024  # per write: sending a request whole would copy it several times

logger = logging.getLogger(__name__)


class Exchange:
    """One request to the upstream and its answer.

    Attributes:
        limits: its time limits, with which another thread can also cut it.
        attempts: the number of attempts so far.
        status: the status of the last response, if there was one.
        request_id: the upstream's `x-request-id`, if it sent one.
        caller_headers: the last response's headers that are passed on to the caller.
        redaction: removes the key from what the upstream sends.
        body: the answer, once `open` has returned.
    """

    body: AnswerBody

    def __init__(
        self,
        upstream: Upstream,
        path: str,
        content: bytes,
        *,
        streamed: bool,
        deadline_at: float,
        method: str = "POST",
    ) -> None:
        self.limits = TimeLimits(upstream.settings, deadline_at, upstream.shut_connection)
        self.attempts = 0
        self.status: int | None = None
        self.request_id: str | None = None
        self.caller_headers: Mapping[str, str] = {}
        self.redaction = KeyRedaction()
        self._upstream = upstream
        self._settings = upstream.settings
        self._method = method
        self._path = path
        self._content = _Content(content)
        self._streamed = streamed
        self._key = ""
        self._response: httpx.Response | None = None
        self._requested_at: float | None = None  # when this attempt's request began to leave

    def open(self, on_limit: Callable[[float], None]) -> None:
        """Make attempts until one brings the answer's first bytes. There are no retries after that.

        Args:
            on_limit: called with `limits.limit_at` whenever that gets earlier: a waiting thread must wake in
                time.

        Raises:
            UpstreamError: the last attempt's failure, or the reason for a cut.
        """
        self.limits.set_limit_callback(on_limit)
        try:
            self._make_attempts()
        finally:
            self._content.drop()

    def _make_attempts(self) -> None:
        self._read_key()
        retries, renewed = 0, False
        while True:
            self.attempts += 1
            try:
                self._attempt()
            except KeyRefusedError:
                self.close()
                if renewed or not self._upstream.key.is_renewable:
                    raise
                self.caller_headers = {}  # not for a keep-alive that starts the answer now
                self._read_key(renew=True)
                renewed = True
            except RetryableError as error:
                self.close()
                logger.warning("upstream attempt %d failed: %s", self.attempts, error.code)
                retries += 1
                wait_s = self._retry_wait_s(error, retries)
                if wait_s is None:
                    raise
                self.caller_headers = {}
                self.limits.wait(wait_s)
            else:
                return

    def _read_key(self, *, renew: bool = False) -> None:
        try:
            self._key = self._upstream.key.read(limit_s=self.limits.left_s(), renew=renew)
        except Exception as error:  # noqa: BLE001 - Powertools and botocore raise many kinds, all fatal here
            logger.error("the OpenAI key cannot be read: %s", type(error).__name__)  # noqa: TRY400 - no secret
            raise UpstreamError(
                502, "upstream_key_unavailable", "The relay has no key for its upstream."
            ) from None
        self.redaction = KeyRedaction(self._key)

    def _retry_wait_s(self, error: RetryableError, retry: int) -> float | None:
        """The wait before the next attempt; None if there is to be no other attempt."""
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = min(BACKOFF_S * 2 ** (retry - 1), MAX_RETRY_WAIT_S) * random.uniform(0.5, 1.0)
        is_too_late = wait_s >= self.limits.left_s()
        if retry > self._settings.upstream_retries or wait_s > MAX_RETRY_WAIT_S or is_too_late:
            return None
        return wait_s

    def _attempt(self) -> None:
        self.status, self.request_id, self.caller_headers, self._requested_at = None, None, {}, None
        if self._streamed:  # a document arrives only when it is finished: only the deadline limits it
            self.limits.begin_wait_for_first_byte()
        response = self._response = self._send()
        self.status = response.status_code
        self.limits.raise_if_cut()
        shown = caller_headers(response.headers, self.redaction.text)
        self.request_id = shown.get("x-request-id")
        self.body = AnswerBody(response, self.limits, self.redaction.text)
        try:
            if not response.is_success or response.status_code == 204:  # 204 has no body
                raise self._refusal(response)
            self.body.detect_kind(self._may_be_served)
        finally:  # only now: a keep-alive sent before may start the answer of another attempt
            self.caller_headers = shown

    def _send(self) -> httpx.Response:
        """Send the request and wait for the head of the response."""
        # The watchdog enforces the limits by `cut`, except while there is no connection yet.
        left_s = max(self.limits.left_s(), 0.001)
        connect_s = min(self._settings.connect_timeout_s, left_s)
        request = httpx.Request(
            self._method,
            self._upstream.url(self._path),
            headers=request_headers(
                self._upstream.host, self._content.size_bytes, self._key_header(), streamed=self._streamed
            ),
            stream=self._content,
            extensions={
                "timeout": {"connect": connect_s, "pool": connect_s, "read": left_s, "write": left_s},
                "trace": self._on_trace,
            },
        )
        try:
            return self._upstream.client.send(request, stream=True)
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            self.limits.raise_if_cut()
            raise failures.connect_timeout() from None
        except httpx.TimeoutException:
            raise failures.deadline_exceeded() from None
        except httpx.TransportError as error:
            self.limits.raise_if_cut()
            log_transport_error("unreachable", error)
            if self._requested_at is not None and is_malformed(error):
                raise failures.unreadable_head() from None
            raise (
                failures.closed_unanswered() if self._may_be_served() else failures.unreachable()
            ) from None

    def _key_header(self) -> dict[str, str]:
        name = self._settings.openai_key_header
        return {name: f"Bearer {self._key}" if name == "authorization" else self._key} if self._key else {}

    def _may_be_served(self) -> bool:
        """Whether the upstream has had the request long enough to have worked on an answer."""
        return self._requested_at is not None and time.monotonic() - self._requested_at > MAYBE_SERVED_AFTER_S

    def _on_trace(self, event: str, info: dict[str, Any]) -> None:
        """Handle an event of httpx's `trace` extension."""
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self._requested_at = time.monotonic()  # CONNECT is for a proxy
        self._upstream.note_connection(event, info)
        if self.limits.was_cut:  # before the connection existed
            self._upstream.shut_connection()

    def _refusal(self, response: httpx.Response) -> UpstreamError:
        document = None
        if 400 <= response.status_code < 500:
            document = failures.error_document(self.body.error_bytes(), self.redaction.text)
        return failures.refusal(
            response.status_code, response.headers, document, may_be_served=self._may_be_served()
        )

    def read_document(self) -> bytes:
        """The whole answer.

        Raises:
            UpstreamError: the body broke off or is too large, or the reason for a cut.
        """
        return self.body.document(self.limits.restart_idle if self._streamed else lambda: None)

    def close(self) -> None:
        """Return the connection to the pool if the answer was read to its end, otherwise close it."""
        if self._response is not None:
            self._response.close()
            self._response.request.extensions.clear()  # breaks a reference cycle with this exchange
            self._response = None
        self.limits.end()


class _Content(httpx.SyncByteStream):
    """The content of a request, sent in pieces."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size_bytes = len(content)

    def drop(self) -> None:
        """Free the memory, which httpx's response would otherwise keep until garbage collection."""
        self._content = b""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), SENT_BYTES):
            yield self._content[start : start + SENT_BYTES]
