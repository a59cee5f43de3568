"""The one way to the OpenAI-compatible API: attempts, limits of time, and whatever httpcore can raise."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore

from chat_stream.memory_bound import MAX_PIECE_BYTES
from errors import UpstreamError
from settings import Settings
from settings_reading.readers import SettingsError, is_this_machine
from upstream import failures
from upstream.body_kind import kind_of_body
from upstream.certificates import trusted_certificates
from upstream.content_coding import UnknownCoding
from upstream.failures import KeyRefusedError, RetryableError
from upstream.headers import caller_headers, headers_by_name, request_headers
from upstream.key import OpenAIKey
from upstream.key_redaction import KeyRedaction
from upstream.proxy import proxy_for
from upstream.transport.body import BROKEN_BODY, MALFORMED_BODY, body_pieces, error_body
from upstream.transport.connection import UpstreamConnections, UpstreamNetwork, UpstreamSocket

MAX_RETRY_WAIT_S = 10.0  # a longer wait is the caller's to make: here it would be billed by the second
BACKOFF_S = 0.5
DONE_GRACE_S = 1.0  # after [DONE] only the end of the body is due; waiting for it keeps the connection usable
# An upstream that closes without an answer later than this after it was asked may have worked on one, and
# each try is billed. A connection that it had closed already, while it was kept, ends at once.
MAYBE_SERVED_AFTER_S = 3.0
MAX_BLANK_BYTES = 64 * 1024  # of keep-alive white space before the first byte of an answer
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_DOCUMENT_BYTES = MAX_PIECE_BYTES

_DEFAULT_PORT = {"http": ":80", "https": ":443"}  # not named in a host header: some servers know no such host

logger = logging.getLogger(__name__)


class Upstream:
    """The HTTP client and the key of one environment; a connection is kept alive between invocations."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.key = OpenAIKey(settings)
        base_url = urlsplit(settings.openai_base_url)
        self.host = base_url.netloc.removesuffix(_DEFAULT_PORT[base_url.scheme])
        proxy = proxy_for(settings.openai_base_url)
        if proxy and base_url.scheme == "http":  # good for this machine, but not by a proxy elsewhere
            host, via = base_url.hostname or "", urlsplit(proxy.url).hostname or ""
            if is_this_machine(host) and not is_this_machine(via):
                raise SettingsError(
                    f"NO_PROXY must name {host}: the key would leave this machine in the clear"
                )
        self.connections = UpstreamConnections(
            ssl_context=trusted_certificates() if base_url.scheme == "https" else None,
            proxy=proxy and httpcore.Proxy(proxy.url, auth=proxy.credentials),
            max_keepalive_connections=1,
            keepalive_expiry=60.0,
            network_backend=UpstreamNetwork(),
        )
        self._connection: UpstreamSocket | None = None  # the one made last

    def close(self) -> None:
        """Close the connection that is kept."""
        self.connections.close()

    def note_connection(self, event: str, info: dict[str, Any]) -> None:
        """Take what httpcore's `trace` extension tells: a connection, before any response could name it."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):  # also by way of a proxy
            self._connection = info["return_value"]

    def shut_connection(self) -> None:
        """End what blocks on the connection, in whatever thread; httpcore has no way to interrupt it."""
        if self._connection is None:
            return
        try:
            self._connection.shut()
        except OSError:
            logger.debug("the upstream's connection was already closed")

    def url(self, path: str) -> str:
        """The address of an endpoint below the base URL."""
        version = self.settings.openai_api_version
        return f"{self.settings.openai_base_url}{path}{f'?api-version={version}' if version else ''}"

    def exchange(self, path: str, body: bytes, *, streamed: bool, deadline_at: float) -> Exchange:
        """A request that is yet to be sent.

        Args:
            path: of the endpoint, below the base URL.
            body: the JSON for the upstream.
            streamed: whether events are asked for, or one document.
            deadline_at: `time.monotonic()` when the answer must have ended.
        """
        return Exchange(self, path, body, streamed=streamed, deadline_at=deadline_at)


class Exchange:
    """One request to the upstream and its answer.

    Another thread may watch the clock: by `limit_at`, `cut_for_silence`, `cut` and `was_cut`.

    Attributes:
        attempts: how often the request was sent.
        request_id: the upstream's `x-request-id`, if it gave one.
        caller_headers: what the caller is shown of the headers of the last attempt's answer.
        is_document: the body is one JSON document, whatever was asked for.
        has_marked_end: the body says where it ends, by its coding or its length.
        redaction: takes the key out of what the upstream says.
    """

    def __init__(
        self, upstream: Upstream, path: str, body: bytes, *, streamed: bool, deadline_at: float
    ) -> None:
        self.attempts = 0
        self.request_id: str | None = None
        self.caller_headers: Mapping[str, str] = {}
        self.is_document = False
        self.has_marked_end = True
        self.redaction = KeyRedaction()
        self._url = upstream.url(path)
        self._key = ""
        self._upstream = upstream
        self._settings = upstream.settings
        self._body = body
        self._streamed = streamed
        self._deadline_at = deadline_at
        self._response: httpcore.Response | None = None
        self._chunks: Iterator[bytes] = iter(())
        self._head, self._coding_shown = b"", ""
        self._limit_at: float | None = None
        self._on_limit: Callable[[], None] = lambda: None
        self._asked_at: float | None = None  # when this attempt's request began to leave
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
        self._take_key()
        retries, renewed = 0, False
        while True:
            self.attempts += 1
            try:
                self._attempt()
            except KeyRefusedError:
                self.close()
                if renewed or not self._upstream.key.is_renewable:
                    raise
                self._take_key(renew=True)
                renewed = True
            except RetryableError as error:
                self.close()
                logger.warning("upstream attempt %d failed: %s", self.attempts, error.code)
                retries += 1
                self._wait_for_retry(error, retries)
            else:
                return

    def _take_key(self, *, renew: bool = False) -> None:
        try:
            left_s = self._deadline_at - time.monotonic()
            self._key = self._upstream.key.read(limit_s=left_s, renew=renew)
        except Exception as error:  # noqa: BLE001 - Powertools and botocore raise many kinds, all fatal here
            logger.error("the OpenAI key cannot be read: %s", type(error).__name__)  # noqa: TRY400 - no secret
            raise UpstreamError(
                502, "upstream_key_unavailable", "The relay has no key for its upstream."
            ) from None
        self.redaction = KeyRedaction(self._key)

    def _wait_for_retry(self, error: RetryableError, retry: int) -> None:
        """Sleep before the next attempt, or raise the error when there is none to come."""
        wait_s = error.retry_after_s
        if wait_s is None:
            wait_s = min(BACKOFF_S * 2 ** (retry - 1), MAX_RETRY_WAIT_S) * random.uniform(0.5, 1.0)
        too_late = time.monotonic() + wait_s >= self._deadline_at
        if retry > self._settings.upstream_retries or wait_s > MAX_RETRY_WAIT_S or too_late:
            raise error
        self.caller_headers = {}  # a comment may leave now, and begin an answer that those do not belong to
        self._was_cut.wait(wait_s)
        self._raise_if_cut()

    def _attempt(self) -> None:
        self.request_id, self.caller_headers, self._asked_at = None, {}, None
        if self._streamed:  # else the answer begins when it is finished, and only the deadline limits it
            self._set_limit(time.monotonic() + self._settings.first_byte_timeout_s)
        response = self._response = self._send()
        self._raise_if_cut()
        headers = headers_by_name(response.headers)
        shown = caller_headers(headers, self.redaction.text)
        self.request_id = shown.get("x-request-id")
        self._chunks = body_pieces(response, headers)
        self.has_marked_end = not headers.keys().isdisjoint(("content-length", "transfer-encoding"))
        if not 200 <= response.status < 300 or response.status == 204:  # which has no body
            refusal = self._refusal(response.status, headers)
            self.caller_headers = shown
            raise refusal
        try:
            self._coding_shown = self.redaction.text(headers.get("content-encoding", ""))
            self._look_at_body(self.redaction.text(headers.get("content-type", "")))
        finally:  # not before: a comment that leaves now may begin the answer of another attempt
            self.caller_headers = shown

    def _send(self) -> httpcore.Response:
        """Send and wait for the response head."""
        # The watchdog keeps the time, by `cut`, except for a connection that is not there yet.
        left_s = max(self._deadline_at - time.monotonic(), 0.001)
        connect_s = min(self._settings.connect_timeout_s, left_s)
        key, name = self._key, self._settings.openai_key_header
        given_key: dict[bytes | str, bytes | str] = (
            {name: f"Bearer {key}" if name == "authorization" else key} if key else {}
        )
        request = httpcore.Request(
            "POST",
            self._url,
            headers=request_headers(self._upstream.host, len(self._body), given_key, streamed=self._streamed),
            content=self._body,
            extensions={
                "timeout": {"connect": connect_s, "pool": connect_s, "read": left_s, "write": left_s},
                "trace": self._on_trace,
            },
        )
        try:
            return self._upstream.connections.handle_request(request)
        except (httpcore.ConnectTimeout, httpcore.PoolTimeout):
            self._raise_if_cut()
            raise failures.unreachable_in_time() from None
        except httpcore.TimeoutException:
            raise failures.deadline_exceeded() from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError) as error:
            self._raise_if_cut()
            _log_transport_error("unreachable", error)
            connection = self._upstream._connection
            if self._asked_at is not None and connection is not None and connection.has_begun_an_answer:
                raise failures.unreadable_head() from None
            raise (failures.closed_unanswered() if self._may_be_served else failures.unreachable()) from None

    @property
    def _may_be_served(self) -> bool:
        """Whether the upstream has had the request for so long that it may have worked on an answer."""
        return self._asked_at is not None and time.monotonic() - self._asked_at > MAYBE_SERVED_AFTER_S

    def _on_trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started") and info["request"].method == b"POST":
            self._asked_at = time.monotonic()  # else it is a proxy that is asked, for a tunnel
        self._upstream.note_connection(event, info)
        if self.was_cut:  # before there was a connection to shut
            self._upstream.shut_connection()

    def _refusal(self, status: int, headers: Mapping[str, str]) -> UpstreamError:
        document = None
        if 400 <= status < 500:
            try:
                body = error_body(self._chunks, MAX_ERROR_BODY_BYTES)
                document = failures.error_document(body, self.redaction.text)
            except BROKEN_BODY as error:  # its status says enough
                _log_transport_error("broke off in an error", error)
        return failures.refusal(status, headers, document, may_be_served=self._may_be_served)

    # -- the body ------------------------------------------------------------------------------------------

    def _look_at_body(self, content_type: str) -> None:
        """Read until the first bytes tell what the upstream sends."""
        kind, is_whole, head = None, False, bytearray()
        while kind is None and not is_whole and len(head) < MAX_BLANK_BYTES:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                chunk, is_whole = b"", True
            except BROKEN_BODY as error:
                self._raise_if_cut()
                raise self._unreadable(error) from None
            head += chunk
            if is_whole or not chunk.isspace():  # blank by blank, the whole head would be looked at anew
                kind = kind_of_body(bytes(head), content_type, is_whole=is_whole)
        self._head = bytes(head)
        self._raise_if_cut()
        if kind is None:
            raise failures.empty(may_be_served=self._may_be_served)
        self.is_document = kind == "document"
        if kind == "other":
            raise failures.not_an_answer(content_type)

    def _unreadable(self, error: Exception) -> UpstreamError:
        """What a body means that has ended before its first byte."""
        if isinstance(error, UnknownCoding):
            return failures.not_an_answer(f"a body of content-encoding {self._coding_shown}")
        if isinstance(error, MALFORMED_BODY):
            return failures.unreadable("The upstream's answer is not encoded as its head says.")
        return failures.closed_at_once(may_be_served=self._may_be_served)

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, one item for each read.

        Raises:
            UpstreamError: the body broke off, or what `cut` was given.
        """
        yield self._head
        self._head = b""
        try:
            for chunk in self._chunks:
                if self._cut_by is not None:  # what has been read may inflate to a thousand times as much
                    raise self._cut_by
                yield chunk
        except BROKEN_BODY as error:
            self._raise_if_cut()
            _log_transport_error("broke off", error)
            raise failures.interrupted() from None
        self._raise_if_cut()  # a body that ends with its connection looks whole when the socket is shut

    def read_document(self) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: as `chunks` does, or the body is over MAX_DOCUMENT_BYTES.
        """
        pieces, size = [], 0
        for chunk in self.chunks():
            if self._streamed:
                self.heard_event()  # a document has no events: each piece of it is a sign of life
            pieces.append(chunk)
            size += len(chunk)
            if size > MAX_DOCUMENT_BYTES:
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
        """`time.monotonic()` when the upstream has been silent for too long; None while nothing limits it."""
        return None if self.was_cut else self._limit_at

    def cut_for_silence(self) -> None:
        """Cut because `limit_at` has passed."""
        settings = self._settings
        if self._heard:
            self.cut(failures.interrupted(f"The upstream fell silent for {settings.idle_timeout_s:g} s."))
        else:
            self.cut(failures.silent_from_the_start(settings.first_byte_timeout_s))

    def cut(self, reason: Exception) -> None:
        """End the exchange from any thread: its reads and waits raise `reason`. The first reason stands."""
        with self._cut_lock:
            if self._cut_by is None:
                self._cut_by = reason
            self._was_cut.set()
        self._upstream.shut_connection()

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


def _log_transport_error(what: str, error: Exception) -> None:
    """The operating system's words help; a protocol error's may repeat what the upstream sent."""
    words = f": {error}" if isinstance(error, httpcore.NetworkError) else ""
    logger.warning("upstream %s: %s%s", what, type(error).__name__, words)
