from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callers.tokens import MAX_TOKEN_CHARACTERS, TokenCallers
from errors import RequestError
from tests.support.tokens.token_callers import callers_of, identify, refusal
from tests.support.tokens.token_issuer import AUDIENCE, FORGERIES, Key, TokenIssuer, compact

# -- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_without_a_reason(issuer: TokenIssuer, callers: TokenCallers, name: str) -> None:
    error = refusal(callers, issuer.forgery(name))
    message = "The token has expired." if name == "expired" else "The token is not valid here."
    assert error.message == message
    assert error.headers == {"www-authenticate": 'Bearer error="invalid_token"'}


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none"])
def test_a_symmetric_algorithm_is_refused_even_if_it_is_configured(algorithm: str) -> None:
    with TokenIssuer() as issuer:
        secret = base64.urlsafe_b64encode(b"x" * 64).decode()
        issuer.keys.append({"kty": "oct", "k": secret, "kid": issuer.key.kid, "alg": algorithm})
        callers = callers_of(issuer, jwt_algorithms=("RS256", algorithm))
        assert identify(callers, issuer.token()) == "alice"
        for name in ("HS256, public key as the secret", "not signed, alg none"):
            refusal(callers, issuer.forgery(name))


def test_a_key_is_used_only_with_its_own_algorithm(issuer: TokenIssuer) -> None:
    callers = callers_of(issuer, jwt_algorithms=("RS256", "RS512", "ES256"))
    other = Key("RS512", 1, kid=issuer.key.kid)  # the same RSA key, with another hash
    assert identify(callers, issuer.token()) == "alice"
    refusal(callers, issuer.sign(issuer.claims(), other))
    refusal(callers, issuer.sign(issuer.claims(), Key("ES256", 1, kid=issuer.key.kid)))


def test_a_key_without_use_operations_and_algorithm_is_used_with_all_that_are_allowed() -> None:
    with TokenIssuer() as issuer:
        issuer.keys = [{name: issuer.key.jwk[name] for name in ("kty", "n", "e", "kid")}]
        callers = callers_of(issuer, jwt_algorithms=("RS256", "PS256"))
        for algorithm in ("RS256", "PS256"):
            key = Key(algorithm, 1, kid=issuer.key.kid)
            assert identify(callers, issuer.sign(issuer.claims(), key)) == "alice"
        refusal(callers, issuer.sign(issuer.claims(), Key("RS512", 1, kid=issuer.key.kid)))


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "", 5, ["JWT"]])
def test_a_token_for_another_use_is_refused(issuer: TokenIssuer, callers: TokenCallers, kind: Any) -> None:
    refusal(callers, issuer.sign(issuer.claims(), typ=kind))


@pytest.mark.parametrize("critical", [["b64"], ["exp"], [], "exp", {}])
def test_any_critical_extension_is_refused(issuer: TokenIssuer, callers: TokenCallers, critical: Any) -> None:
    refusal(callers, issuer.sign(issuer.claims(), crit=critical, b64=True))


@pytest.mark.parametrize("kid", [5, ["a"], {"a": 1}, "", "\ud800", "../../etc/passwd", "' or 1=1 --", "\0"])
def test_a_key_id_is_only_ever_compared(issuer: TokenIssuer, callers: TokenCallers, kid: Any) -> None:
    refusal(callers, issuer.sign(issuer.claims(), kid=kid))


