from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callers.tokens import MAX_NAME_CHARACTERS, MAX_TOKEN_CHARACTERS, TokenCallers
from errors import RequestError
from settings import Settings
from tests.support.aws.token_issuer import AUDIENCE, FORGERIES, LIFE_S, Key, TokenIssuer, compact


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def callers(issuer: TokenIssuer) -> TokenCallers:
    return callers_of(issuer)


def callers_of(issuer: TokenIssuer, **values: Any) -> TokenCallers:
    given = {"jwt_issuer": issuer.issuer, "jwt_audiences": (AUDIENCE,), "jwt_algorithms": (issuer.algorithm,)}
    return TokenCallers(Settings(auth_mode="jwt", **{**given, **values}))


def identify(callers: TokenCallers, token: str) -> str:
    return callers.identify({"authorization": f"Bearer {token}"})


def refusal(callers: TokenCallers, token: str) -> RequestError:
    with pytest.raises(RequestError) as raised:
        identify(callers, token)
    error = raised.value
    assert (error.status, error.code, error.type) == (401, "invalid_token", "authentication_error")
    return error


# -- good tokens -------------------------------------------------------------------------------------------


def test_a_good_token_names_its_caller(issuer: TokenIssuer, callers: TokenCallers) -> None:
    assert identify(callers, issuer.token("alice")) == "alice"


def test_the_settings_of_an_environment_suffice(issuer: TokenIssuer) -> None:
    settings = Settings.from_environment({"OPENAI_API_KEY": "k", **issuer.environment})
    assert identify(TokenCallers(settings), issuer.token()) == "alice"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_read_in_any_case(issuer: TokenIssuer, callers: TokenCallers, scheme: str) -> None:
    assert callers.identify({"authorization": f"{scheme}{issuer.token()} "}) == "alice"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_algorithm_that_can_be_set_is_understood(algorithm: str) -> None:
    with TokenIssuer(algorithm) as issuer:
        assert identify(callers_of(issuer), issuer.token()) == "alice"


@pytest.mark.parametrize("kind", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_a_token_of_the_right_type_or_none_is_taken(
    issuer: TokenIssuer, callers: TokenCallers, kind: str | None
) -> None:
    assert identify(callers, issuer.sign(issuer.claims(), typ=kind)) == "alice"


def test_what_the_header_points_to_is_not_looked_at(issuer: TokenIssuer, callers: TokenCallers) -> None:
    identify(callers, issuer.token())
    requests = len(issuer.requests)
    foreign: dict[str, Any] = {"jku": f"{issuer.url}/foreign.json", "x5u": f"{issuer.url}/foreign.pem"}
    assert identify(callers, issuer.sign(issuer.claims(), **foreign)) == "alice"
    assert len(issuer.requests) == requests


# -- the providers -----------------------------------------------------------------------------------------

NOW = int(time.time())
COGNITO_ACCESS: dict[str, Any] = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-example",
    "device_key": "aaaaaaaa-bbbb-cccc-dddd-example",
    "cognito:groups": ["admin"],
    "token_use": "access",
    "scope": "aws.cognito.signin.user.admin",
    "auth_time": NOW,
    "version": 2,
    "jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-example",
    "event_id": "bbbbbbbb-bbbb-cccc-dddd-example",
    "client_id": "57cbishk4j24pabc1234567890",
    "username": "janedoe@example.com",
    "aud": None,
}
COGNITO_ID: dict[str, Any] = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-example",
    "at_hash": "Gb5Z",
    "email_verified": True,
    "cognito:username": "janedoe",
    "cognito:groups": ["admin"],
    "aud": "57cbishk4j24pabc1234567890",
    "token_use": "id",
    "auth_time": NOW,
    "email": "janedoe@example.com",
}
AUTH0_ACCESS = {
    "sub": "auth0|58b3",
    "aud": ["https://api.example.com/chat", "https://tenant.example.com/userinfo"],
    "azp": "sAlZ0000000000000000000000000000",
    "scope": "openid profile email",
    "https://example.com/email": "janedoe@example.com",
}
CLERK_SESSION = {
    "azp": "https://app.example.com",
    "fva": [7, -1],
    "nbf": NOW - 10,
    "sid": "sess_123",
    "sts": "active",
    "sub": "user_123",
    "v": 2,
    "aud": None,
}


