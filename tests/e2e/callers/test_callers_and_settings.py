"""Caller keys and other settings of a stack; without keys, the default admits no caller."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

KEYS = {"web": "web-key-1", "batch": "batch-key-2"}


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream) -> Iterator[LocalStack]:
    pairs = ",".join(f"{name}:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in KEYS.items())
    settings = {
        "OPENAI_BASE_URL": replay.url,
        "CALLER_KEYS": pairs,
        "ALLOWED_MODELS": "allowed",
        "CALLER_LIMITS": json.dumps({"batch": {"models": ["allowed", "meta/*"]}}),
    }
    with LocalStack(settings) as running:
        yield running


def ask(stack: LocalStack, headers: dict[str, str], model: str = "allowed") -> httpx.Response:
    url = f"{stack.url}/chatCompletion"
    query = {"message": "hi", "model": model}
    return httpx.get(url, params=query, headers=headers, timeout=30, trust_env=False)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_caller_with_a_key_is_named_in_the_transcript(
    guarded: LocalStack, replay: ReplayUpstream, name: str, header: str
) -> None:
    replay.answer("allowed", Reply(answer("Gut.")))
    value = f"Bearer {KEYS[name]}" if header == "authorization" else KEYS[name]
    response = ask(guarded, {header: value})
    assert (response.status_code, response.text) == (200, "Gut.")
    with TranscriptQueue(guarded.endpoint, guarded.queue_url("transcripts")) as queue:
        assert queue.get(response.headers["x-relay-request-id"])["caller"] == name
    received = replay.exchanges("allowed")[-1]
    assert KEYS[name] not in str(received.headers)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": ""}])
def test_a_caller_without_a_valid_key_gets_401_and_the_upstream_gets_no_request(
    guarded: LocalStack, replay: ReplayUpstream, headers: dict[str, str]
) -> None:
    before = len(replay.exchanges("unheard"))
    response = ask(guarded, headers, "unheard")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert len(replay.exchanges("unheard")) == before


@pytest.mark.parametrize(("name", "models"), [("web", ["allowed"]), ("batch", ["meta/llama-5"])])
def test_each_caller_sees_the_models_that_they_may_use(
    guarded: LocalStack, name: str, models: list[str]
) -> None:
    headers = {"authorization": f"Bearer {KEYS[name]}"}
    response = httpx.get(f"{guarded.url}/v1/models", headers=headers, timeout=30, trust_env=False)
    assert response.status_code == 200
    assert [model["id"] for model in response.json()["data"]] == models
    refused = httpx.get(f"{guarded.url}/v1/models", timeout=30, trust_env=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_model_that_is_not_allowed_is_400(guarded: LocalStack) -> None:
    response = ask(guarded, {"x-api-key": KEYS["web"]}, "forbidden")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "model"


def test_health_needs_no_key(guarded: LocalStack) -> None:
    assert httpx.get(f"{guarded.url}/health", trust_env=False).status_code == 200


def test_keys_mode_without_keys_admits_no_caller(replay: ReplayUpstream) -> None:
    with LocalStack({"OPENAI_BASE_URL": replay.url, "AUTH_MODE": "keys"}) as stack:
        for headers in ({}, {"authorization": "Bearer anything"}):
            assert ask(stack, headers).status_code == 401


def test_the_printed_command_has_a_key_only_if_callers_need_one(
    guarded: LocalStack, stack: LocalStack
) -> None:
    assert "-H 'x-api-key: …'" in next(line for line in guarded.output if "curl" in line)
    assert "x-api-key" not in next(line for line in stack.output if "curl" in line)
