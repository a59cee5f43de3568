"""Callers cannot overrun their budget by more than the bounds of one request."""

from __future__ import annotations

from typing import Any

import pytest

from errors import RequestError
from quota.rate_limits import UNBOUNDED_SHARE, RateLimits
from quota.token_estimate import HIGHEST_OUTPUT
from settings import Settings
from tests.support.quota.admitting_process import PATIENCE_S, chat_request
from tests.support.quota.limit_counters import (
    CAP,
    PROMPT,
    TO_MIDNIGHT_S,
    Clock,
    hang_up_on_many,
    refusal,
    settings,
    transcript,
)

pytestmark = pytest.mark.usefixtures("patient")


BUDGET = 10_000
WINDOW = Settings().context_tokens
GARBAGE = "iVBORw0KGgo+" * 3000
LARGE = "iVBORw0KGgo+" * 100_000  # more bytes than the window has tokens


def part(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


# A request → the tokens that it may cost as far as can be told from outside: one for each byte that is sent,
# or a whole context window for content that may expand.
ATTACKS: dict[str, tuple[dict[str, Any], int]] = {
    "text": ({"messages": [{"role": "user", "content": GARBAGE}]}, len(GARBAGE)),
    "little text": ({"messages": [{"role": "user", "content": GARBAGE[:3000]}]}, 3000),
    "large text": ({"messages": [{"role": "user", "content": LARGE}]}, WINDOW),
    "file": ({"messages": part(type="file", file={"file_data": LARGE})}, WINDOW),
    "packed file": (
        {"messages": part(type="file", file={"file_data": GARBAGE[:1000]})}, WINDOW,
    ),
    "audio": (
        {"messages": part(type="input_audio", input_audio={"data": GARBAGE, "format": "wav"})}, len(GARBAGE),
    ),
    "image": (
        {"messages": part(type="image_url", image_url={"url": f"data:image/png;base64,{LARGE}"})}, 48_169,
    ),
    "tool": (
        {"tools": [{"type": "function", "function": {"parameters": {"image_url": {"url": GARBAGE}}}}]},
        len(GARBAGE),
    ),
    "argument": (
        {"messages": [{"role": "assistant", "tool_calls": [{"image_url": {"url": GARBAGE}}]}]}, len(GARBAGE),
    ),
    "remote": ({"messages": part(type="file", file={"file_id": "file-1"})}, WINDOW),
    "stored": ({"previous_response_id": "resp_1"}, WINDOW),
}  # fmt: skip


@pytest.mark.parametrize(
    ("attack", "cap"), [(attack, 500) for attack in ATTACKS] + [("little text", None), ("file", None)]
)
def test_hanging_up_on_many_answers_overruns_a_budget_by_the_bounds_of_one(
    caller: str, clock: Clock, attack: str, cap: int | None
) -> None:
    own = settings(tokens_per_day=BUDGET, max_output_tokens=cap)
    limits = RateLimits(own, now=clock)
    body, cost = ATTACKS[attack]
    count = hang_up_on_many(limits, caller, own, chat_request("hi", **body))
    output = cap or HIGHEST_OUTPUT
    overrun = count * (cost + output) - BUDGET
    unbounded = 0 if cap else UNBOUNDED_SHARE * output
    assert overrun <= cost + output + unbounded


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"messages": part(type="file", file={"file_id": "file-1"})}, "messages[0].content"),
    ],
)
def test_a_reference_to_stored_content_without_room_is_refused_by_name(
    caller: str, clock: Clock, fields: dict[str, Any], param: str
) -> None:
    small, large = settings(tokens_per_day=10_000), settings(tokens_per_day=10_000_000)
    limits = RateLimits(small, now=clock)
    with pytest.raises(RequestError) as caught:
        limits.admit(caller, small, chat_request("hi", **fields))
    refused = caught.value
    assert (refused.status, refused.param, refused.type) == (429, param, "tokens")
    assert f"`{param}`" in refused.message
    assert "send the content itself" in refused.message
    limits.admit(caller, large, chat_request("hi", **fields))
    known = settings(tokens_per_day=10_000, context_tokens=8000)
    limits.admit(f"{caller} 2", known, chat_request("hi", **fields))


def test_a_refusal_says_to_retry_soon_only_if_answers_have_reserved_the_missing_amount(
    caller: str, clock: Clock
) -> None:
    own = settings(tokens_per_day=1500, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    first, second = (limits.admit(caller, own, chat_request(PROMPT)) for _ in range(2))
    assert refusal(limits, caller, own, PROMPT).headers["retry-after"] == "10"
    assert "x-should-retry" not in refusal(limits, caller, own, PROMPT).headers
    first.book(transcript(usage={"total_tokens": 1400}), PATIENCE_S)
    second.book(transcript(usage={"total_tokens": 50}), PATIENCE_S)
    spent = refusal(limits, caller, own, PROMPT).headers
    assert (spent["retry-after"], spent["x-should-retry"]) == (str(TO_MIDNIGHT_S), "false")


def test_small_requests_are_not_delayed_by_bounds(caller: str, clock: Clock) -> None:
    own = settings(tokens_per_day=BUDGET)
    limits = RateLimits(own, now=clock)
    for _ in range(15):
        limits.admit(caller, own, chat_request())
    limits.admit(f"{caller} 2", own, chat_request("word " * 7900))  # nearly the whole day, by the estimate
