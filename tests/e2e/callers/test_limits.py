"""Limits of each caller through the whole stack: requests per minute, tokens per day, one table for both."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, completion, event

CALLERS = ("crowd", "poor", "rich", "slow", "cut", "plain", "steady", "browser", "spender")
LIMITS = {
    "crowd": {"requests_per_minute": 50},
    "poor": {"tokens_per_day": 100},
    "slow": {"requests_per_minute": 1},
    "browser": {"requests_per_minute": 1},
    "cut": {"tokens_per_day": 1000},
    "rich": {"tokens_per_day": 1_000_000, "requests_per_minute": 1000},
    "spender": {"tokens_per_day": 10_000, "max_output_tokens": 500},
    "steady": {"models": ["limits-*"], "max_output_tokens": 9},
}
MINUTE_S = 60


@pytest.fixture(scope="module")
def limited(replay: ReplayUpstream) -> Iterator[LocalStack]:
    keys = ",".join(f"{name}:{hashlib.sha256(name.encode()).hexdigest()}" for name in CALLERS)
    settings = {
        "OPENAI_BASE_URL": replay.url,
        "CALLER_KEYS": keys,
        "CALLER_LIMITS": json.dumps(LIMITS),
        "MAX_ENVIRONMENTS": "10",
    }
    with LocalStack(settings) as running:
        yield running


def ask(stack: LocalStack, key: str, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    headers = {"x-api-key": key}
    return httpx.post(
        f"{stack.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
    )


def until_early_in_a_minute(room_s: float) -> None:
    """Wait until at least this much of the current minute is left."""
    left_s = MINUTE_S - time.time() % MINUTE_S
    if left_s < room_s:
        time.sleep(left_s + 0.1)


def used(total: int) -> dict[str, Any]:
    usage = {"prompt_tokens": total - 1, "completion_tokens": 1, "total_tokens": total}
    return completion("Gut.", usage=usage)


def test_a_limit_of_fifty_admits_exactly_fifty_of_a_hundred_parallel_requests(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    replay.answer("limits-crowd", Reply.json(used(3)))
    until_early_in_a_minute(25)
    with ThreadPoolExecutor(10) as callers:  # one for each environment
        answers = list(callers.map(lambda _: ask(limited, "crowd", "limits-crowd"), range(100)))
    assert Counter(response.status_code for response in answers) == {200: 50, 429: 50}
    assert len(replay.exchanges("limits-crowd")) == 50
    remaining = sorted(int(r.headers["x-ratelimit-remaining-requests"]) for r in answers if r.is_success)
    assert remaining == list(range(50))


def test_a_refusal_is_openais_429_and_says_when_to_retry(limited: LocalStack, replay: ReplayUpstream) -> None:
    replay.answer("limits-slow", Reply.json(used(3)))
    until_early_in_a_minute(10)
    assert ask(limited, "slow", "limits-slow").status_code == 200
    refused = ask(limited, "slow", "limits-slow")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", "requests")
    assert 1 <= int(refused.headers["retry-after"]) <= MINUTE_S
    assert refused.headers["x-ratelimit-limit-requests"] == "1"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_a_spent_budget_affects_only_its_own_caller(limited: LocalStack, replay: ReplayUpstream) -> None:
    replay.answer("limits-poor", Reply.json(used(101)))
    assert ask(limited, "poor", "limits-poor").status_code == 200
    refused = until_status(429, lambda: ask(limited, "poor", "limits-poor"))
    assert refused.json()["error"]["type"] == "tokens"
    assert refused.headers["x-should-retry"] == "false"
    # No field of the request changes who the caller is, and the other callers still have their budgets.
    posed = ask(limited, "poor", "limits-poor", user="rich", metadata={"caller": "rich"})
    assert ask(limited, "poor", "limits-poor", caller="rich").status_code == 400
    assert posed.status_code == 429
    assert ask(limited, "rich", "limits-poor").status_code == 200
    assert ask(limited, "plain", "limits-poor").status_code == 200


def until_status(status: int, send: Any, limit_s: float = 20.0) -> httpx.Response:
    """Ask until the status is this one: usage is counted shortly after an answer has ended."""
    moment = time.monotonic() + limit_s
    while (response := send()).status_code != status:
        assert time.monotonic() < moment, response.text
        time.sleep(0.1)
    return response  # type: ignore[no-any-return]


def test_the_usage_of_an_answer_that_breaks_off_is_estimated(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    replay.answer("limits-cut", Reply([event("word " * 1000), 0.1], ends="cut"))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(
            f"{limited.url}/chatCompletion",
            params={"message": "hi", "model": "limits-cut"},
            headers={"x-api-key": "cut"},
            trust_env=False,
            timeout=30,
        )
    replay.answer("limits-cut", Reply.json(used(3)))
    until_status(429, lambda: ask(limited, "cut", "limits-cut"))


def test_callers_who_hang_up_on_large_prompts_exceed_their_budget_by_at_most_one_request(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    garbage = "iVBORw0KGgo+" * 2000
    large = garbage * 50
    data_url = {"url": f"data:image/png;base64,{large}"}
    prompts: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": large}}]}]},
        {"messages": [{"role": "tool", "content": [{"type": "image_url", "image_url": data_url}]}]},
        {"tools": [{"type": "function", "function": {"parameters": {"image_url": data_url}}}]},
        {"messages": [{"role": "user", "content": garbage}]},
    ]
    replay.answer("limits-spent", Reply([event("Well,"), 0.2] * 50))

    def hang_up(fields: dict[str, Any]) -> int:
        body = {
            "model": "limits-spent",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            **fields,
        }
        request = ("POST", f"{limited.url}/v1/chat/completions")
        client = httpx.Client(headers={"x-api-key": "spender"}, timeout=60, trust_env=False)
        with client, client.stream(*request, json=body) as response:
            next(response.iter_bytes(), b"")
        return response.status_code

    with ThreadPoolExecutor(8) as callers:
        statuses = list(callers.map(hang_up, prompts * 6))
    assert set(statuses) == {200, 429}
    reached = [len(json.dumps(exchange.body)) for exchange in replay.exchanges("limits-spent")]
    assert sum(reached) + 500 * len(reached) <= 10_000 + max(reached) + 500


def test_callers_with_limits_of_their_own_do_not_see_the_upstreams(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    theirs = {
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-tokens": "1ms",
        "x-request-id": "r",
    }
    replay.answer(
        "limits-shown", Reply(answer("Gut."), headers={"content-type": "text/event-stream", **theirs})
    )
    rich = ask(limited, "rich", "limits-shown", stream=True).headers
    assert rich["x-ratelimit-limit-requests"] == "1000"
    assert 0 < int(rich["x-ratelimit-remaining-requests"]) < 1000
    assert int(rich["x-ratelimit-remaining-tokens"]) <= 1_000_000
    assert rich["x-ratelimit-reset-tokens"] != "1ms"
    assert rich["x-request-id"] == "r"
    assert ask(limited, "plain", "limits-shown", stream=True).headers.items() >= theirs.items()


def test_the_models_and_the_cap_of_a_caller_apply_to_that_caller_only(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    for model in ("limits-own", "other-model"):
        replay.answer(model, Reply.json(used(3)))
    assert ask(limited, "steady", "other-model").json()["error"]["code"] == "model_not_allowed"
    assert ask(limited, "plain", "other-model").status_code == 200
    assert ask(limited, "steady", "limits-own").status_code == 200
    assert replay.exchanges("limits-own")[-1].body["max_completion_tokens"] == 9
    assert ask(limited, "steady", "limits-own", max_tokens=10).json()["error"]["param"] == "max_tokens"


def test_an_event_source_that_reconnects_needs_its_key_and_uses_no_budget(
    limited: LocalStack, replay: ReplayUpstream
) -> None:
    replay.answer("limits-browser", Reply(answer("Gut.")))
    url = f"{limited.url}/chatCompletion?message=hi&model=limits-browser"

    def get(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        accept = {"accept": "text/event-stream"}
        return httpx.get(url, headers=accept | named, timeout=60, trust_env=False).status_code

    until_early_in_a_minute(10)
    assert get(last_event_id="r-1") == 401
    assert [get(last_event_id="r-1", x_api_key="browser") for _ in range(3)] == [410] * 3
    assert [get(x_api_key="browser") for _ in range(2)] == [200, 429]
    assert len(replay.exchanges("limits-browser")) == 1
