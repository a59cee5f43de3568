from __future__ import annotations

import time
from typing import Any

import pytest

from callers.tokens import MAX_NAME_CHARACTERS, TokenCallers
from errors import RequestError
from settings import Settings
from tests.support.tokens.token_callers import callers_of, identify, refusal
from tests.support.tokens.token_issuer import AUDIENCE, LIFE_S, TokenIssuer

# -- good tokens -------------------------------------------------------------------------------------------


def test_a_good_token_names_its_caller(issuer: TokenIssuer, callers: TokenCallers) -> None:
    assert identify(callers, issuer.token("alice")) == "alice"


def test_environment_variables_configure_all_of_it(issuer: TokenIssuer) -> None:
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
def test_a_token_of_the_right_type_or_none_is_accepted(
    issuer: TokenIssuer, callers: TokenCallers, kind: str | None
) -> None:
    assert identify(callers, issuer.sign(issuer.claims(), typ=kind)) == "alice"


def test_addresses_of_keys_in_the_header_are_ignored(issuer: TokenIssuer, callers: TokenCallers) -> None:
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
def test_tokens_of_cognito_auth0_and_clerk_are_accepted_with_the_right_settings(
    claims: dict[str, Any], header: dict[str, Any], settings: dict[str, Any], name: str
) -> None:
    with TokenIssuer(slash=claims is AUTH0_ACCESS) as issuer:
        callers = callers_of(issuer, **settings)
        assert identify(callers, issuer.sign(issuer.claims(**claims), **header)) == name
        for audience in ("elsewhere", None):
            claim = settings.get("jwt_audience_claim", "aud")
            refusal(callers, issuer.sign(issuer.claims(**{**claims, claim: audience}), **header))


def test_a_cognito_id_token_is_not_accepted_as_an_access_token(issuer: TokenIssuer) -> None:
    client = "57cbishk4j24pabc1234567890"
    callers = callers_of(issuer, jwt_audience_claim="client_id", jwt_audiences=(client,))
    refusal(callers, issuer.token(**COGNITO_ID))


# -- the audience and the issuer ---------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["another", AUDIENCE], [5, None, AUDIENCE]])
def test_one_matching_audience_is_enough(issuer: TokenIssuer, callers: TokenCallers, audience: Any) -> None:
    assert identify(callers, issuer.token(aud=audience)) == "alice"


@pytest.mark.parametrize(
    "audience", [[], [[AUDIENCE]], {AUDIENCE: 1}, AUDIENCE[:-1], AUDIENCE.upper(), 5, ""]
)
def test_any_other_audience_is_refused(issuer: TokenIssuer, callers: TokenCallers, audience: Any) -> None:
    refusal(callers, issuer.token(aud=audience))


@pytest.mark.parametrize("claim", ["client_id", "azp"])
def test_a_client_claim_must_be_one_string(issuer: TokenIssuer, claim: str) -> None:
    callers = callers_of(issuer, jwt_audience_claim=claim)
    assert identify(callers, issuer.token(**{claim: AUDIENCE})) == "alice"
    several: dict[str, Any] = {claim: [AUDIENCE]}
    refusal(callers, issuer.token(**several))
    refusal(callers, issuer.token())  # `aud` is no substitute


def test_without_audiences_every_token_is_refused(issuer: TokenIssuer) -> None:
    callers = callers_of(issuer, jwt_audiences=())
    audiences: list[Any] = [AUDIENCE, "", [], None]
    for audience in audiences:
        refusal(callers, issuer.token(aud=audience))


def test_the_slash_at_the_end_of_the_issuer_counts() -> None:
    with TokenIssuer(slash=True) as issuer:
        callers = callers_of(issuer)
        assert identify(callers, issuer.token()) == "alice"
        refusal(callers, issuer.token(iss=issuer.url))


# -- time --------------------------------------------------------------------------------------------------


def test_the_leeway_allows_for_clocks_that_differ(issuer: TokenIssuer) -> None:
    callers, now = callers_of(issuer, jwt_leeway_s=60), int(time.time())
    assert identify(callers, issuer.token(exp=now - 30)) == "alice"
    assert identify(callers, issuer.token(nbf=now + 30, iat=now + 30)) == "alice"
    refusal(callers, issuer.token(exp=now - 90))
    refusal(callers, issuer.token(nbf=now + 90))
    refusal(callers, issuer.token(iat=now + 90))


def test_a_forged_token_is_not_reported_as_expired(issuer: TokenIssuer, callers: TokenCallers) -> None:
    forged = issuer.sign(issuer.claims(exp=int(time.time()) - LIFE_S), issuer.stranger)
    assert "expired" not in refusal(callers, forged).message


# -- the caller's name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "x" * MAX_NAME_CHARACTERS, "auth0|5 b", "Zoë", "山田", "*"])
def test_a_printable_name_is_kept_unchanged(issuer: TokenIssuer, callers: TokenCallers, name: str) -> None:
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
    ("verified", "is_accepted"),
    [(True, True), ("true", True), (False, False), ("false", False), (None, False)],
)
def test_an_address_names_a_caller_only_if_it_is_verified(
    issuer: TokenIssuer, verified: object, is_accepted: bool
) -> None:
    callers = callers_of(issuer, jwt_caller_claim="email")
    token = issuer.token(email="a@example.com", email_verified=verified)
    if is_accepted:
        assert identify(callers, token) == "a@example.com"
    else:
        refusal(callers, token)


def test_a_pending_clerk_session_is_refused(issuer: TokenIssuer, callers: TokenCallers) -> None:
    refusal(callers, issuer.token(sts="pending"))
    assert identify(callers, issuer.token(sts="active")) == "alice"


# -- the provider's keys -----------------------------------------------------------------------------------


def test_no_keys_are_fetched_for_a_token_that_cannot_be_valid() -> None:
    with TokenIssuer() as issuer:
        callers = callers_of(issuer)
        for name in ("not signed, alg none", "HS256, public key as the secret", "a logout token"):
            refusal(callers, issuer.forgery(name))
        refusal(callers, "rubbish")
        assert issuer.requests == []


def test_without_keys_the_answer_is_503_instead_of_an_invalid_token() -> None:
    with TokenIssuer() as issuer:
        issuer.outage = True
        with pytest.raises(RequestError) as raised:
            identify(callers_of(issuer), issuer.token())
    assert (raised.value.status, raised.value.code) == (503, "identity_provider_unavailable")
