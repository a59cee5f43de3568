"""PyJWT's client for the identity provider's public keys, and what it lacks to be used in a Lambda."""

from __future__ import annotations

import json
import logging
import math
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx
from jwt import PyJWKClient, PyJWKClientError, PyJWTError

from callers.published_keys import PublishedKeys
from errors import unavailable
from settings import Settings
from timed_calls import TimedCall, TimedCalls

STALE_S = 24 * 3600.0  # during an outage of the provider: its tokens stay the same

# Key ids are easily invented: without this wait each one would cost a request to the provider, and time.
REFETCH_WAIT_S = 30.0
RETRY_WAIT_S = 5.0  # while there is no key at all, and every caller is turned away

FETCH_LIMIT_S = 5.0  # for the whole fetch, discovery included: some callers wait for it
TIMEOUT = httpx.Timeout(3.0, connect=2.0)  # for each read, however few bytes it brings
MAX_ANSWER_BYTES = 256 * 1024
HEADERS = {"user-agent": "delta-relay", "accept": "application/json", "accept-encoding": "identity"}

logger = logging.getLogger(__name__)


class SigningKeys(PyJWKClient):
    """The issuer's keys in one environment. It serves one request at a time, so nothing here needs a lock.

    PyJWKClient looks keys up, and asks for new ones when it does not know an id. This class adds discovery,
    limits of a fetch, a wait between fetches, and keys that remain in use while the provider is out.

    Keys are fetched on another thread, one fetch at a time. Known keys serve meanwhile, even stale ones; only
    a request whose key is unknown waits, and no longer than FETCH_LIMIT_S. The result of a fetch is taken by
    the next request that looks for a key, because Lambda may freeze the environment, and the thread with it,
    between any two requests.

    Args:
        settings: JWT_ISSUER, JWT_JWKS_URL and JWT_ALGORITHMS.
        clock: seconds. Not the monotonic clock (which PyJWKClient's own cache uses): it may stand still while
            Lambda has frozen the environment, and a withdrawn key would stay good for that long.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        # OpenID Connect Discovery 1.0, 4.1: "any terminating / MUST be removed before appending
        # /.well-known/openid-configuration".
        discovery_url = f"{settings.jwt_issuer.rstrip('/')}/.well-known/openid-configuration"
        super().__init__(settings.jwt_jwks_url or discovery_url, cache_jwk_set=False)
        self._settings = settings
        self._clock = clock
        self._calls = TimedCalls("signing-keys")
        self._fetch: _Fetch | None = None
        self._known: PublishedKeys | None = None  # None: there are none, or none that can be used
        self._fetched_at = self._next_fetch_at = -math.inf

    def get_jwk_set(self, refresh: bool = False) -> PublishedKeys:
        """The known keys; fetches new ones if these are stale, and waits for them if there are none.

        Args:
            refresh: wait for new keys, unless it is too early to fetch them again. PyJWKClient wants them for
                an unknown id (OpenID Connect Core, 10.1.1: "The verifier knows to go back to the jwks_uri
                location to re-retrieve the keys when it sees an unfamiliar kid value").

        Raises:
            RequestError: 503, there are no keys and the provider gives none.
        """
        self._take_fetched(wait=False)
        age_s = self._clock() - self._fetched_at
        if age_s >= STALE_S:
            self._known = None
        if refresh or self._known is None or age_s >= self._known.fresh_s:
            self._begin_fetch()
        if refresh or self._known is None:
            self._take_fetched(wait=True)
        if self._known is None:
            message = (
                "The identity provider's keys are unavailable at the moment, so no token can be checked."
            )
            wait_s = self._next_fetch_at - self._clock()
            raise unavailable("identity_provider_unavailable", message, wait_s)
        return self._known

    def fetch_data(self, trace: Callable[[str, Mapping[str, Any]], None] | None = None) -> PublishedKeys:
        """Fetch the keys as they are published now.

        Args:
            trace: takes the events of httpcore's `trace` extension.

        Raises:
            PyJWTError: the answer is not as it should be. The message quotes nothing of it.
            Exception: whatever httpx, its URLs or the JSON decoder raise.
        """
        # There are minutes between two fetches: a connection would not last until the next one, least of all
        # while the environment is frozen.
        with httpx.Client(
            follow_redirects=False,  # only JWT_ISSUER and its discovery document say whom to trust
            timeout=TIMEOUT,
            headers=HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        ) as client:
            document, cache_control = _get(client, self.uri, trace)
            if not self._settings.jwt_jwks_url:
                url = _keys_url(document, self._settings.jwt_issuer)
                document, cache_control = _get(client, url, trace)
        return PublishedKeys(document, self._settings.jwt_algorithms, cache_control)

    def _begin_fetch(self) -> None:
        """Begin to fetch the keys, unless a fetch is under way or it is too early for another."""
        now = self._clock()
        if self._fetch is not None or now < self._next_fetch_at:
            return
        fetch = _Fetch(now)
        try:
            fetch.call = self._calls.begin(FETCH_LIMIT_S, partial(self.fetch_data, fetch.note))
        except TimeoutError as error:
            self._note_failure(error, now)
        else:
            self._fetch = fetch

    def _take_fetched(self, *, wait: bool) -> None:
        """Take the keys that the fetch has brought, or drop the fetch if its time is up."""
        fetch = self._fetch
        if fetch is None:
            return
        left_s = fetch.begun_at + FETCH_LIMIT_S - self._clock()  # the thread's own clock may have stood still
        if fetch.call.is_running and not (wait or fetch.call.is_late or left_s <= 0):
            return
        self._fetch = None
        try:
            fetched = fetch.call.result(left_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller who needs a key is not at fault
            fetch.shut()
            self._note_failure(error, min(self._clock(), fetch.begun_at + FETCH_LIMIT_S))
            return
        if not fetched.keys:  # this takes effect as well: withdrawn keys are no longer good
            logger.warning("JWT_ISSUER publishes no key that can be used with JWT_ALGORITHMS")
        self._known = fetched if fetched.keys else None
        self._fetched_at = fetch.begun_at  # the environment may have been frozen since
        self._next_fetch_at = self._fetched_at + REFETCH_WAIT_S

    def _note_failure(self, error: Exception, failed_at: float) -> None:
        reason = str(error) if isinstance(error, PyJWTError) else type(error).__name__
        logger.warning("the keys of JWT_ISSUER cannot be fetched: %s", reason)
        self._next_fetch_at = failed_at + (RETRY_WAIT_S if self._known is None else REFETCH_WAIT_S)


class _Fetch:
    """A fetch that has begun. Shutting its connection ends it, whatever it waits for.

    Attributes:
        call: fetches the keys on its own thread.
        begun_at: when it began, by the clock of SigningKeys.
    """

    call: TimedCall[PublishedKeys]

    def __init__(self, begun_at: float) -> None:
        self.begun_at = begun_at
        self._connection: Any = None
        self._is_shut = False

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event of httpcore's `trace` extension."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._connection = info["return_value"]
        if self._is_shut:
            self.shut()

    def shut(self) -> None:
        """End the connection now, and any later one as soon as it is there."""
        self._is_shut = True
        if self._connection is not None:
            with suppress(OSError):  # it is closed already, or in its TLS handshake, which has a limit
                # Not SSLSocket.shutdown: that drops the TLS object while the reader is using it.
                socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)


def _keys_url(discovery_document: object, issuer: str) -> str:
    """Where the issuer's keys are, by its discovery document (OpenID Connect Discovery 1.0)."""
    # 4.3: the issuer "MUST be identical to the Issuer URL that was used as the prefix".
    if not isinstance(discovery_document, dict) or discovery_document.get("issuer") != issuer:
        raise PyJWKClientError("the discovery document names another issuer; a final / counts")
    url = discovery_document.get("jwks_uri")
    url = url if isinstance(url, str) else ""
    own, parts = urlsplit(issuer), urlsplit(url)
    # No one on the network may change the keys: only https, or http to an issuer on loopback.
    is_own = (parts.scheme, parts.hostname) == (own.scheme, own.hostname)
    if not parts.hostname or not (parts.scheme == "https" or is_own):
        raise PyJWKClientError("the discovery document's jwks_uri must be an https URL")
    return url


def _get(client: httpx.Client, url: str, trace: object) -> tuple[Any, str]:
    """The JSON at this address, and the answer's Cache-Control."""
    body = bytearray()
    with client.stream("GET", url, extensions={"trace": trace}) as answer:
        if answer.status_code != 200:
            raise PyJWKClientError(f"status {answer.status_code}")
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise PyJWKClientError(f"an answer over {MAX_ANSWER_BYTES} bytes")
        cache_control = answer.headers.get("cache-control", "")
    return json.loads(bytes(body)), cache_control
