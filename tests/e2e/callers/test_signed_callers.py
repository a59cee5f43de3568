"""AUTH_MODE=iam through the whole way: the URL verifies signatures, and the function trusts only it."""

from __future__ import annotations

import json

import httpx
from botocore.credentials import Credentials

from tests.support.aws.signed_requests import signed_headers
from tests.support.observability.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion

BODY = json.dumps({"model": "iam-model", "messages": [{"role": "user", "content": "hi"}]}).encode()
LOCAL_USER = "arn:aws:iam::123456789012:user/local"


def post(relay: ServedRelay, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    url = f"{relay.url}/v1/chat/completions"
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)


def signed(relay: ServedRelay, credentials: Credentials | None = None) -> dict[str, str]:
    url, headers = f"{relay.url}/v1/chat/completions", {"content-type": "application/json"}
    if credentials is None:
        return signed_headers("POST", url, BODY, headers)
    return signed_headers("POST", url, BODY, headers, credentials)


def test_the_transcript_names_the_caller_who_signed(
    signed_relay: ServedRelay, replay: ReplayUpstream
) -> None:
    replay.answer("iam-model", Reply.json(completion("Gut.")))
    response = post(signed_relay, signed(signed_relay))
    assert response.status_code == 200
    transcript = signed_relay.transcript(response.headers["x-relay-request-id"])
    assert transcript["caller"] == LOCAL_USER
    assert "AWS4-HMAC" not in str(replay.exchanges("iam-model")[-1].headers)


def test_a_request_without_a_valid_signature_does_not_reach_the_function(
    signed_relay: ServedRelay, replay: ReplayUpstream
) -> None:
    before = len(replay.exchanges("iam-model"))
    claims = {"x-amzn-iam-user-arn": LOCAL_USER, "x-api-key": "local", "authorization": "Bearer local"}
    for response in (
        post(signed_relay, {}),
        post(signed_relay, claims),
        post(signed_relay, signed(signed_relay), BODY.replace(b"hi", b"ho")),
        post(signed_relay, signed(signed_relay, Credentials("local", "guessed"))),
        post(signed_relay, signed(signed_relay, Credentials("somebody", "local"))),
    ):
        assert response.status_code == 403
        assert "x-relay-request-id" not in response.headers
    assert len(replay.exchanges("iam-model")) == before
