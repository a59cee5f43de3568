"""Budgets in US dollars, counted in a table over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chat_stream.transcripts.transcript import Interruption, Transcript
from errors import RequestError
from quota.rate_limits import UNBOUNDED_SHARE, RateLimits
from quota.token_estimate import HIGHEST_OUTPUT
from quota.usage_windows import limit_headers
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.network.faulty_proxy import Fault, FaultyProxy
from tests.support.quota.admitting_process import PATIENCE_S, chat_request
from tests.support.quota.limit_counters import (
    CAP,
    GONE,
    HALF_PAST,
    PROMPT,
    PROMPT_BOUND,
    PROMPT_TOKENS,
    TO_MIDNIGHT_S,
    Clock,
    hang_up_on_many,
    item,
    limit_headers_of,
    refusal,
    settings,
    transcript,
)

pytestmark = pytest.mark.usefixtures("patient")

INPUT_USD, OUTPUT_USD = 2, 10  # per million tokens
PRICES = {"m": {"input": INPUT_USD, "output": OUTPUT_USD}}
TO_MONTHS_END_S = TO_MIDNIGHT_S + 5 * 86_400
ESTIMATE_NANO = PROMPT_TOKENS * INPUT_USD * 1000
BOUND_NANO = PROMPT_BOUND * INPUT_USD * 1000
HELD_NANO = BOUND_NANO + CAP * OUTPUT_USD * 1000


def usd(nano_usd: float) -> float:
    return nano_usd / 10**9


def priced(**values: Any) -> Settings:
    """Settings under which the model has a price."""
    return settings(model_prices=PRICES, **values)


def costing(cost_usd: float | None, **fields: Any) -> Transcript:
    """A transcript with this cost."""
    cost = None if cost_usd is None else {"usd": cost_usd, "priced_as": "MODEL_PRICES/m"}
    return transcript(**fields).with_cost(cost)


# -- one limit -----------------------------------------------------------------------------------------------


def test_an_admission_shows_the_remainder_of_each_budget(caller: str, clock: Clock) -> None:
    own = priced(usd_per_day=0.5, usd_per_month=5, max_output_tokens=CAP)
    admission = RateLimits(own, now=clock).admit(caller, own, chat_request(PROMPT))
    assert admission.headers == {
        "x-ratelimit-limit-usd-day": "0.5",
        "x-ratelimit-remaining-usd-day": "0.499484",
        "x-ratelimit-reset-usd-day": "14h29m17s",
        "x-ratelimit-limit-usd-month": "5",
        "x-ratelimit-remaining-usd-month": "4.999484",
        "x-ratelimit-reset-usd-month": "134h29m17s",
    }


def test_the_cost_replaces_the_reservation_in_both_windows(
    aws: LoopbackAws, caller: str, clock: Clock
) -> None:
    own = priced(usd_per_day=1, usd_per_month=10, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    admission = limits.admit(caller, own, chat_request(PROMPT))
    for window in ("2026-11-25", "2026-11"):
        held = item(aws, f"{caller}#usd#{window}")
        assert (held["count"], held["spare"]) == (HELD_NANO, HELD_NANO - ESTIMATE_NANO)
    admission.book(costing(0.0123456789, usage={"total_tokens": 700}), PATIENCE_S)
    day, month = (item(aws, f"{caller}#usd#{window}") for window in ("2026-11-25", "2026-11"))
    assert (day["count"], day["spare"]) == (month["count"], month["spare"]) == (12_345_679, 0)  # rounded up
    assert day["expires_at"] == HALF_PAST + TO_MIDNIGHT_S + 3600
    assert month["expires_at"] == HALF_PAST + TO_MONTHS_END_S + 3600


@pytest.mark.parametrize(
    ("limit", "span", "left_s"),
    [("usd_per_day", "day", TO_MIDNIGHT_S), ("usd_per_month", "month", TO_MONTHS_END_S)],
)
def test_a_spent_budget_is_openais_insufficient_quota_until_the_next_window(
    caller: str, clock: Clock, limit: str, span: str, left_s: int
) -> None:
    own = priced(**{limit: 0.01}, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(costing(0.0099), PATIENCE_S)
    refused = refusal(limits, caller, own, PROMPT)
    assert (refused.status, refused.code, refused.type) == (429, "insufficient_quota", "insufficient_quota")
    assert refused.message.startswith(
        f"The limit of 0.01 US dollars per {span} leaves no room for this request: 0.0099 are used, or "
        "reserved for answers in progress, and this prompt may cost 0.000516."
    )
    assert refused.headers["retry-after"] == str(left_s)
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers[f"x-ratelimit-remaining-usd-{span}"] == "0.0001"
    clock.now += left_s
    limits.admit(caller, own, chat_request(PROMPT))


def test_an_answer_that_ends_in_the_next_month_is_booked_in_the_one_it_began(
    aws: LoopbackAws, caller: str
) -> None:
    clock = Clock(datetime(2028, 2, 29, 23, 59, 50, tzinfo=UTC).timestamp())
    own = priced(usd_per_month=1, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    admission = limits.admit(caller, own, chat_request(PROMPT))
    clock.now += 20
    limits.admit(caller, own, chat_request(PROMPT))
    admission.book(costing(0.5), PATIENCE_S)
    assert item(aws, f"{caller}#usd#2028-02")["count"] == 500_000_000
    assert item(aws, f"{caller}#usd#2028-03")["count"] == HELD_NANO


# -- several limits ------------------------------------------------------------------------------------------


def test_a_request_that_one_budget_refuses_reserves_nothing_of_the_others(
    aws: LoopbackAws, caller: str, clock: Clock
) -> None:
    own = priced(requests_per_minute=9, usd_per_month=10, usd_per_day=1, tokens_per_day=PROMPT_TOKENS - 1)
    limits = RateLimits(own, now=clock)
    refused = refusal(limits, caller, own, PROMPT)
    assert (refused.code, refused.type) == ("rate_limit_exceeded", "tokens")
    for window in ("usd#2026-11-25", "usd#2026-11"):
        held = item(aws, f"{caller}#{window}")
        assert (held["count"], held["spare"]) == (0, 0)
    assert item(aws, f"{caller}#requests#2026-11-25T09:30")["count"] == 1
    assert refused.headers["x-ratelimit-remaining-usd-day"]


def test_a_caller_without_room_in_day_and_month_is_told_to_wait_for_the_month(
    caller: str, clock: Clock
) -> None:
    own = priced(usd_per_day=0.01, usd_per_month=0.01)
    limits = RateLimits(own, now=clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(costing(0.02), PATIENCE_S)
    assert refusal(limits, caller, own, PROMPT).headers["retry-after"] == str(TO_MONTHS_END_S)


def test_a_request_refused_for_an_outage_in_between_leaves_a_record_of_what_stays_reserved(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = priced(usd_per_month=10, usd_per_day=1, max_output_tokens=CAP)
    with FaultyProxy(aws.url, shares={}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        limits = RateLimits(own, now=lambda: HALF_PAST)

        def headers_then_outage(*arguments: Any) -> dict[str, str]:
            proxy.set_shares({Fault.SERVER_ERROR: 1.0})
            return limit_headers(*arguments)

        monkeypatch.setattr("quota.usage_windows.limit_headers", headers_then_outage)
        assert refusal(limits, caller, own, PROMPT).code == "limits_unavailable"
    assert "0.002238 US dollars of caller" in caplog.text
    assert "stay reserved for a refused request" in caplog.text
    assert item(aws, f"{caller}#usd#2026-11")["count"] == HELD_NANO


# -- parallel spenders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", [500, None])
@pytest.mark.parametrize("limit", ["usd_per_day", "usd_per_month"])
def test_hanging_up_on_many_answers_overruns_a_budget_by_the_bounds_of_one(
    caller: str, clock: Clock, limit: str, cap: int | None
) -> None:
    budget = 0.05
    own = priced(**{limit: budget}, max_output_tokens=cap)
    limits = RateLimits(own, now=clock)
    garbage = "iVBORw0KGgo+" * 250  # every byte may be a token
    count = hang_up_on_many(limits, caller, own, chat_request(garbage))
    output_usd = (cap or HIGHEST_OUTPUT) * OUTPUT_USD / 1e6
    cost = len(garbage) * INPUT_USD / 1e6 + output_usd
    overrun = count * cost - budget
    unbounded = 0 if cap else UNBOUNDED_SHARE * output_usd
    assert overrun <= cost + unbounded
    assert count > 1
    [use] = limits.usage(caller, own)
    assert use.counted is not None
    assert Decimal(use.counted) / 10**9 >= Decimal(str(round(count * cost, 6)))  # nothing is lost


def test_parallel_spenders_use_a_budget_up_and_overrun_it_by_the_bound_of_one(
    caller: str, clock: Clock
) -> None:
    cost_nano = HELD_NANO * 3 // 4  # of each answer, less than was reserved for it
    budget_nano = 25 * cost_nano
    own = priced(usd_per_day=usd(budget_nano), usd_per_month=usd(2 * budget_nano), max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)

    def spend() -> int:
        """Ask until the budget is spent, and not only reserved; returns the cost of all answers."""
        spent_nano = 0
        for _ in range(
            2000
        ):  # far more than are needed: a reservation that is never returned must not hang this
            try:
                admission = limits.admit(caller, own, chat_request(PROMPT))
            except RequestError as error:
                if "x-should-retry" in error.headers:
                    return spent_nano
            else:
                admission.book(costing(usd(cost_nano)), PATIENCE_S)
                spent_nano += cost_nano
        raise AssertionError("the missing amount stays reserved")

    with ThreadPoolExecutor(6) as pool:
        spent_nano = sum(pool.map(lambda _: spend(), range(6)))
    assert budget_nano - ESTIMATE_NANO < spent_nano <= budget_nano + HELD_NANO
    month, day = limits.usage(caller, own)
    assert (day.counted, day.spare) == (month.counted, month.spare) == (spent_nano, 0)


# -- unknown prices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "fields", "param"),
    [
        ({"other": PRICES["m"]}, {}, "model"),
        ({"m": None}, {}, "model"),
        (PRICES, {"model": "M2"}, "model"),
        (PRICES, {"model": None, "prompt": {"id": "p"}}, "model"),
        (PRICES, {"service_tier": "priority"}, "service_tier"),
    ],
)
def test_a_request_whose_price_is_not_known_is_refused_uncounted(
    caller: str, clock: Clock, prices: Any, fields: dict[str, Any], param: str
) -> None:
    own = settings(model_prices=prices, requests_per_minute=5, usd_per_day=1)
    limits = RateLimits(own, now=clock)
    with pytest.raises(RequestError) as caught:
        limits.admit(caller, own, chat_request(PROMPT, **fields))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "model_not_priced", param)
    assert "is not known" in caught.value.message
    assert [use.counted for use in limits.usage(caller, own)] == [0, 0]


def test_callers_without_a_budget_in_money_need_no_price(caller: str, clock: Clock) -> None:
    with_budget = settings(usd_per_day=1)
    RateLimits(with_budget, now=clock).admit(
        caller, settings(tokens_per_day=9000), chat_request(PROMPT, model="M2")
    )


def test_unknown_prices_count_by_the_setting(aws: LoopbackAws, caller: str, clock: Clock) -> None:
    own = priced(unpriced_usd_per_million=20, usd_per_day=1, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    admission = limits.admit(caller, own, chat_request(PROMPT, model="M2"))
    counter = f"{caller}#usd#2026-11-25"
    bound = item(aws, counter)["count"]
    assert bound >= (PROMPT_BOUND + CAP) * 20_000
    admission.book(costing(None, usage={"prompt_tokens": 90, "completion_tokens": 10}), PATIENCE_S)
    assert item(aws, counter)["count"] == 100 * 20_000
    # A cost that the upstream itself reports is the one that counts.
    limits.admit(caller, own, chat_request(PROMPT, model="M2")).book(costing(0.001), PATIENCE_S)
    assert item(aws, counter)["count"] == 100 * 20_000 + 1_000_000


@pytest.mark.parametrize(
    ("fields", "nano_usd"),
    [
        ({"usage": {"prompt_tokens": 200, "completion_tokens": 50}}, 200 * 2000 + 50 * 10_000),
        ({"usage": {"total_tokens": 300}}, 300 * 10_000),  # any of them may be the dearest
        ({"content": "x" * 400}, ESTIMATE_NANO + 100 * 10_000),
        ({"interruption": GONE}, HELD_NANO),
        ({"interruption": Interruption("failed", "upstream_error", "It fails.")}, 0),
    ],
)
def test_an_answer_whose_cost_is_not_known_counts_by_its_tokens(
    aws: LoopbackAws, caller: str, clock: Clock, fields: dict[str, Any], nano_usd: int
) -> None:
    own = priced(usd_per_day=1, max_output_tokens=CAP)
    RateLimits(own, now=clock).admit(caller, own, chat_request(PROMPT)).book(
        costing(None, **fields), PATIENCE_S
    )
    assert item(aws, f"{caller}#usd#2026-11-25")["count"] == nano_usd


def test_a_tier_that_may_be_ignored_reserves_the_dearer_price(
    aws: LoopbackAws, caller: str, clock: Clock
) -> None:
    tiers = {"flex": {"input": 1, "output": 5}, "priority": {"input": 4, "output": 20}}
    own = settings(model_prices={"m": {**PRICES["m"], "tiers": tiers}}, usd_per_day=1, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    counts = []
    for tier in ("default", "flex", "priority"):
        limits.admit(f"{caller}{tier}", own, chat_request(PROMPT, service_tier=tier))
        counts.append(item(aws, f"{caller}{tier}#usd#2026-11-25")["count"])
    assert counts[1] == pytest.approx(counts[0], rel=0.01)  # the name of the tier is part of the prompt
    assert counts[2] > 1.9 * counts[0]


def test_uncounted_admissions_are_booked_in_every_window_when_the_table_is_back(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = priced(usd_per_day=1, usd_per_month=1, limits_unreachable="admit")
    with FaultyProxy(aws.url, shares={Fault.SERVER_ERROR: 1.0}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        limits = RateLimits(own, now=lambda: HALF_PAST)
        admission = limits.admit(caller, own, chat_request(PROMPT))
        proxy.set_shares({})
        admission.book(costing(0.25), PATIENCE_S)
    assert limit_headers_of(admission) == {}
    for window in ("2026-11-25", "2026-11"):
        assert item(aws, f"{caller}#usd#{window}")["count"] == 250_000_000
