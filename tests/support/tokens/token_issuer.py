"""An OpenID Connect issuer on loopback, which signs valid tokens and forges others."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from tests.support.network.loopback_server import LoopbackServer, QuietRequest

AUDIENCE = "delta-relay"
LIFE_S = 300
JWKS_PATH = "/keys.json"
DISCOVERY_PATH = "/.well-known/openid-configuration"

_CURVES: Mapping[str, ec.EllipticCurve] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


class Key:
    """A key pair with its id. It is generated once for each number, because RSA keys take long.

    Args:
        algorithm: what it signs with.
        number: keys with different numbers are different keys.
        kid: its id; by default made of algorithm and number.
        bits: the size of an RSA key.
    """

    def __init__(self, algorithm: str, number: int, kid: str | None = None, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.kid = kid or f"{algorithm}-{number}"
        self.private = _private_key(algorithm if algorithm.startswith("E") else "RSA", number, bits)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half as an issuer publishes it."""
        made = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**made, "kid": self.kid, "use": "sig", "alg": self.algorithm, "key_ops": ["verify"]}

    @property
    def pem(self) -> bytes:
        """The public half in PEM, as an attacker may have it."""
        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        return get_default_algorithms()[self.algorithm].sign(message, self.private)


@functools.cache
def _private_key(kind: str, number: int, bits: int) -> Any:
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def compact(
    header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]
) -> str:
    """A token made without a library, because none makes bad ones. Bytes are put in place of the JSON."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    message = b".".join(_base64url(part) for part in parts)
    return (message + b"." + _base64url(sign(message))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TokenIssuer(LoopbackServer):
    """An identity provider that runs while the block lasts.

    Attributes:
        outage: whether every request is answered with 503. This and the next four may be set at any time.
        keys: what is published; JWKs as dictionaries, or anything else.
        discovery: members to add to the discovery document, or to replace.
        cache_control: the header of the answer with the keys.
        answer: status, headers and body in place of every answer.
        issuer: its name, the `iss` of its tokens: `url`, with a slash at the end if `slash`.
        key: the key that it signs with now.
        paths: of all requests, including those during outages.
        requests: the headers of each request, by lower-case name.

    Args:
        algorithm: the one that its keys are for.
        slash: whether its name ends with a slash, as Auth0's does.
    """

    def __init__(self, algorithm: str = "RS256", *, slash: bool = False) -> None:
        super().__init__(_IssuerRequest)
        self.issuer = f"{self.url}/" if slash else self.url
        self.algorithm = algorithm
        self.key = Key(algorithm, 1)
        self._key_number = 1
        self.keys: list[Any] = [self.key.jwk]
        self.discovery: dict[str, Any] = {}
        self.cache_control: str | None = None
        self.outage = False
        self.answer: tuple[int, Mapping[str, str], bytes] | None = None
        self.paths: list[str] = []
        self.requests: list[dict[str, str]] = []

    @property
    def jwks_requests(self) -> int:
        """The number of requests for its keys."""
        return self.paths.count(JWKS_PATH)

    @property
    def discovery_requests(self) -> int:
        """The number of requests for its discovery document."""
        return self.paths.count(DISCOVERY_PATH)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a relay that accepts this issuer's tokens."""
        return {
            "AUTH_MODE": "jwt",
            "JWT_ISSUER": self.issuer,
            "JWT_AUDIENCES": AUDIENCE,
            "JWT_ALGORITHMS": self.algorithm,
        }

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key from now on, and withdraw the old one unless `keep` is set."""
        self._key_number += 1
        self.key = Key(self.algorithm, self._key_number)
        self.keys = [*(self.keys if keep else ()), self.key.jwk]

    def claims(self, sub: str = "alice", **changed: Any) -> dict[str, Any]:
        """The claims of a valid token; a changed claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + LIFE_S, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, sub: str = "alice", **changed: Any) -> str:
        """A token with these `claims`, signed with the present key."""
        return self.sign(self.claims(sub, **changed))

    def sign(self, claims: Mapping[str, Any] | bytes, key: Key | None = None, **header: Any) -> str:
        """A token with any claims, signed; members of the header that are None are left out."""
        key = key or self.key
        members = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **header}
        return compact({name: v for name, v in members.items() if v is not None}, claims, key.sign)

    def forgery(self, name: str) -> str:
        """A token as this entry in FORGERIES makes it."""
        return FORGERIES[name](self)

    @property
    def stranger(self) -> Key:
        """A key that is not the issuer's, with the id of the present key."""
        return Key(self.algorithm, -1, kid=self.key.kid)


def _unsigned(issuer: TokenIssuer, algorithm: str) -> str:
    return compact({"alg": algorithm, "kid": issuer.key.kid}, issuer.claims(), lambda message: b"")


