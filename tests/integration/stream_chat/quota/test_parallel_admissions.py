"""Fifty requests at once, from two processes, fill a limit exactly."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws.services import LIMITS_TABLE
from tests.support.quota.admitting_process import ADMITTED, AdmittingProcess
from tests.support.quota.limit_counters import CAP, HALF_PAST, HELD, PROMPT, PROMPT_BOUND, PROMPT_TOKENS

INPUT_USD, OUTPUT_USD = 2, 10  # per million tokens
BUDGET_USD = (29 * (PROMPT_BOUND * INPUT_USD + CAP * OUTPUT_USD) + PROMPT_TOKENS * INPUT_USD) / 1e6


@pytest.fixture(scope="module")
def crowd(aws: Any) -> Iterator[list[AdmittingProcess]]:
    """Two processes with 25 threads each."""
    variables = {
        **os.environ,
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": aws.url,
    }
    prices = {"m": {"input": INPUT_USD, "output": OUTPUT_USD}}
    settings = {"limits_table_name": LIMITS_TABLE, "model_prices": prices}
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(AdmittingProcess(variables, settings, 25, HALF_PAST)) for _ in range(2)]


@pytest.mark.parametrize(
    ("values", "text", "room", "refusal"),
    [
        ({"requests_per_minute": 30}, "hi", 30, "rate_limit_exceeded"),
        ({"tokens_per_day": 29 * HELD + PROMPT_TOKENS}, PROMPT, 30, "rate_limit_exceeded"),
        ({"usd_per_day": BUDGET_USD}, PROMPT, 30, "insufficient_quota"),
        ({"usd_per_month": BUDGET_USD}, PROMPT, 30, "insufficient_quota"),
    ],
    ids=["requests_per_minute", "tokens_per_day", "usd_per_day", "usd_per_month"],
)
def test_fifty_parallel_requests_fill_a_limit_exactly(
    crowd: list[AdmittingProcess], caller: str, values: dict[str, float], text: str, room: int, refusal: str
) -> None:
    for attempt in range(2):
        for process in crowd:
            process.begin(f"{caller}{attempt}", text, {**values, "max_output_tokens": CAP})
        outcomes = Counter(outcome for process in crowd for outcome in process.outcomes())
        assert outcomes == {ADMITTED: room, refusal: 50 - room}
