"""Tokens through the function's URL: which are accepted and which are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.service.served_relay import ServedRelay
from tests.support.tokens.token_issuer import TokenIssuer
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream, issuer: TokenIssuer) -> Iterator[ServedRelay]:
    replay.answer("token-model", Reply.json(completion("Gut.")))
    settings = {"OPENAI_BASE_URL": replay.url, "LOG_LEVEL": "DEBUG", **issuer.environment}
    with ServedRelay(settings) as running:
        yield running


def ask(relay: ServedRelay, token: str, **headers: str) -> httpx.Response:
    body = {"model": "token-model", "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(
        f"{relay.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {token}", **headers},
        timeout=30,
        trust_env=False,
    )


def test_the_transcript_names_the_caller_of_a_valid_token(guarded: ServedRelay, issuer: TokenIssuer) -> None:
    response = ask(guarded, issuer.token("alice"))
    assert response.status_code == 200
    assert guarded.transcript(response.headers["x-relay-request-id"])["caller"] == "alice"


# The unit tests refuse every forgery. These few come by HTTP.
@pytest.mark.parametrize(
    "attack", ["not signed, alg none", "HS256, public key as the secret", "foreign key, same kid", "expired"]
)
def test_a_forged_token_gets_401_and_nothing_reaches_the_upstream(
    guarded: ServedRelay, issuer: TokenIssuer, replay: ReplayUpstream, attack: str
) -> None:
    before = len(replay.exchanges("token-model"))
    token = issuer.forgery(attack)
    response = ask(guarded, token)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_token")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert len(replay.exchanges("token-model")) == before
    assert token not in response.text
    assert token not in "\n".join(guarded.lines)


def test_a_token_in_a_cookie_in_the_query_or_in_another_header_does_not_count(
    guarded: ServedRelay, issuer: TokenIssuer
) -> None:
    token = issuer.token()
    ways: tuple[dict[str, Any], ...] = (
        {"headers": {"cookie": f"token={token}"}},
        {"params": {"access_token": token, "message": "hi"}},
        {"headers": {"x-api-key": token}},
        {"headers": {"x-amzn-oidc-data": token, "x-forwarded-access-token": token}},
    )
    for options in ways:
        response = httpx.get(f"{guarded.url}/chatCompletion", trust_env=False, **options)
        assert response.status_code == 401