def _symmetric(issuer: TokenIssuer, secret: bytes) -> str:
    header = {"alg": "HS256", "typ": "JWT", "kid": issuer.key.kid}
    return compact(header, issuer.claims(), lambda message: hmac.digest(secret, message, hashlib.sha256))


def _foreign(issuer: TokenIssuer, **header: Any) -> str:
    return issuer.sign(issuer.claims(), issuer.stranger, **header)


def _with_own_key(issuer: TokenIssuer, **header: Any) -> str:
    links = {"jku": f"{issuer.url}/foreign.json", "x5u": f"{issuer.url}/foreign.pem"}
    return _foreign(issuer, jwk=issuer.stranger.jwk, **links, **header)


def _spliced(issuer: TokenIssuer, *owners: str) -> str:
    """A token whose three parts come from the tokens of these owners; an empty owner gives an empty part."""
    return ".".join(owner and issuer.token(owner).split(".")[place] for place, owner in enumerate(owners))


def _at(issuer: TokenIssuer, **seconds_from_now: int) -> str:
    now = int(time.time())
    moments: dict[str, Any] = {name: now + seconds for name, seconds in seconds_from_now.items()}
    return issuer.token(**moments)


# Fault → a token for alice that must be refused, although it is valid in every other respect.
FORGERIES: Mapping[str, Callable[[TokenIssuer], str]] = {
    "not signed, alg none": lambda issuer: _unsigned(issuer, "none"),
    "not signed, alg None": lambda issuer: _unsigned(issuer, "None"),
    "not signed, alg empty": lambda issuer: _unsigned(issuer, ""),
    "not signed, alg of the key": lambda issuer: _unsigned(issuer, issuer.algorithm),
    "signature left out": lambda issuer: _spliced(issuer, "alice", "alice", ""),
    "signature of another token": lambda issuer: _spliced(issuer, "alice", "alice", "bob"),
    "claims changed": lambda issuer: _spliced(issuer, "bob", "alice", "bob"),
    "HS256, public key as the secret": lambda issuer: _symmetric(issuer, issuer.key.pem),
    "HS256, JWK as the secret": lambda issuer: _symmetric(issuer, json.dumps(issuer.key.jwk).encode()),
    "HS256, empty secret": lambda issuer: _symmetric(issuer, b""),
    "foreign key, same kid": _foreign,
    "foreign key, no kid": lambda issuer: _foreign(issuer, kid=None),
    "foreign key, kid of a file": lambda issuer: _foreign(issuer, kid="../../dev/null"),
    "own key in the header, same kid": _with_own_key,
    "own key in the header, unknown kid": lambda issuer: _with_own_key(issuer, kid="unknown"),
    "expired": lambda issuer: _at(issuer, iat=-7200, exp=-3600),
    "without an expiry": lambda issuer: issuer.token(exp=None),
    "not before an hour from now": lambda issuer: _at(issuer, nbf=3600, exp=7200),
    "issued in an hour": lambda issuer: _at(issuer, iat=3600, exp=7200),
    "for another audience": lambda issuer: issuer.token(aud="another-api"),
    "for no audience": lambda issuer: issuer.token(aud=None),
    "of another issuer": lambda issuer: issuer.token(iss="https://issuer.example"),
    "of an issuer with a part of the name": lambda issuer: issuer.token(iss=issuer.issuer[:-2]),
    "of no issuer": lambda issuer: issuer.token(iss=None),
    "without a caller": lambda issuer: issuer.token(sub=""),
    "a critical extension": lambda issuer: issuer.sign(issuer.claims(), crit=["exp"]),
    "a logout token": lambda issuer: issuer.sign(issuer.claims(), typ="logout+jwt"),
}


class _IssuerRequest(QuietRequest):
    server: TokenIssuer

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client did not wait for the whole answer
            self.close_connection = True

    def do_GET(self) -> None:  # noqa: N802 - http.server names it
        issuer = self.server
        issuer.requests.append({name.lower(): value for name, value in self.headers.items()})
        issuer.paths.append(self.path)
        status, headers, body = issuer.answer or self._own_answer()
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _own_answer(self) -> tuple[int, Mapping[str, str], bytes]:
        issuer = self.server
        if issuer.outage:
            return 503, {}, b"down"
        if self.path == DISCOVERY_PATH:
            document = {"issuer": issuer.issuer, "jwks_uri": f"{issuer.url}{JWKS_PATH}", **issuer.discovery}
            return 200, {"content-type": "application/json"}, json.dumps(document).encode()
        if self.path == JWKS_PATH:
            caching = {"cache-control": issuer.cache_control} if issuer.cache_control else {}
            return 200, caching, json.dumps({"keys": issuer.keys}).encode()
        return 404, {}, b""
