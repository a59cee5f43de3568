"""The identity provider's public keys: found by discovery, kept for a while, fetched anew as they rotate."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from relay_error import RequestError
from settings import Settings

FRESH_S = 600.0  # where the provider names no time of its own
SHORTEST_FRESH_S = 60.0  # a provider that says a few seconds would be waited for by every other request
LONGEST_FRESH_S = 3600.0  # a withdrawn key would open doors for as long as the provider says, a day or more
STALE_S = 24 * 3600.0  # keys outlive an outage of the provider for so long: tokens do not change with it

# Anybody can make up key ids: without this wait each of them would cost the provider a request, and us time.
REFETCH_WAIT_S = 30.0
RETRY_WAIT_S = 5.0  # while there is no key at all, and every caller is turned away

TIMEOUT = httpx.Timeout(3.0, connect=2.0)
LONGEST_BODY_S = 3.0  # httpx's timeout begins anew with every byte that trickles in
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

    Args:
        settings: JWT_ISSUER, JWT_JWKS_URL and JWT_ALGORITHMS.
        clock: seconds. Not the monotonic clock, which may stand still while Lambda has frozen the
            environment: a withdrawn key would stay good for as long.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._set = _NO_KEYS
        self._fetched_at = self._stale_at = self._next_fetch_at = -math.inf

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key to check a signature with; None where the issuer has none of this id and algorithm.

        Raises:
            RequestError: 503, there are no keys and the provider gives none.
        """
        if not self._set.size or self._clock() >= self._stale_at:
            self._renew()
        key = self._current().find(kid, algorithm)
        # OpenID Connect Core, 10.1.1: "The verifier knows to go back to the jwks_uri location to re-retrieve
        # the keys when it sees an unfamiliar kid value."
        if key is None and self._renew():
            key = self._current().find(kid, algorithm)
        return key

    def _current(self) -> KeySet:
        now = self._clock()
        if now >= self._fetched_at + STALE_S:
            self._set = _NO_KEYS
        if not self._set.size:
            raise RequestError(
                503,
                "identity_provider_unavailable",
                "The identity provider's keys cannot be had at the moment; no token can be checked.",
                type="server_error",
                headers={"retry-after": str(max(1, math.ceil(self._next_fetch_at - now)))},
            )
        return self._set

    def _renew(self) -> bool:
        """Fetch the keys, unless that was tried just now; whether there are new ones."""
        if self._clock() < self._next_fetch_at:
            return False
        try:
            fetched, fresh_s = _fetch(self._settings)
        except _ProviderError as error:
            logger.warning("the keys of JWT_ISSUER cannot be fetched: %s", error)
            self._next_fetch_at = self._clock() + (REFETCH_WAIT_S if self._set.size else RETRY_WAIT_S)
            return False
        if not fetched.size:  # they take effect all the same: what was withdrawn is no longer good
            logger.warning("JWT_ISSUER publishes no key that can be used with JWT_ALGORITHMS")
        self._set = fetched
        self._fetched_at = self._clock()
        self._stale_at = self._fetched_at + fresh_s
        self._next_fetch_at = self._fetched_at + REFETCH_WAIT_S
        return True


class _ProviderError(Exception):
    """The provider gave no keys: why, without anything of what it sent."""


def _fetch(settings: Settings) -> tuple[KeySet, float]:
    """The keys as they are published now, and for how many seconds they are fresh."""
    try:
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
            url = settings.jwt_jwks_url or _discovered_url(client, settings.jwt_issuer)
            document, cache_control = _get(client, url)
        return key_set(document, settings.jwt_algorithms), fresh_for_s(cache_control)
    # RecursionError: JSON that is nested too deeply. OSError: a file of certificates that is not there.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
        raise _ProviderError(type(error).__name__) from None


def _discovered_url(client: httpx.Client, issuer: str) -> str:
    """Where the issuer says its keys are (OpenID Connect Discovery 1.0)."""
    # 4.1: "any terminating / MUST be removed before appending /.well-known/openid-configuration".
    document, _ = _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
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


def _get(client: httpx.Client, url: str) -> tuple[Any, str]:
    """The JSON at this address, and the answer's Cache-Control."""
    body = bytearray()
    with client.stream("GET", url) as answer:
        if answer.status_code != 200:
            raise _ProviderError(f"status {answer.status_code}")
        ends_at = time.monotonic() + LONGEST_BODY_S
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise _ProviderError(f"an answer over {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > ends_at:
                raise _ProviderError(f"an answer that takes over {LONGEST_BODY_S:g} s")
        cache_control = answer.headers.get("cache-control", "")
    return json.loads(bytes(body)), cache_control
