"""The one way to the OpenAI-compatible API: attempts, limits of time, and whatever httpx can raise."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx

import upstream_failures as failures
from openai_key import OpenAIKey
from relay_error import UpstreamError
from settings import Settings
from upstream_failures import KeyRefusedError, RetryableError

MAX_RETRY_WAIT_S = 10.0  # a longer wait is the caller's to make: here it would be billed by the second
BACKOFF_S = 0.5
DONE_GRACE_S = 1.0  # after [DONE] only the end of the body is due; waiting for it keeps the connection usable
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_COMPLETION_BYTES = 16 * 1024 * 1024  # the same as for one event of a stream
_SNIFF_BYTES = len(b"event:")
_SSE_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BLANK = b"\xef\xbb\xbf \t\r\n"

logger = logging.getLogger(__name__)


class Upstream:
    """The HTTP client and the key of one environment; connections are kept alive between invocations."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = OpenAIKey(settings)
        self.url = f"{settings.openai_base_url}/chat/completions"
        self.client = httpx.Client(
            follow_redirects=False,  # a redirect would carry the key to a host that nobody has chosen
            limits=httpx.Limits(max_keepalive_connections=1, keepalive_expiry=60.0),
            headers={"user-agent": "delta-relay", "accept-encoding": "identity"},
        )

    def exchange(self, body: bytes, *, streamed: bool, deadline_at: float) -> Exchange:
        """A request that is yet to be sent.

        Args:
            body: the JSON for the upstream.
            streamed: whether events are asked for, or one completion.
            deadline_at: `time.monotonic()` when the answer must have ended.
        """
        return Exchange(self, body, streamed=streamed, deadline_at=deadline_at)


