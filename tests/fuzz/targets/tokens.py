"""Bearer tokens as a fuzz target: any header and any claims, with a valid signature or without.

An input is flags · JOSE header · newline · claims. Header and claims are signed unchanged, so a token may
hold anything that an issuer can sign.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from callers.published_keys import PublishedKeys
from callers.signing_keys import SigningKeys
from callers.tokens import TokenCallers
from errors import RequestError
from settings import Settings
from tests.fuzz.fuzz_timing import Seen

# Flags in the first byte.
SIGNED = 1
AS_IT_IS = 2  # the rest of the input is the value of the `authorization` header

ISSUER, AUDIENCE, LEEWAY_S = "https://id.example", "relay", 30

_SETTINGS = Settings(
    openai_base_url="https://upstream.invalid/v1",
    auth_mode="jwt",
    jwt_issuer=ISSUER,
    jwt_audiences=(AUDIENCE,),
    jwt_algorithms=("EdDSA", "RS256", "ES256"),
    jwt_leeway_s=LEEWAY_S,
)
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # the same in every run


def jwk() -> dict[str, Any]:
    """The issuer's public key."""
    public = _KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig", "x": _base64url(public)}


def claims() -> dict[str, Any]:
    """Claims that are valid for decades."""
    return {"iss": ISSUER, "aud": [AUDIENCE], "sub": "web", "exp": 4102444800, "nbf": 1, "iat": 1}


def identify_token(data: bytes) -> Seen:
    """Assert that a token is refused with 401, unless it is signed and has valid claims."""
    flags, text = (data[0], data[1:]) if data else (0, b"")
    header, _, payload = text.partition(b"\n")
    token = _token(header, payload, is_signed=bool(flags & SIGNED))
    bearer = text.decode("utf-8", "surrogateescape") if flags & AS_IT_IS else f"Bearer {token}"
    callers, keys = _callers_and_keys()
    keys.found = False
    try:
        name = callers.identify({"authorization": bearer})
    except RequestError as error:
        assert error.status == 401, error.status
        assert error.headers["www-authenticate"].startswith("Bearer")
        return Seen("refused" if keys.found else "no token")  # a signature is checked only if a key was found
    assert name.strip()
    assert name.isprintable()
    if not flags & AS_IT_IS:  # otherwise the input itself holds a signature
        assert flags & SIGNED, "a token without a signature was accepted"
        _check_taken(json.loads(header), json.loads(payload), name)
    return Seen("taken")


def _check_taken(header: Mapping[str, Any], payload: Mapping[str, Any], name: str) -> None:
    assert header["alg"] == "EdDSA"
    assert header.get("kid") in ("k1", None)
    assert payload["iss"] == ISSUER
    assert payload["sub"] == name
    assert payload["aud"] == AUDIENCE or AUDIENCE in payload["aud"]
    assert int(payload["exp"]) > time.time() - LEEWAY_S


def _token(header: bytes, payload: bytes, *, is_signed: bool) -> str:
    signed = f"{_base64url(header)}.{_base64url(payload)}"
    signature = _KEY.sign(signed.encode()) if is_signed else bytes(64)
    return f"{signed}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class _KnownKeys(SigningKeys):
    """The issuer's keys, without an issuer to ask."""

    def __init__(self) -> None:
        super().__init__(_SETTINGS)
        self.found = False
        self._published = PublishedKeys({"keys": [jwk()]}, _SETTINGS.jwt_algorithms)

    def get_jwk_set(self, refresh: bool = False) -> PublishedKeys:
        return self._published

    def get_signing_key(self, kid: str) -> PyJWK:
        key = super().get_signing_key(kid)
        self.found = True
        return key


@cache
def _callers_and_keys() -> tuple[TokenCallers, _KnownKeys]:
    callers, keys = TokenCallers(_SETTINGS), _KnownKeys()
    callers._keys = keys
    return callers, keys
