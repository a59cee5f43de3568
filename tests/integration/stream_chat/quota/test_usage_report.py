"""What callers are told about their limits, read from a table over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import RequestError
from quota.limits import limits as limits_of
from quota.rate_limits import RateLimits
from quota.usage_report import usage_report
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.network.faulty_proxy import Fault, FaultyProxy
from tests.support.quota.admitting_process import PATIENCE_S, chat_request
from tests.support.quota.limit_counters import (
    CAP,
    HALF_PAST,
    HELD,
    PROMPT,
    PROMPT_TOKENS,
    TO_MIDNIGHT_S,
    Clock,
    settings,
    transcript,
)

pytestmark = pytest.mark.usefixtures("patient")

LIMITED = settings(
    model_prices={"m": {"input": 2, "output": 10}},
    requests_per_minute=60,
    tokens_per_day=10_000,
    usd_per_day=0.5,
    usd_per_month=5,
    max_output_tokens=CAP,
)
MINUTES_END, MIDNIGHT = int(HALF_PAST) + 17, int(HALF_PAST) + TO_MIDNIGHT_S
MONTHS_END = MIDNIGHT + 5 * 86_400


def reported(uses: Any) -> list[dict[str, Any]]:
    answer = usage_report(uses)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    document = json.loads(answer.body)
    assert document["object"] == "list"
    data: list[dict[str, Any]] = document["data"]
    return data


def line(name: str, resets_at: int, *amounts: float | None) -> dict[str, Any]:
    named = zip(("limit", "used", "reserved", "remaining"), amounts, strict=True)
    return {"name": name, **dict(named), "resets_at": resets_at}


def test_each_limit_is_reported_while_an_answer_runs_and_after_it(caller: str, clock: Clock) -> None:
    limits = RateLimits(LIMITED, now=clock)
    assert reported(limits.usage(caller, LIMITED)) == [
        line("requests_per_minute", MINUTES_END, 60, 0, 0, 60),
        line("usd_per_month", MONTHS_END, 5, 0, 0, 5),
        line("usd_per_day", MIDNIGHT, 0.5, 0, 0, 0.5),
        line("tokens_per_day", MIDNIGHT, 10_000, 0, 0, 10_000),
    ]
    admission = limits.admit(caller, LIMITED, chat_request(PROMPT))
    running = [
        line("requests_per_minute", MINUTES_END, 60, 1, 0, 59),
        line("usd_per_month", MONTHS_END, 5, 0.000516, 0.001722, 4.997762),
        line("usd_per_day", MIDNIGHT, 0.5, 0.000516, 0.001722, 0.497762),
        line("tokens_per_day", MIDNIGHT, 10_000, PROMPT_TOKENS, HELD - PROMPT_TOKENS, 10_000 - HELD),
    ]
    for _ in range(2):  # being asked changes nothing
        assert reported(limits.usage(caller, LIMITED)) == running
    spent = transcript(usage={"total_tokens": 20_000}).with_cost({"usd": 0.75, "priced_as": "x/y"})
    admission.book(spent, PATIENCE_S)
    assert reported(limits.usage(caller, LIMITED)) == [
        line("requests_per_minute", MINUTES_END, 60, 1, 0, 59),
        line("usd_per_month", MONTHS_END, 5, 0.75, 0, 4.25),
        line("usd_per_day", MIDNIGHT, 0.5, 0.75, 0, 0),
        line("tokens_per_day", MIDNIGHT, 10_000, 20_000, 0, 0),
    ]


def test_a_new_window_begins_with_nothing_used(caller: str, clock: Clock) -> None:
    limits = RateLimits(LIMITED, now=clock)
    limits.admit(caller, LIMITED, chat_request(PROMPT))
    clock.now += TO_MIDNIGHT_S
    requests, month, *of_day = reported(limits.usage(caller, LIMITED))
    assert [of["used"] for of in (requests, *of_day)] == [0, 0, 0]
    assert month["used"] > 0


def test_without_limits_there_is_nothing_to_report() -> None:
    assert reported(limits_of(Settings()).usage("web", Settings())) == []
    own = settings(requests_per_minute=5)
    assert reported(RateLimits(own).usage("web", Settings())) == []


def test_if_the_table_cannot_be_reached_the_setting_decides(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProxy(aws.url, shares={Fault.SERVER_ERROR: 1.0}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        strict = settings(requests_per_minute=5)
        limits = RateLimits(strict, now=lambda: HALF_PAST)
        with pytest.raises(RequestError) as caught:
            limits.usage(caller, strict)
        assert (caught.value.status, caught.value.code) == (503, "limits_unavailable")
        lax = settings(requests_per_minute=5, limits_unreachable="admit")
        assert reported(limits.usage(caller, lax)) == [
            line("requests_per_minute", MINUTES_END, 5, None, None, None)
        ]
