"""Identifies callers. AUTH_MODE decides how they prove who they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from callers.key_holders import KeyHolders
from errors import RequestError
from request.http_request import HttpRequest
from settings import Settings

ANONYMOUS = "anonymous"

_SESSION = re.compile(r"^([^/]*:(?:assumed-role/[^/]+|federated-user))/.*$", re.DOTALL)

Identifier = Callable[[HttpRequest], str]


def identifier(settings: Settings) -> Identifier:
    """The function that names the caller of a request, or raises RequestError 401, 403 or 503.

    With AUTH_MODE=keys and no key in CALLER_KEYS or the table of callers every caller is refused, so that an
    oversight cannot open the relay.
    """
    return _IDENTIFIERS[settings.auth_mode](settings)


def _by_token(settings: Settings) -> Identifier:
    from callers.tokens import TokenCallers  # imports the JWT library, which no other mode needs

    callers = TokenCallers(settings)
    return lambda http: callers.identify(http.headers)


def _principal(http: HttpRequest) -> str:
    """The ARN that AWS authenticated; without the session's name if it has one.

    A caller who assumes a role chooses the session's name freely, and each name would have its own limits.

    Raises:
        RequestError: 403 if AWS has checked no signature, as with a public URL or API.
    """
    if not http.principal:
        message = "The request must be signed (AWS Signature Version 4), and AWS must check the signature."
        raise RequestError(403, "unsigned_request", message, type="authentication_error")
    return _SESSION.sub(r"\1", http.principal)


_IDENTIFIERS: Mapping[str, Callable[[Settings], Identifier]] = {
    "keys": lambda settings: KeyHolders(settings).identify,
    "jwt": _by_token,
    "iam": lambda _: _principal,
    "none": lambda _: lambda http: ANONYMOUS,
}