@pytest.mark.parametrize(
    ("claims", "header", "settings", "name"),
    [
        (
            COGNITO_ACCESS,
            {"typ": None},
            {"jwt_audience_claim": "client_id", "jwt_audiences": ("57cbishk4j24pabc1234567890",)},
            "aaaaaaaa-bbbb-cccc-dddd-example",
        ),
        (
            COGNITO_ACCESS,
            {"typ": None},
            {
                "jwt_audience_claim": "client_id",
                "jwt_audiences": ("another", "57cbishk4j24pabc1234567890"),
                "jwt_caller_claim": "username",
            },
            "janedoe@example.com",
        ),
        (
            COGNITO_ID,
            {"typ": None},
            {"jwt_audiences": ("57cbishk4j24pabc1234567890",), "jwt_caller_claim": "cognito:username"},
            "janedoe",
        ),
        (AUTH0_ACCESS, {}, {"jwt_audiences": ("https://api.example.com/chat",)}, "auth0|58b3"),
        (
            AUTH0_ACCESS,
            {"typ": "at+jwt"},
            {
                "jwt_audiences": ("https://api.example.com/chat",),
                "jwt_caller_claim": "https://example.com/email",
            },
            "janedoe@example.com",
        ),
        (
            CLERK_SESSION,
            {"cat": "cl_B7d4PD111AAA"},
            {"jwt_audience_claim": "azp", "jwt_audiences": ("https://app.example.com",)},
            "user_123",
        ),
    ],
    ids=["cognito access", "cognito username", "cognito id", "auth0", "auth0 rfc 9068", "clerk"],
)
def test_the_tokens_of_cognito_auth0_and_clerk_are_taken_by_settings_alone(
    claims: dict[str, Any], header: dict[str, Any], settings: dict[str, Any], name: str
) -> None:
    with TokenIssuer(slash=claims is AUTH0_ACCESS) as issuer:
        callers = callers_of(issuer, **settings)
        assert identify(callers, issuer.sign(issuer.claims(**claims), **header)) == name
        for audience in ("elsewhere", None):
            claim = settings.get("jwt_audience_claim", "aud")
            refusal(callers, issuer.sign(issuer.claims(**{**claims, claim: audience}), **header))


def test_an_id_token_of_cognito_is_not_taken_for_an_access_token(issuer: TokenIssuer) -> None:
    client = "57cbishk4j24pabc1234567890"
    callers = callers_of(issuer, jwt_audience_claim="client_id", jwt_audiences=(client,))
    refusal(callers, issuer.token(**COGNITO_ID))


# -- the audience and the issuer ---------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["another", AUDIENCE], [5, None, AUDIENCE]])
def test_one_audience_of_a_list_is_enough(issuer: TokenIssuer, callers: TokenCallers, audience: Any) -> None:
    assert identify(callers, issuer.token(aud=audience)) == "alice"


@pytest.mark.parametrize(
    "audience", [[], [[AUDIENCE]], {AUDIENCE: 1}, AUDIENCE[:-1], AUDIENCE.upper(), 5, ""]
)
def test_any_other_audience_is_refused(issuer: TokenIssuer, callers: TokenCallers, audience: Any) -> None:
    refusal(callers, issuer.token(aud=audience))


@pytest.mark.parametrize("claim", ["client_id", "azp"])
def test_a_client_is_named_by_a_string_alone(issuer: TokenIssuer, claim: str) -> None:
    callers = callers_of(issuer, jwt_audience_claim=claim)
    assert identify(callers, issuer.token(**{claim: AUDIENCE})) == "alice"
    several: dict[str, Any] = {claim: [AUDIENCE]}
    refusal(callers, issuer.token(**several))
    refusal(callers, issuer.token())  # `aud` does not stand in for it


def test_without_audiences_nobody_is_let_in(issuer: TokenIssuer) -> None:
    callers = callers_of(issuer, jwt_audiences=())
    audiences: list[Any] = [AUDIENCE, "", [], None]
    for audience in audiences:
        refusal(callers, issuer.token(aud=audience))


def test_the_slash_at_the_end_of_the_issuer_counts() -> None:
    with TokenIssuer(slash=True) as issuer:
        callers = callers_of(issuer)
        assert identify(callers, issuer.token()) == "alice"
        refusal(callers, issuer.token(iss=issuer.url))


@pytest.mark.parametrize("name", [5, ["ours"], None, ""])
def test_an_issuer_that_is_no_string_is_refused(
    issuer: TokenIssuer, callers: TokenCallers, name: Any
) -> None:
    refusal(callers, issuer.token(iss=[issuer.issuer] if name == ["ours"] else name))


# -- time --------------------------------------------------------------------------------------------------