# -- anything at all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer  "}]
)
def test_without_a_token_the_challenge_names_no_error(callers: TokenCallers, headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as raised:
        callers.identify(headers)
    assert (raised.value.status, raised.value.code) == (401, "invalid_token")
    assert raised.value.headers == {"www-authenticate": "Bearer"}


def test_a_token_anywhere_else_is_ignored(issuer: TokenIssuer, callers: TokenCallers) -> None:
    token = issuer.token()
    for headers in (
        {"authorization": token},
        {"authorization": f"Basic {token}"},
        {"x-api-key": token},
        {"cookie": f"__session={token}"},
        {"authorization": f"Bearer\t{token}"},
        {"authorization": f"Bearer {token}, Bearer {token}"},
    ):
        with pytest.raises(RequestError) as raised:
            callers.identify(headers)
        assert raised.value.status == 401


def test_a_token_over_16_kb_is_refused_unread(issuer: TokenIssuer, callers: TokenCallers) -> None:
    assert identify(callers, issuer.token(padding="x" * 8000)) == "alice"
    token = issuer.token(padding="x" * MAX_TOKEN_CHARACTERS)
    refusal(callers, token)
    started = time.process_time()
    refusal(callers, "." * 6_000_000)
    assert time.process_time() - started < 0.5


def json_bomb(opening: bytes) -> bytes:
    return b'{"alg":"RS256","kid":"RS256-1","x":' + opening * (9000 // len(opening))


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(issuer: TokenIssuer, callers: TokenCallers, opening: bytes) -> None:
    bomb = json_bomb(opening)
    refusal(callers, compact(bomb, issuer.claims(), issuer.key.sign))
    refusal(callers, issuer.sign(bomb))


@pytest.mark.parametrize(
    "claims",
    [b"", b"null", b"[]", b"5", b'"a"', b"\xff\xfe", b"{", b'{"exp":' + b"9" * 5000 + b"}", b"\x00", b"NaN"],
)
def test_claims_that_are_not_an_object_are_refused_even_if_the_issuer_signs_them(
    issuer: TokenIssuer, callers: TokenCallers, claims: bytes
) -> None:
    refusal(callers, issuer.sign(claims))
    refusal(callers, compact(claims, issuer.claims(), issuer.key.sign))


PARTS = st.one_of(
    st.binary(max_size=60).map(lambda part: base64.urlsafe_b64encode(part).decode()),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ).map(lambda part: base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")),
    st.fixed_dictionaries(
        {"alg": st.sampled_from(["RS256", "none", "HS256", "", None, 5, ["RS256"]])},
        optional={
            "kid": st.sampled_from(["RS256-1", "", None, 5]),
            "typ": st.sampled_from(["JWT", None, 5]),
            "b64": st.booleans(),
            "crit": st.just(["b64"]),
        },
    ).map(lambda part: base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")),
    st.text(max_size=20),
)


@example(token="\ud800.\ud800.\ud800")
@example(token="\0.\0.\0")
@example(token="....")
@given(token=st.lists(PARTS, max_size=5).map(".".join) | st.text(max_size=200))
def test_any_invalid_token_is_401(issuer: TokenIssuer, callers: TokenCallers, token: str) -> None:
    with pytest.raises(RequestError) as raised:
        identify(callers, token)
    assert raised.value.status == 401


@given(position=st.integers(min_value=0), replacement=st.characters())
def test_a_token_with_any_character_changed_is_refused(
    issuer: TokenIssuer, callers: TokenCallers, position: int, replacement: str
) -> None:
    token = issuer.sign(
        {"iss": issuer.issuer, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 10**6}
    )
    at = position % len(token)
    changed = token[:at] + replacement + token[at + 1 :]
    if changed.strip() == token:
        return
    refusal(callers, changed)


def test_an_error_in_the_library_is_401_and_is_logged_without_its_message(
    issuer: TokenIssuer,
    callers: TokenCallers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def decode(token: str, *rest: object, **options: object) -> None:
        raise ZeroDivisionError(token)

    token = issuer.token()
    monkeypatch.setattr("callers.tokens.jwt.decode", decode)
    refusal(callers, token)
    assert "ZeroDivisionError" in caplog.text
    assert token not in caplog.text


@pytest.mark.parametrize("token", ["\ud800.\ud800.\ud800", "é.é.é", "\0", "a.b.c", "." * 5])
def test_malformed_tokens_are_not_logged(
    callers: TokenCallers, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    refusal(callers, token)
    assert caplog.text == ""


def test_no_part_of_a_token_is_answered_or_logged(
    issuer: TokenIssuer, callers: TokenCallers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for token in [*map(issuer.forgery, FORGERIES), issuer.token("s3cret-name", aud="x")]:
        error = refusal(callers, token)
        output = f"{error.document()!r} {error.headers} {caplog.text}"
        for secret in (*(part for part in token.split(".") if len(part) > 20), "s3cret-name", "alice"):
            assert secret not in output
