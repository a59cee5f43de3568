"""AUTH_MODE=iam through the whole stack: the URL verifies signatures, and the function trusts only it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from botocore.credentials import Credentials

from tests.support.aws.signed_requests import signed_headers
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion

BODY = json.dumps({"model": "iam-model", "messages": [{"role": "user", "content": "hi"}]}).encode()
LOCAL_USER = "arn:aws:iam::123456789012:user/local"


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream) -> Iterator[LocalStack]:
    replay.answer("iam-model", Reply.json(completion("Gut.")))
    with LocalStack({"OPENAI_BASE_URL": replay.url, "AUTH_MODE": "iam"}) as running:
        yield running


def post(stack: LocalStack, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    url = f"{stack.url}/v1/chat/completions"
    return httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)


def signed(stack: LocalStack, credentials: Credentials | None = None) -> dict[str, str]:
    url, headers = f"{stack.url}/v1/chat/completions", {"content-type": "application/json"}
    if credentials is None:
        return signed_headers("POST", url, BODY, headers)
    return signed_headers("POST", url, BODY, headers, credentials)


def test_the_transcript_names_the_caller_who_signed(guarded: LocalStack, replay: ReplayUpstream) -> None:
    response = post(guarded, signed(guarded))
    assert response.status_code == 200
    with TranscriptQueue(guarded.endpoint, guarded.queue_url("transcripts")) as queue:
        assert queue.get(response.headers["x-relay-request-id"])["caller"] == LOCAL_USER
    assert "AWS4-HMAC" not in str(replay.exchanges("iam-model")[-1].headers)


def test_a_request_without_a_valid_signature_does_not_reach_the_function(
    guarded: LocalStack, replay: ReplayUpstream
) -> None:
    before = len(replay.exchanges("iam-model"))
    claims = {"x-amzn-iam-user-arn": LOCAL_USER, "x-api-key": "local", "authorization": "Bearer local"}
    for response in (
        post(guarded, {}),
        post(guarded, claims),
        post(guarded, signed(guarded), BODY.replace(b"hi", b"ho")),
        post(guarded, signed(guarded, Credentials("local", "guessed"))),
        post(guarded, signed(guarded, Credentials("somebody", "local"))),
    ):
        assert response.status_code == 403
        assert "x-relay-request-id" not in response.headers
    assert len(replay.exchanges("iam-model")) == before
