"""Tokens through the whole stack: which are accepted and which are not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.tokens.token_issuer import FORGERIES, TokenIssuer
from tests.support.upstreams.dripping_server import DRIPS, DrippingServer
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion

KEYS_FOUND_WITHIN_S = 40.0


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream, issuer: TokenIssuer) -> Iterator[LocalStack]:
    replay.answer("token-model", Reply.json(completion("Gut.")))
    settings = {"OPENAI_BASE_URL": replay.url, "LOG_LEVEL": "DEBUG", **issuer.environment}
    with LocalStack(settings) as running:
        yield running


def ask(stack: LocalStack, token: str, **headers: str) -> httpx.Response:
    body = {"model": "token-model", "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(
        f"{stack.url}/v1/chat/completions",
        json=body,
        headers={"authorization": f"Bearer {token}", **headers},
        timeout=30,
        trust_env=False,
    )


def test_the_transcript_names_the_caller_of_a_valid_token(guarded: LocalStack, issuer: TokenIssuer) -> None:
    response = ask(guarded, issuer.token("alice"))
    assert response.status_code == 200
    with TranscriptQueue(guarded.endpoint, guarded.queue_url("transcripts")) as queue:
        assert queue.get(response.headers["x-relay-request-id"])["caller"] == "alice"


@pytest.mark.parametrize("attack", FORGERIES)
def test_a_forged_token_gets_401_and_nothing_reaches_the_upstream(
    guarded: LocalStack, issuer: TokenIssuer, replay: ReplayUpstream, attack: str
) -> None:
    before = len(replay.exchanges("token-model"))
    token = issuer.forgery(attack)
    response = ask(guarded, token)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_token")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert len(replay.exchanges("token-model")) == before
    assert token not in response.text
    assert token not in "\n".join(guarded.output)


def test_a_token_in_a_cookie_in_the_query_or_in_another_header_does_not_count(
    guarded: LocalStack, issuer: TokenIssuer
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


def test_many_unknown_keys_cause_few_requests_to_the_issuer(guarded: LocalStack, issuer: TokenIssuer) -> None:
    assert ask(guarded, issuer.token()).status_code == 200
    before = issuer.jwks_requests
    for number in range(30):
        assert ask(guarded, issuer.sign(issuer.claims(), kid=f"unknown-{number}")).status_code == 401
    assert issuer.jwks_requests - before <= 2
    assert ask(guarded, issuer.token()).status_code == 200


def test_tokens_during_an_outage_and_after_a_key_rotation_of_the_issuer(replay: ReplayUpstream) -> None:
    replay.answer("token-model", Reply.json(completion("Gut.")))
    with TokenIssuer() as issuer:
        settings = {"OPENAI_BASE_URL": replay.url, "MAX_ENVIRONMENTS": "1", **issuer.environment}
        with LocalStack(settings) as stack:
            issuer.outage = True
            nobody_yet = ask(stack, issuer.token())
            assert (nobody_yet.status_code, nobody_yet.json()["error"]["code"]) == (
                503,
                "identity_provider_unavailable",
            )
            assert int(nobody_yet.headers["retry-after"]) >= 1
            issuer.outage = False
            old = issuer.token()
            until_status(200, stack, old)

            issuer.outage = True
            assert ask(stack, old).status_code == 200  # known keys remain valid

            issuer.outage = False
            issuer.rotate()
            until_status(200, stack, issuer.token())
            assert ask(stack, old).status_code == 401  # its key was retired


def until_status(status: int, stack: LocalStack, token: str) -> None:
    """Ask until the status is this one: new keys are fetched, but not again for each token."""
    moment = time.monotonic() + KEYS_FOUND_WITHIN_S
    while (answer := ask(stack, token)).status_code != status:
        assert time.monotonic() < moment, answer.text
        time.sleep(0.5)


@pytest.mark.parametrize("name", ["head", "early hints"])
def test_an_issuer_that_drips_its_keys_is_a_503_long_before_the_functions_timeout(
    replay: ReplayUpstream, issuer: TokenIssuer, name: str
) -> None:
    with DrippingServer(DRIPS[name]) as slow:
        settings = {"OPENAI_BASE_URL": replay.url, **issuer.environment, "JWT_JWKS_URL": slow.url}
        with LocalStack(settings) as stack:
            started_at = time.monotonic()
            response = ask(stack, issuer.token())
            assert time.monotonic() - started_at < 20  # the function has 300 s
            assert (response.status_code, response.json()["error"]["code"]) == (
                503,
                "identity_provider_unavailable",
            )
            assert slow.ended.acquire(timeout=10)
