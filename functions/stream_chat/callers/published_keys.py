"""Selects the usable keys among those that an identity provider publishes, and how long they are fresh."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWKSet, PyJWKSetError, PyJWTError

from settings import JWT_ALGORITHMS

FRESH_S = 600.0  # by default, if the provider states no time
MIN_FRESH_S = 60.0  # a provider that says a few seconds would get a request that often
# A withdrawn key stays good for as long as the provider says, which may be a day or more.
MAX_FRESH_S = 3600.0

logger = logging.getLogger(__name__)


def key_id(kid: str | None, algorithm: str) -> str:
    """The id under which PublishedKeys lists the key with this `kid` (None: without one) for an algorithm."""
    return algorithm if kid is None else f"{algorithm}:{kid}"


class PublishedKeys(PyJWKSet):
    """The usable keys of a JWK set (RFC 7517); unlike a PyJWKSet it may be empty.

    PyJWT binds a key to one algorithm and refuses tokens with another, and PyJWKClient looks a key up by its
    id alone. So a key is listed once for each algorithm that it may be used with, under the id from `key_id`.

    Left out are keys for encryption, symmetric keys, keys that are malformed, too short or for none of the
    algorithms, and keys that are published with their private half.

    Args:
        document: the JWK set, as parsed from JSON.
        algorithms: those that tokens may be signed with.
        cache_control: the header that came with the set.

    Attributes:
        keys: may be empty.
        fresh_s: how long the keys are fresh after they were fetched.

    Raises:
        PyJWKSetError: the document is no JWK set.
    """

    def __init__(self, document: object, algorithms: Iterable[str], cache_control: str = "") -> None:
        entries = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise PyJWKSetError("a JWK set must be a JSON object with a list of keys")
        usable = [jwk for jwk in entries if isinstance(jwk, dict) and _verifying_keys(jwk, algorithms)]
        if len(usable) == 1:  # `kid` is optional (RFC 7515, 4.1.4): a token without one means the only key
            usable.append({**usable[0], "kid": None})
        else:  # a token without `kid` is not tried with one key after another
            usable = [jwk for jwk in usable if jwk.get("kid") is not None]
        self.keys = [key for jwk in usable for key in _verifying_keys(jwk, algorithms)]
        self.fresh_s = fresh_for_s(cache_control)


def _verifying_keys(jwk: dict[str, Any], algorithms: Iterable[str]) -> list[PyJWK]:
    """The key, once for each of the algorithms that it may be used with."""
    operations, kid = jwk.get("key_ops", ["verify"]), jwk.get("kid")
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return []
    if not isinstance(kid, str | None) or "d" in jwk:
        return []
    keys: list[PyJWK] = []
    for algorithm in algorithms:
        # None of JWT_ALGORITHMS is symmetric: with a public key as the secret of HS256, anybody could sign
        # (CVE-2022-29217).
        if algorithm not in JWT_ALGORITHMS or jwk.get("alg", algorithm) != algorithm:
            continue
        try:
            key = PyJWK({**jwk, "kid": key_id(kid, algorithm)}, algorithm)
            prepared = key.Algorithm.prepare_key(key.key)  # raises for a curve that is another algorithm's
            # RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used".
            fault = key.Algorithm.check_key_length(prepared)
        except (PyJWTError, UnsupportedAlgorithm) as error:
            fault = type(error).__name__
        if fault is None:
            keys.append(key)
        elif "alg" in jwk:  # a key that names no algorithm may be good for another one
            logger.warning("a key of the identity provider is left out: %s", fault)
    return keys


def fresh_for_s(cache_control: str) -> float:
    """For how many seconds an answer is fresh by its Cache-Control header, within our own bounds."""
    if re.search(r"\bno-(store|cache)\b", cache_control, re.IGNORECASE):
        return MIN_FRESH_S
    max_age = re.search(r'(?:^|[\s,])max-age="?([0-9]{1,10})', cache_control, re.IGNORECASE)
    return min(max(float(max_age[1]), MIN_FRESH_S), MAX_FRESH_S) if max_age else FRESH_S
