"""The identity provider's public keys: found by discovery, kept for a while, fetched anew as they rotate."""

from __future__ import annotations

import json
import logging
import math
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from errors import RequestError
from settings import Settings
from timed_calls import TimedCall, TimedCalls

FRESH_S = 600.0  # where the provider names no time of its own
SHORTEST_FRESH_S = 60.0  # a provider that says a few seconds would be waited for by every other request
LONGEST_FRESH_S = 3600.0  # a withdrawn key would open doors for as long as the provider says, a day or more
STALE_S = 24 * 3600.0  # keys outlive an outage of the provider for so long: tokens do not change with it

# Anybody can make up key ids: without this wait each of them would cost the provider a request, and us time.
REFETCH_WAIT_S = 30.0
RETRY_WAIT_S = 5.0  # while there is no key at all, and every caller is turned away

FETCH_LIMIT_S = 5.0  # for all of it, discovery included: some callers wait for it
TIMEOUT = httpx.Timeout(3.0, connect=2.0)  # of each read, which begins anew with every byte that trickles in
MAX_ANSWER_BYTES = 256 * 1024

MIN_RSA_BITS = 2048  # RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used"

# The form of key, (kty, crv), that an algorithm is for. There is no symmetric one: with a public key as the
# secret of HS256, everybody could sign (CVE-2022-29217).
_RSA: tuple[tuple[str, str | None], ...] = (("RSA", None),)
_FORMS: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
    "ES256": (("EC", "P-256"),),
    "ES384": (("EC", "P-384"),),
    "ES512": (("EC", "P-521"),),
    "EdDSA": (("OKP", "Ed25519"), ("OKP", "Ed448")),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one JWK set that can check a signature.

    Attributes:
        keys: by key id (None for one without) and algorithm; a key stands there with each that it is for.
        size: how many keys these are.
    """

    keys: Mapping[tuple[str | None, str], PyJWK]
    size: int

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key of this id, for this algorithm; without an id the only key, if there is but one."""
        if kid is not None:
            return self.keys.get((kid, algorithm))
        if self.size != 1:
            return None
        return next((key for (_, fitting), key in self.keys.items() if fitting == algorithm), None)


_NO_KEYS = KeySet({}, 0)


def key_set(document: object, algorithms: Iterable[str]) -> KeySet:
    """The usable keys of a JWK set (RFC 7517).

    Left out are keys for encryption, symmetric ones, those that are malformed, too short or for none of the
    algorithms, and those published with their private half.

    Args:
        document: the set, as parsed from JSON.
        algorithms: the ones that tokens may be signed with.

    Raises:
        ValueError: the document is no JWK set.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("a JWK set must be a JSON object with a list of keys")  # noqa: TRY004 - a bad document
    keys: dict[tuple[str | None, str], PyJWK] = {}
    size = 0
    for entry in entries:
        usable = _usable(entry, algorithms) if isinstance(entry, dict) else {}
        size += bool(usable)
        for algorithm, key in usable.items():
            keys.setdefault((entry.get("kid"), algorithm), key)
    return KeySet(keys, size)


def _usable(jwk: dict[str, Any], algorithms: Iterable[str]) -> dict[str, PyJWK]:
    """Algorithm → the key made for it: PyJWT binds a key to one, and takes no other from a token."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return {}
    if not isinstance(jwk.get("kid"), str | None) or "d" in jwk:
        return {}
    made: dict[str, PyJWK] = {}
    for algorithm in algorithms:
        form = (jwk.get("kty"), None if jwk.get("kty") == "RSA" else jwk.get("crv"))
        if form not in _FORMS.get(algorithm, ()) or jwk.get("alg", algorithm) != algorithm:
            continue
        try:
            key = PyJWK(jwk, algorithm)
        except (PyJWTError, UnsupportedAlgorithm) as error:
            logger.warning("a key of the identity provider is left out: %s", type(error).__name__)
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
            logger.warning("a key of the identity provider is left out: RSA below %d bits", MIN_RSA_BITS)
            continue
        made[algorithm] = key
    return made


