"""Identifies callers. AUTH_MODE decides how they prove who they are."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import partial

from errors import RequestError
from request.http_request import HttpRequest
from settings import Settings

ANONYMOUS = "anonymous"

_SESSION = re.compile(r"^([^/]*:(?:assumed-role/[^/]+|federated-user))/.*$", re.DOTALL)

Identifier = Callable[[HttpRequest], str]


def identifier(settings: Settings) -> Identifier:
    """The function that names the caller of a request, or raises RequestError 401, 403 or 503.

    With AUTH_MODE=keys and no CALLER_KEYS every caller is refused, so that an oversight cannot open the
    relay.
    """
    return _IDENTIFIERS[settings.auth_mode](settings)


def _by_key(settings: Settings) -> Identifier:
    return partial(_key_holder, settings.caller_keys)


def _by_token(settings: Settings) -> Identifier:
    from callers.tokens import TokenCallers  # imports the JWT library, which no other mode needs

    callers = TokenCallers(settings)
    return lambda http: callers.identify(http.headers)


def _by_signature(settings: Settings) -> Identifier:
    return _principal


def _anonymous(settings: Settings) -> Identifier:
    return lambda http: ANONYMOUS


_IDENTIFIERS: Mapping[str, Callable[[Settings], Identifier]] = {
    "keys": _by_key,
    "jwt": _by_token,
    "iam": _by_signature,
    "none": _anonymous,
}


def _key_holder(caller_keys: tuple[tuple[str, str], ...], http: HttpRequest) -> str:
    """The name that belongs to the key in `Authorization: Bearer …` or `x-api-key`.

    Raises:
        RequestError: 401. It does not tell whether the key was absent, wrong or never configured.
    """
    key = _presented_key(http.headers)
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    # Every entry is compared, each in constant time, so the duration does not tell which one was close.
    matches = [name for name, sha256 in caller_keys if hmac.compare_digest(digest, sha256)]
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


def _principal(http: HttpRequest) -> str:
    """The ARN that AWS authenticated; without the session's name if it has one.

    A caller who assumes a role chooses the session's name freely, and each name would have its own limits.

    Raises:
        RequestError: 403 if AWS has checked no signature, as with a public URL or API.
    """
    if not http.principal:
        raise RequestError(
            403,
            "unsigned_request",
            "The request must be signed (AWS Signature Version 4), and AWS must check the signature.",
            type="authentication_error",
        )
    return _SESSION.sub(r"\1", http.principal)