class Exchange:
    """One request to the upstream and its answer. Only `cut` may be called by another thread.

    Attributes:
        attempts: how often the request was sent.
        request_id: the upstream's `x-request-id`, if it gave one.
        is_completion: the body is one JSON document, whatever was asked for.
    """

    def __init__(self, upstream: Upstream, body: bytes, *, streamed: bool, deadline_at: float) -> None:
        self.attempts = 0
        self.request_id: str | None = None
        self.is_completion = False
        self._upstream = upstream
        self._settings = upstream.settings
        self._body = body
        self._streamed = streamed
        self._deadline_at = deadline_at
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._head = b""
        self._limit_at: float | None = None  # None while httpx' own timeouts are in charge
        self._on_limit: Callable[[], None] = lambda: None
        self._heard = False
        self._was_cut = threading.Event()
        self._cut_by: Exception | None = None
        self._cut_lock = threading.Lock()

    # -- opening -------------------------------------------------------------------------------------------

    def open(self, on_limit: Callable[[], None]) -> None:
        """Send the request until an attempt brings the first bytes of an answer; only then is a retry over.

        Args:
            on_limit: called whenever `limit_at` has come nearer: who waits for it must look again.

        Raises:
            UpstreamError: the last attempt's failure, or what `cut` was given.
        """
        self._on_limit = on_limit
        key = self._read_key()
        renewed = False
        while True:
            self.attempts += 1
            try:
                self._attempt(key)
            except KeyRefusedError:
                self.close()
                if renewed or not self._upstream.key.is_renewable:
                    raise
                key, renewed = self._read_key(renew=True), True
            except RetryableError as error:
                self.close()
                logger.warning("upstream attempt %d failed: %s", self.attempts, error.code)
                self._wait_for_retry(error)
            else:
                return

    def _read_key(self, *, renew: bool = False) -> str:
        try:
            return self._upstream.key.read(renew=renew)
        except Exception as error:  # noqa: BLE001 - Powertools and botocore raise many kinds, all fatal here
            logger.error("the OpenAI key cannot be read: %s", type(error).__name__)  # noqa: TRY400 - no secret
            raise UpstreamError(
                502, "upstream_key_unavailable", "The relay has no key for its upstream."
            ) from None

    def _wait_for_retry(self, error: RetryableError) -> None:
        """Sleep before the next attempt, or raise the error when there is none to come."""
        wait_s = BACKOFF_S * 2 ** (self.attempts - 1) * random.uniform(0.5, 1.0)
        if error.retry_after_s is not None:
            wait_s = error.retry_after_s
        too_late = time.monotonic() + wait_s >= self._deadline_at
        if self.attempts > self._settings.upstream_retries or wait_s > MAX_RETRY_WAIT_S or too_late:
            raise error
        self._was_cut.wait(wait_s)
        self._raise_if_cut()

    def _attempt(self, key: str) -> None:
        started_at = time.monotonic()
        self._response = self._send(key)
        self._raise_if_cut()
        self._set_limit(started_at + self._settings.first_byte_timeout_s)
        self.request_id = self._response.headers.get("x-request-id")
        if self._response.status_code != 200:
            raise self._refusal(self._response, key)
        encoded = "content-encoding" in self._response.headers  # asked for identity; inflated all the same
        self._chunks = self._response.iter_bytes() if encoded else self._response.iter_raw()
        self._look_at_body(self._response.headers.get("content-type", ""))

    def _send(self, key: str) -> httpx.Response:
        """Send and wait for the response head. No other thread can interrupt that: timeouts must do."""
        left_s = max(self._deadline_at - time.monotonic(), 0.001)
        settings = self._settings
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if self._streamed else "application/json",
        }
        if key:
            headers["authorization"] = f"Bearer {key}"
        first_byte_s = min(settings.first_byte_timeout_s, left_s)
        timeout = httpx.Timeout(first_byte_s, connect=min(settings.connect_timeout_s, left_s))
        client = self._upstream.client
        request = client.build_request(
            "POST", self._upstream.url, content=self._body, headers=headers, timeout=timeout
        )
        try:
            response = client.send(request, stream=True)
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            raise failures.unreachable_in_time() from None
        except httpx.TimeoutException:
            raise self._silent_before_first_byte(first_byte_s) from None
        except httpx.TransportError as error:
            _log_transport_error("unreachable", error)
            raise failures.unreachable() from None
        # From here on the watchdog keeps the time; httpcore asks for the timeout again at the body.
        request.extensions["timeout"]["read"] = left_s
        return response

    def _silent_before_first_byte(self, waited_s: float) -> UpstreamError:
        if waited_s < self._settings.first_byte_timeout_s:
            return failures.deadline_exceeded()
        return failures.silent_from_the_start(waited_s)

    def _refusal(self, response: httpx.Response, key: str) -> UpstreamError:
        status, document = response.status_code, None
        if 400 <= status < 500:
            document = failures.error_document(self._error_body(response), key)
        return failures.refusal(status, response.headers, document)

    def _error_body(self, response: httpx.Response) -> bytes:
        """The body of an error; empty if it is too large or breaks off, for its status says enough."""
        body = b""
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ERROR_BODY_BYTES:
                    return b""
        except httpx.RequestError as error:
            _log_transport_error("broke off in an error", error)
            return b""
        return body

    # -- the body ------------------------------------------------------------------------------------------

    def _look_at_body(self, content_type: str) -> None:
        """Read the first bytes and tell by them, more than by the type, what the upstream sends.

        Gateways send HTML with status 200, completions where events were asked for, events under any type.
        """
        is_typed = content_type.split(";")[0].strip().lower() == "text/event-stream"
        wanted = 1 if is_typed else _SNIFF_BYTES
        try:
            while len(self._head.lstrip(_BLANK)) < wanted:
                self._head += next(self._chunks)
        except StopIteration:
            pass  # a short body: judged by what there is
        except httpx.RequestError:
            self._raise_if_cut()
            raise failures.closed_at_once() from None
        self._raise_if_cut()
        start = self._head.lstrip(_BLANK)
        if not start:
            raise failures.empty()
        self.is_completion = start.startswith(b"{")
        looks_like_events = start.startswith(_SSE_STARTS) or (is_typed and not start.startswith(b"<"))
        if not (self.is_completion or (self._streamed and looks_like_events)):
            raise failures.not_an_answer(content_type)

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, one item for each read.

        Raises:
            UpstreamError: the body broke off, or what `cut` was given.
        """
        yield self._head
        self._head = b""
        try:
            yield from self._chunks
        except httpx.RequestError as error:
            self._raise_if_cut()
            _log_transport_error("broke off", error)
            raise failures.interrupted() from None
        self._raise_if_cut()  # a body that ends with its connection looks whole when the socket is shut

    def read_completion(self) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: as `chunks` does, or the body is over MAX_COMPLETION_BYTES.
        """
        pieces, size = [], 0
        for chunk in self.chunks():
            pieces.append(chunk)
            size += len(chunk)
            if size > MAX_COMPLETION_BYTES:
                raise failures.too_large("The upstream's answer is too large.")
        return b"".join(pieces)

    # -- time ----------------------------------------------------------------------------------------------

    def heard_event(self, *, done: bool = False) -> None:
        """An event has come: the idle time starts anew. Comments are none, they can hide a stall."""
        self._heard = True
        self._set_limit(time.monotonic() + (DONE_GRACE_S if done else self._settings.idle_timeout_s))

    def _set_limit(self, limit_at: float) -> None:
        is_nearer = self._limit_at is None or limit_at < self._limit_at
        self._limit_at = limit_at
        if is_nearer:
            self._on_limit()

    def limit_at(self) -> float | None:
        """`time.monotonic()` when the upstream has been silent for too long; None while httpx watches."""
        return None if self.was_cut else self._limit_at

    def cut_for_silence(self) -> None:
        """Cut because `limit_at` has passed."""
        if self._heard:
            idle_s = self._settings.idle_timeout_s
            self.cut(failures.interrupted(f"The upstream fell silent for {idle_s:g} s."))
        else:
            self.cut(self._silent_before_first_byte(self._settings.first_byte_timeout_s))

    def cut(self, reason: Exception) -> None:
        """End the exchange from any thread: its reads and waits raise `reason`. The first reason stands."""
        with self._cut_lock:
            if self._cut_by is None:
                self._cut_by = reason
            self._was_cut.set()
        response = self._response
        if response is not None:
            _shut_socket(response)

    @property
    def was_cut(self) -> bool:
        """Whether `cut` has been called."""
        return self._was_cut.is_set()

    def _raise_if_cut(self) -> None:
        if self._cut_by is not None:
            raise self._cut_by

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else close it."""
        if self._response is not None:
            self._response.close()
            self._response = None
        self._limit_at = None
        self._head = b""


def _shut_socket(response: httpx.Response) -> None:
    """End a read of another thread at once; httpx has no other way to interrupt one."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if not isinstance(connection, socket.socket):
        return
    try:
        # Not SSLSocket.shutdown: that drops the TLS object under the reader's feet.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        logger.debug("the upstream's socket was already closed")


def _log_transport_error(what: str, error: httpx.RequestError) -> None:
    """The operating system's words help; a protocol error's may repeat what the upstream sent."""
    words = f": {error}" if isinstance(error, httpx.NetworkError) else ""
    logger.warning("upstream %s: %s%s", what, type(error).__name__, words)
