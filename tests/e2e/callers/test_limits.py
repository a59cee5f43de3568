"""Limits of each caller through the whole stack: requests, tokens and money, one table for all."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, completion

CALLERS = ("poor", "rich", "slow", "plain", "steady", "browser", "spender")
LIMITS = {
    "poor": {"tokens_per_day": 100},
    "slow": {"requests_per_minute": 1},
    "browser": {"requests_per_minute": 1},
    "rich": {"tokens_per_day": 1_000_000, "requests_per_minute": 1000},
    "spender": {"usd_per_day": 0.5, "usd_per_month": 5, "max_output_tokens": 100},
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
        "MODEL_PRICES": json.dumps({"limits-*": {"input": 1, "output": 2}}),
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


def test_a_spent_budget_in_money_is_refused_and_shown(limited: LocalStack, replay: ReplayUpstream) -> None:
    def usage(key: str | None) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.get(f"{limited.url}/v1/usage", headers=headers, timeout=60, trust_env=False)

    replay.answer("limits-dear", Reply.json(used(600_001)))
    assert ask(limited, "spender", "limits-dear").status_code == 200
    refused = until_status(429, lambda: ask(limited, "spender", "limits-dear"))
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert (refused.headers["x-should-retry"], refused.headers["x-ratelimit-remaining-usd-day"]) == (
        "false",
        "0",
    )
    month, day = usage("spender").json()["data"]
    assert (day["name"], day["limit"], day["remaining"]) == ("usd_per_day", 0.5, 0)
    assert day["used"] >= 0.600002
    assert (month["name"], month["remaining"]) == ("usd_per_month", 5 - month["used"] - month["reserved"])
    assert 0 < day["resets_at"] - time.time() <= 86_400
    unpriced = ask(limited, "spender", "other-model").json()["error"]
    assert (unpriced["code"], unpriced["param"]) == ("model_not_priced", "model")
    assert usage("plain").json() == {"object": "list", "data": []}
    for key in (None, "wrong"):
        unknown = usage(key)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "invalid_api_key")