def fresh_for_s(cache_control: str) -> float:
    """For how many seconds an answer is fresh by its Cache-Control header, within our own bounds."""
    if re.search(r"\bno-(store|cache)\b", cache_control, re.IGNORECASE):
        return SHORTEST_FRESH_S
    max_age = re.search(r'(?:^|[\s,])max-age="?([0-9]{1,10})', cache_control, re.IGNORECASE)
    if max_age is None:
        return FRESH_S
    return min(max(float(max_age[1]), SHORTEST_FRESH_S), LONGEST_FRESH_S)


class SigningKeys:
    """The issuer's keys, of one environment: it serves one request at a time, and so nothing is locked.

    Keys are fetched on another thread, one fetch at a time. Known keys serve meanwhile, even stale ones; only
    who needs a key that is not there waits, and no longer than FETCH_LIMIT_S. What was fetched is taken by
    the next request that looks for a key, for Lambda may freeze the environment, and the thread with it,
    between any two.

    Args:
        settings: JWT_ISSUER, JWT_JWKS_URL and JWT_ALGORITHMS.
        clock: seconds. Not the monotonic clock, which may stand still while Lambda has frozen the
            environment: a withdrawn key would stay good for as long.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = TimedCalls("signing-keys")
        self._fetch: _Fetch | None = None
        self._set = _NO_KEYS
        self._fetched_at = self._stale_at = self._next_fetch_at = -math.inf

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key to check a signature with; None where the issuer has none of this id and algorithm.

        Raises:
            RequestError: 503, there are no keys and the provider gives none.
        """
        self._take_fetched(wait=False)
        now = self._clock()
        if now >= self._fetched_at + STALE_S:
            self._set = _NO_KEYS
        if not self._set.size or now >= self._stale_at:
            self._begin_fetch()
        if not self._set.size:
            self._take_fetched(wait=True)
        key = self._current().find(kid, algorithm)
        if key is None:
            # OpenID Connect Core, 10.1.1: "The verifier knows to go back to the jwks_uri location to
            # re-retrieve the keys when it sees an unfamiliar kid value."
            self._begin_fetch()
            if self._take_fetched(wait=True):
                key = self._current().find(kid, algorithm)
        return key

    def _current(self) -> KeySet:
        if not self._set.size:
            wait_s = max(1, math.ceil(self._next_fetch_at - self._clock()))
            raise RequestError(
                503,
                "identity_provider_unavailable",
                "The identity provider's keys cannot be had at the moment; no token can be checked.",
                type="server_error",
                headers={"retry-after": str(wait_s)},
            )
        return self._set

    def _begin_fetch(self) -> None:
        """Begin to fetch the keys, unless that is being done, or was tried just now."""
        now = self._clock()
        if self._fetch is not None or now < self._next_fetch_at:
            return
        connection = _Connection()
        try:
            call = self._calls.begin(FETCH_LIMIT_S, lambda: _fetched(self._settings, connection))
        except TimeoutError as error:
            self._note_failure(error, now)
        else:
            self._fetch = _Fetch(call, connection, now)

    def _take_fetched(self, *, wait: bool) -> bool:
        """Take what the fetch has brought, or drop it if its time is up; whether there are new keys."""
        fetch = self._fetch
        if fetch is None:
            return False
        left_s = fetch.begun_at + FETCH_LIMIT_S - self._clock()  # the other clock may have stood still
        if fetch.call.is_running and not (wait or fetch.call.is_late or left_s <= 0):
            return False
        self._fetch = None
        try:
            fetched, fresh_s = fetch.call.result(left_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the fault of who asks for a key
            fetch.connection.shut()
            self._note_failure(error, min(self._clock(), fetch.begun_at + FETCH_LIMIT_S))
            return False
        if not fetched.size:  # they take effect all the same: what was withdrawn is no longer good
            logger.warning("JWT_ISSUER publishes no key that can be used with JWT_ALGORITHMS")
        self._set = fetched
        self._fetched_at = fetch.begun_at  # the environment may have slept since then
        self._stale_at = self._fetched_at + fresh_s
        self._next_fetch_at = self._fetched_at + REFETCH_WAIT_S
        return True

    def _note_failure(self, error: Exception, failed_at: float) -> None:
        reason = str(error) if isinstance(error, _ProviderError) else type(error).__name__
        logger.warning("the keys of JWT_ISSUER cannot be fetched: %s", reason)
        self._next_fetch_at = failed_at + (REFETCH_WAIT_S if self._set.size else RETRY_WAIT_S)


class _Connection:
    """The connection that a fetch uses at present: to shut it ends the fetch, whatever it waits for."""

    def __init__(self) -> None:
        self._stream: Any = None
        self._is_shut = False

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Take what httpcore's `trace` extension tells."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]
        if self._is_shut:
            self.shut()

    def shut(self) -> None:
        """End it now, and every later one as soon as it is there."""
        self._is_shut = True
        if self._stream is not None:
            with suppress(OSError):  # it is closed already, or in its TLS handshake, which has a limit
                # Not SSLSocket.shutdown: that drops the TLS object under the reader's feet.
                socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A fetch that has begun, and when, by the clock of SigningKeys."""

    call: TimedCall[tuple[KeySet, float]]
    connection: _Connection
    begun_at: float


class _ProviderError(Exception):
    """The provider gave no keys: why, without anything of what it sent."""


def _fetched(settings: Settings, connection: _Connection) -> tuple[KeySet, float]:
    """The keys as they are published now, and for how many seconds they are fresh."""
    # Once in minutes: a connection would not outlast the time in between, nor the environment's sleep.
    with httpx.Client(
        follow_redirects=False,  # whom to trust is said by JWT_ISSUER and its discovery document alone
        timeout=TIMEOUT,
        headers={
            "user-agent": "delta-relay",
            "accept": "application/json",
            "accept-encoding": "identity",
        },
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as client:
        get = partial(_get, client, connection)
        document, cache_control = get(settings.jwt_jwks_url or _discovered_url(get, settings.jwt_issuer))
    return key_set(document, settings.jwt_algorithms), fresh_for_s(cache_control)


def _discovered_url(get: Callable[[str], tuple[Any, str]], issuer: str) -> str:
    """Where the issuer says its keys are (OpenID Connect Discovery 1.0)."""
    # 4.1: "any terminating / MUST be removed before appending /.well-known/openid-configuration".
    document, _ = get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    # 4.3: the issuer "MUST be identical to the Issuer URL that was used as the prefix".
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise _ProviderError("the discovery document is not of this issuer; a final / counts")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not _is_safe(url, issuer):
        raise _ProviderError("the discovery document's jwks_uri must be an https URL")
    return url


def _is_safe(url: str, issuer: str) -> bool:
    """Whether nobody on the way can change the keys: https, or the issuer's own host on loopback."""
    own, parts = urlsplit(issuer), urlsplit(url)
    is_own = (parts.scheme, parts.hostname) == (own.scheme, own.hostname)
    return bool(parts.hostname) and (parts.scheme == "https" or is_own)


def _get(client: httpx.Client, connection: _Connection, url: str) -> tuple[Any, str]:
    """The JSON at this address, and the answer's Cache-Control."""
    body = bytearray()
    with client.stream("GET", url, extensions={"trace": connection.note}) as answer:
        if answer.status_code != 200:
            raise _ProviderError(f"status {answer.status_code}")
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise _ProviderError(f"an answer over {MAX_ANSWER_BYTES} bytes")
        cache_control = answer.headers.get("cache-control", "")
    return json.loads(bytes(body)), cache_control