def test_the_leeway_covers_clocks_that_are_apart(issuer: TokenIssuer) -> None:
    callers, now = callers_of(issuer, jwt_leeway_s=60), int(time.time())
    assert identify(callers, issuer.token(exp=now - 30)) == "alice"
    assert identify(callers, issuer.token(nbf=now + 30, iat=now + 30)) == "alice"
    refusal(callers, issuer.token(exp=now - 90))
    refusal(callers, issuer.token(nbf=now + 90))
    refusal(callers, issuer.token(iat=now + 90))


def test_without_leeway_a_token_ends_on_the_second(issuer: TokenIssuer) -> None:
    refusal(callers_of(issuer, jwt_leeway_s=0), issuer.token(exp=int(time.time()) - 1))


def test_an_expired_token_is_said_to_be_expired_so_that_clients_fetch_another(
    issuer: TokenIssuer, callers: TokenCallers
) -> None:
    error = refusal(callers, issuer.token(exp=int(time.time()) - LIFE_S))
    assert "expired" in error.message
    assert error.headers == {"www-authenticate": 'Bearer error="invalid_token"'}


def test_a_forged_token_is_not_said_to_be_expired(issuer: TokenIssuer, callers: TokenCallers) -> None:
    forged = issuer.sign(issuer.claims(exp=int(time.time()) - LIFE_S), issuer.stranger)
    assert "expired" not in refusal(callers, forged).message


@pytest.mark.parametrize("moment", ["soon", "", [], {}, 1e400, float("nan"), -1, None])
def test_an_expiry_that_is_no_moment_to_come_is_refused(
    issuer: TokenIssuer, callers: TokenCallers, moment: Any
) -> None:
    refusal(callers, issuer.sign({**issuer.claims(), "exp": moment}))


# -- attacks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_opens_nothing_and_is_told_nothing(
    issuer: TokenIssuer, callers: TokenCallers, name: str
) -> None:
    error = refusal(callers, issuer.forgery(name))
    said = "The token has expired." if name == "expired" else "The token is not valid here."
    assert error.message == said
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


def test_a_key_is_used_with_its_own_algorithm_alone(issuer: TokenIssuer) -> None:
    callers = callers_of(issuer, jwt_algorithms=("RS256", "RS512", "ES256"))
    other = Key("RS512", 1, kid=issuer.key.kid)  # the same RSA key, with another hash
    assert identify(callers, issuer.token()) == "alice"
    refusal(callers, issuer.sign(issuer.claims(), other))
    refusal(callers, issuer.sign(issuer.claims(), Key("ES256", 1, kid=issuer.key.kid)))


def test_a_key_that_names_no_algorithm_is_used_with_all_that_are_allowed() -> None:
    with TokenIssuer() as issuer:
        issuer.keys = [{k: v for k, v in issuer.key.jwk.items() if k != "alg"}]
        callers = callers_of(issuer, jwt_algorithms=("RS256", "PS256"))
        for algorithm in ("RS256", "PS256"):
            key = Key(algorithm, 1, kid=issuer.key.kid)
            assert identify(callers, issuer.sign(issuer.claims(), key)) == "alice"
        refusal(callers, issuer.sign(issuer.claims(), Key("RS512", 1, kid=issuer.key.kid)))


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "", 5, ["JWT"]])
def test_a_token_for_another_use_is_refused(issuer: TokenIssuer, callers: TokenCallers, kind: Any) -> None:
    refusal(callers, issuer.sign(issuer.claims(), typ=kind))


@pytest.mark.parametrize("critical", [["b64"], ["exp"], [], "exp", {}])
def test_a_critical_extension_is_refused_whichever_it_is(
    issuer: TokenIssuer, callers: TokenCallers, critical: Any
) -> None:
    refusal(callers, issuer.sign(issuer.claims(), crit=critical, b64=True))


@pytest.mark.parametrize("kid", [5, ["a"], {"a": 1}, "", "\ud800", "../../etc/passwd", "' or 1=1 --", "\0"])
def test_a_key_id_is_only_ever_compared(issuer: TokenIssuer, callers: TokenCallers, kid: Any) -> None:
    refusal(callers, issuer.sign(issuer.claims(), kid=kid))


# -- the caller's name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "x" * MAX_NAME_CHARACTERS, "auth0|5 b", "Zoë", "山田", "*"])
def test_a_printable_name_is_taken_as_it_is(issuer: TokenIssuer, callers: TokenCallers, name: str) -> None:
    assert identify(callers, issuer.token(name)) == name


