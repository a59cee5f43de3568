"""Identifies callers by their tokens, from any identity provider that signs JWTs and publishes its keys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

import jwt

from callers.published_keys import key_id
from callers.signing_keys import SigningKeys
from errors import RequestError
from settings import Settings

MAX_TOKEN_CHARACTERS = 16 * 1024  # most servers accept no longer header; tokens usually have 1 or 2 KB
MAX_NAME_CHARACTERS = 256  # OpenID Connect Core, 2: `sub` "MUST NOT exceed 255 ASCII characters"

# RFC 8725, 3.11: a token that names its type must be meant for this use. Logout tokens have the same signer.
TOKEN_TYPES = ("jwt", "at+jwt")  # RFC 7519, 5.1, and RFC 9068, 2.1

logger = logging.getLogger(__name__)


class TokenCallers:
    """Names callers by their bearer tokens.

    Args:
        settings: everything that begins with JWT_.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = SigningKeys(settings)

    def identify(self, headers: Mapping[str, str]) -> str:
        """The caller's name: the claim JWT_CALLER_CLAIM of the token in `Authorization: Bearer …`.

        Args:
            headers: by lower-case name.

        Raises:
            RequestError: 401 for anything but a token that is valid here, 503 while there are no keys. The
                message gives no reason, except that a token has expired, so that the client fetches another.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            _refuse("A token of the identity provider is needed, as `Authorization: Bearer …`.", "Bearer")
        try:
            return self._caller(self._claims(token))
        except jwt.ExpiredSignatureError:
            _refuse("The token has expired.")
        except jwt.PyJWTError:
            _refuse()
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps a token from being checked, it is refused
            logger.warning("a token could not be checked: %s", type(error).__name__)
            _refuse()

    def _claims(self, token: str) -> dict[str, Any]:
        """The token's claims, after its signature, issuer and times have been checked."""
        settings = self._settings
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise jwt.InvalidTokenError
        header = jwt.get_unverified_header(token)
        algorithm, kind = header.get("alg"), header.get("typ", "JWT")
        # RFC 7515, 4.1.11: a critical extension that is not understood makes the token invalid. None is here.
        if algorithm not in settings.jwt_algorithms or "crit" in header:
            raise jwt.InvalidAlgorithmError
        # RFC 7515, 4.1.9: "application/" may be left out.
        if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TOKEN_TYPES:
            raise jwt.InvalidTokenError
        # Keys in the token, or at an address in it (jwk, jku, x5c, x5u), are ignored.
        key = self._keys.get_signing_key(key_id(header.get("kid"), algorithm))
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=settings.jwt_issuer,
            leeway=settings.jwt_leeway_s,
            options={
                "require": ["exp", "iss"],
                "verify_aud": False,  # not every provider names it `aud`: see `_has_our_audience`
                "enforce_minimum_key_length": True,
            },
        )

    def _caller(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._settings.jwt_caller_claim)
        if not self._has_our_audience(claims):
            raise jwt.InvalidAudienceError
        if not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise jwt.InvalidTokenError
        if len(name) > MAX_NAME_CHARACTERS:
            raise jwt.InvalidTokenError
        # Many providers let users claim any address until it is verified (OpenID Connect Core, 5.1).
        if self._settings.jwt_caller_claim == "email" and claims.get("email_verified") not in (True, "true"):
            raise jwt.InvalidTokenError
        if claims.get("sts") == "pending":  # Clerk: a second factor or another task is still missing
            raise jwt.InvalidTokenError
        return name

    def _has_our_audience(self, claims: Mapping[str, Any]) -> bool:
        """Whether the audience claim holds one of JWT_AUDIENCES; only `aud` may be a list (RFC 7519)."""
        claim = self._settings.jwt_audience_claim
        audience = claims.get(claim)
        named = audience if claim == "aud" and isinstance(audience, list) else [audience]
        return any(isinstance(one, str) and one in self._settings.jwt_audiences for one in named)


def _refuse(
    message: str = "The token is not valid here.", challenge: str = 'Bearer error="invalid_token"'
) -> NoReturn:
    """Raise 401 with the challenge of RFC 6750, 3. If the request has no token, it holds no error code."""
    headers = {"www-authenticate": challenge}
    raise RequestError(401, "invalid_token", message, type="authentication_error", headers=headers) from None
