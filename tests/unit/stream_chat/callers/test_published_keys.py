from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callers.published_keys import FRESH_S, MAX_FRESH_S, MIN_FRESH_S, PublishedKeys, fresh_for_s, key_id
from tests.support.tokens.token_issuer import Key

GOOD = Key("RS256", 1)
OTHER = Key("RS256", 2)
NAMELESS = {name: value for name, value in GOOD.jwk.items() if name != "kid"}


def key_ids(jwks: list[Any], *algorithms: str) -> list[str | None]:
    """The ids of the usable keys."""
    return [key.key_id for key in PublishedKeys({"keys": jwks}, algorithms).keys]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": ["RS256"]},
        {"kty": "EC"},
        {"kty": "oct"},
        {"kty": None},
        {"kty": ["RSA"]},
        {"kid": 5},
        {"kid": ["RS256-1"]},
        {"n": "!"},
        {"n": 5},
        {"n": None},
        {"n": ""},
        {"e": "AA"},
        {"e": "AQ"},
        {"e": {}},
        {"d": "AQAB"},
        Key("RS256", 1, bits=1024).jwk,
    ],
    ids=lambda spoilt: json.dumps(spoilt)[:30],
)
def test_a_bad_key_is_ignored_and_the_others_are_used(spoilt: dict[str, Any]) -> None:
    jwks: list[Any] = [{**GOOD.jwk, **spoilt}, None, 5, [], OTHER.jwk]
    assert key_ids(jwks, "RS256") == [key_id(OTHER.kid, "RS256"), key_id(None, "RS256")]


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_an_elliptic_curve_is_used_only_with_its_own_algorithm(algorithm: str) -> None:
    key = Key(algorithm, 1)
    bare = {name: key.jwk[name] for name in ("kty", "crv", "x", "y", "kid")}
    ids = key_ids([bare, OTHER.jwk], "ES256", "ES384", "ES512", "RS256", "EdDSA")
    assert ids == [key_id(key.kid, algorithm), key_id(OTHER.kid, "RS256")]


def test_a_key_whose_private_half_is_published_is_left_out() -> None:
    private = Key("ES256", 1)
    number = private.private.private_numbers().private_value.to_bytes(32, "big")
    jwk = {**private.jwk, "d": base64.urlsafe_b64encode(number).decode().rstrip("=")}
    assert key_ids([jwk], "ES256") == []


def test_a_point_that_is_not_on_the_curve_is_left_out() -> None:
    key = Key("ES256", 1)
    assert key_ids([{**key.jwk, "x": key.jwk["y"]}], "ES256") == []


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "RS256", "none"])
def test_a_symmetric_key_is_never_used(algorithm: str) -> None:
    secret = base64.urlsafe_b64encode(b"x" * 64).decode()
    jwk = {"kty": "oct", "k": secret, "kid": "a", "alg": algorithm}
    assert key_ids([jwk], algorithm, "HS256", "none") == []


def test_a_token_without_a_key_id_means_the_only_usable_key() -> None:
    encryption = {**OTHER.jwk, "use": "enc"}
    for only in (GOOD.jwk, NAMELESS):
        assert key_id(None, "RS256") in key_ids([encryption, only], "RS256")


def test_a_token_without_a_key_id_means_none_of_several_keys() -> None:
    for jwks in ([GOOD.jwk, OTHER.jwk], [NAMELESS, NAMELESS], [NAMELESS, OTHER.jwk]):
        assert key_id(None, "RS256") not in key_ids(jwks, "RS256")


def test_keys_with_the_same_id_are_distinguished_by_their_algorithms() -> None:
    jwks = [Key(algorithm, 1, kid="one").jwk for algorithm in ("RS256", "ES256")]
    assert key_ids(jwks, "RS256", "ES256") == [key_id("one", "RS256"), key_id("one", "ES256")]


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", FRESH_S),
        ("public", FRESH_S),
        ("s-maxage=120", FRESH_S),
        ("max-age=abc", FRESH_S),
        ("max-age=-5", FRESH_S),
        ("max-age=120", 120),
        ('Max-Age="120"', 120),
        ("public,max-age=120, must-revalidate", 120),
        ("max-age=15", MIN_FRESH_S),
        ("no-store", MIN_FRESH_S),
        ("no-cache, max-age=120", MIN_FRESH_S),
        ("max-age=86400", MAX_FRESH_S),
        ("max-age=" + "9" * 5000, MAX_FRESH_S),
    ],
)
def test_cache_control_counts_within_bounds(cache_control: str, seconds: float) -> None:
    assert fresh_for_s(cache_control) == seconds


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.binary(max_size=300).map(lambda data: base64.urlsafe_b64encode(data).decode()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(["RSA", "EC", "OKP", "oct"])
CURVES = st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519"])
MEMBERS = st.fixed_dictionaries(
    {"kty": KINDS | VALUES},
    optional={
        "crv": CURVES | VALUES,
        **dict.fromkeys(("n", "e", "x", "y", "k", "kid", "alg", "use", "key_ops", "d"), VALUES),
    },
)


@given(document=st.fixed_dictionaries({"keys": st.lists(MEMBERS | VALUES, max_size=3)}))
def test_a_bad_member_of_a_key_set_does_not_affect_the_others(document: dict[str, Any]) -> None:
    logging.disable()
    try:
        jwks = [*document["keys"], GOOD.jwk]
        ids = key_ids(jwks, "RS256", "PS512", "ES256", "ES512", "EdDSA")
    finally:
        logging.disable(logging.NOTSET)
    assert key_id(GOOD.kid, "RS256") in ids
