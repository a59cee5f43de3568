"""Who is calling: one of the named keys of CALLER_KEYS, or nobody."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from relay_error import RequestError
from settings import Settings

ANONYMOUS = "anonymous"


def identify_caller(headers: Mapping[str, str], settings: Settings) -> str:
    """The caller's name, by the key in `Authorization: Bearer …` or `x-api-key`.

    With AUTH_MODE=none everybody is `anonymous`. With AUTH_MODE=keys and no CALLER_KEYS nobody is let in: an
    open relay never happens by oversight.

    Args:
        headers: by lower-case name.

    Raises:
        RequestError: 401, without a hint whether the key was absent, wrong or never configured.
    """
    if settings.auth_mode == "none":
        return ANONYMOUS
    key = _presented_key(headers)
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    # Every entry is compared, each in constant time: the duration tells nothing about which one is near.
    matches = [name for name, sha256 in settings.caller_keys if hmac.compare_digest(digest, sha256)]
    if not key or not matches:
        raise RequestError(
            401,
            "invalid_api_key",
            "A valid caller key is needed, as `Authorization: Bearer …` or `x-api-key`.",
            type="authentication_error",
            headers={"www-authenticate": "Bearer"},
        )
    return matches[0]


def _presented_key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