@pytest.mark.parametrize(
    "name",
    ["", "  ", "x" * (MAX_NAME_CHARACTERS + 1), "a\nb", "a\0", "\ud800", "\u202ea", 5, True, ["a"], {"a": 1}],
)
def test_any_other_name_is_refused(issuer: TokenIssuer, callers: TokenCallers, name: Any) -> None:
    refusal(callers, issuer.token(name))
    other = callers_of(issuer, jwt_caller_claim="nickname")
    refusal(other, issuer.token(nickname=name))


def test_a_token_without_the_callers_claim_is_refused(issuer: TokenIssuer) -> None:
    refusal(callers_of(issuer, jwt_caller_claim="nickname"), issuer.token("alice"))


@pytest.mark.parametrize(
    ("verified", "is_taken"), [(True, True), ("true", True), (False, False), ("false", False), (None, False)]
)
def test_an_address_names_a_caller_only_if_it_is_verified(
    issuer: TokenIssuer, verified: object, is_taken: bool
) -> None:
    callers = callers_of(issuer, jwt_caller_claim="email")
    token = issuer.token(email="a@example.com", email_verified=verified)
    if is_taken:
        assert identify(callers, token) == "a@example.com"
    else:
        refusal(callers, token)


def test_a_session_of_clerks_that_is_not_complete_is_refused(
    issuer: TokenIssuer, callers: TokenCallers
) -> None:
    refusal(callers, issuer.token(sts="pending"))
    assert identify(callers, issuer.token(sts="active")) == "alice"


# -- anything at all ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer  "}]
)
def test_without_a_token_the_challenge_names_no_error(callers: TokenCallers, headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as raised:
        callers.identify(headers)
    assert (raised.value.status, raised.value.code) == (401, "invalid_token")
    assert raised.value.headers == {"www-authenticate": "Bearer"}


def test_a_token_anywhere_else_is_not_seen(issuer: TokenIssuer, callers: TokenCallers) -> None:
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
def test_claims_that_are_no_object_are_refused_even_if_the_issuer_signs_them(
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
def test_whatever_is_sent_ends_in_401(issuer: TokenIssuer, callers: TokenCallers, token: str) -> None:
    with pytest.raises(RequestError) as raised:
        identify(callers, token)
    assert raised.value.status == 401


@given(position=st.integers(min_value=0), replacement=st.characters())
def test_a_token_with_any_character_changed_is_refused(
    issuer: TokenIssuer, callers: TokenCallers, position: int, replacement: str
) -> None:
    token = issuer.sign({"iss": issuer.issuer, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 10**6})
    at = position % len(token)
    changed = token[:at] + replacement + token[at + 1 :]
    if changed.strip() == token:
        return
    refusal(callers, changed)


def test_a_fault_of_the_library_is_401_too_and_logged_without_words(
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
def test_rubbish_does_not_fill_the_log(
    callers: TokenCallers, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    refusal(callers, token)
    assert caplog.text == ""


def test_nothing_of_a_token_is_ever_said_or_logged(
    issuer: TokenIssuer, callers: TokenCallers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for token in [*map(issuer.forgery, FORGERIES), issuer.token("s3cret-name", aud="x")]:
        error = refusal(callers, token)
        said = f"{error.document()!r} {error.headers} {caplog.text}"
        for secret in (*(part for part in token.split(".") if len(part) > 20), "s3cret-name", "alice"):
            assert secret not in said


# -- the provider's keys -----------------------------------------------------------------------------------


def test_a_token_that_cannot_be_good_has_no_keys_fetched_for_it() -> None:
    with TokenIssuer() as issuer:
        callers = callers_of(issuer)
        for name in ("not signed, alg none", "HS256, public key as the secret", "a logout token"):
            refusal(callers, issuer.forgery(name))
        refusal(callers, "rubbish")
        assert issuer.requests == []


def test_without_keys_the_caller_is_told_to_come_again_not_that_his_token_is_bad() -> None:
    with TokenIssuer() as issuer:
        issuer.outage = True
        with pytest.raises(RequestError) as raised:
            identify(callers_of(issuer), issuer.token())
    assert (raised.value.status, raised.value.code) == (503, "identity_provider_unavailable")


def test_after_a_rotation_new_tokens_are_good_and_old_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callers.signing_keys.REFETCH_WAIT_S", 0.0)
    with TokenIssuer() as issuer:
        callers = callers_of(issuer)
        old = issuer.token("old")
        assert identify(callers, old) == "old"
        issuer.rotate()
        assert identify(callers, issuer.token("new")) == "new"
        refusal(callers, old)
