"""Requests per minute and tokens per day, counted in a table over real sockets."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from chat_stream.transcripts.transcript import Interruption
from local.aws.services import TRANSCRIPTS, queue_url
from quota.rate_limits import RateLimits
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.quota.admitting_process import PATIENCE_S, chat_request
from tests.support.quota.limit_counters import (
    CAP,
    HALF_PAST,
    HELD,
    PROMPT,
    PROMPT_TOKENS,
    TO_MIDNIGHT_S,
    Clock,
    item,
    limit_headers_of,
    refusal,
    settings,
    transcript,
    unreachable_url,
)

pytestmark = pytest.mark.usefixtures("patient")


# -- within the limits ---------------------------------------------------------------------------------------


def test_an_admission_shows_the_remainder_of_each_limit(caller: str, clock: Clock) -> None:
    own = settings(requests_per_minute=60, tokens_per_day=10_000)
    limits = RateLimits(own, now=clock)
    assert limits.admit(caller, own, chat_request(PROMPT)).headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "17s",
        "x-ratelimit-limit-tokens": "10000",
        "x-ratelimit-remaining-tokens": str(10_000 - PROMPT_TOKENS),
        "x-ratelimit-reset-tokens": "14h29m17s",
    }
    assert (
        limit_headers_of(limits.admit(caller, own, chat_request()))["x-ratelimit-remaining-requests"] == "58"
    )


def test_a_caller_without_limits_does_not_wait_for_the_table(
    monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", unreachable_url())
    own = settings()
    admission = RateLimits(own).admit(caller, own, chat_request())
    admission.book(transcript(usage={"total_tokens": 21}), PATIENCE_S)
    assert admission.headers is None


def test_a_counter_outlives_its_window_by_an_hour(aws: LoopbackAws, caller: str, clock: Clock) -> None:
    own = settings(requests_per_minute=60, tokens_per_day=1000, max_output_tokens=CAP)
    RateLimits(own, now=clock).admit(caller, own, chat_request(PROMPT))
    minute = item(aws, f"{caller}#requests#2026-11-25T09:30")
    day = item(aws, f"{caller}#tokens#2026-11-25")
    assert minute == {"count": 1, "expires_at": HALF_PAST + 17 + 3600}
    assert day == {
        "count": HELD,
        "spare": HELD - PROMPT_TOKENS,
        "expires_at": HALF_PAST + TO_MIDNIGHT_S + 3600,
    }


# -- over the limits -----------------------------------------------------------------------------------------


def test_requests_over_the_limit_are_refused_until_the_minute_is_over(caller: str, clock: Clock) -> None:
    own = settings(requests_per_minute=2)
    limits = RateLimits(own, now=clock)
    for _ in range(2):
        limits.admit(caller, own, chat_request())
    refused = refusal(limits, caller, own)
    assert (refused.status, refused.code, refused.type) == (429, "rate_limit_exceeded", "requests")
    assert refused.message == (
        "The limit of 2 requests per minute leaves no room for this request: 2 are used. "
        "The next minute begins in 17s."
    )
    assert refused.headers == {
        "retry-after": "17",
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "17s",
    }
    clock.now += 17
    assert (
        limit_headers_of(limits.admit(caller, own, chat_request()))["x-ratelimit-remaining-requests"] == "1"
    )


def test_a_prompt_without_room_in_the_day_is_refused_and_stays_counted_in_the_minute(
    aws: LoopbackAws, caller: str, clock: Clock
) -> None:
    own = settings(requests_per_minute=60, tokens_per_day=2 * HELD + PROMPT_TOKENS - 1, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    for _ in range(2):
        limits.admit(caller, own, chat_request(PROMPT))
    refused = refusal(limits, caller, own, PROMPT)
    assert (refused.status, refused.code, refused.type) == (429, "rate_limit_exceeded", "tokens")
    assert "2415 tokens per day" in refused.message
    assert (
        "2158 are used, or reserved for answers in progress, and this prompt has about 258" in refused.message
    )
    assert refused.headers == {
        "retry-after": "10",  # the missing amount is only reserved
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "57",
        "x-ratelimit-reset-requests": "17s",
        "x-ratelimit-limit-tokens": "2415",
        "x-ratelimit-remaining-tokens": "257",
        "x-ratelimit-reset-tokens": "14h29m17s",
    }
    assert item(aws, f"{caller}#tokens#2026-11-25")["count"] == 2 * HELD
    clock.now += TO_MIDNIGHT_S
    assert (
        limit_headers_of(limits.admit(caller, own, chat_request(PROMPT)))["x-ratelimit-remaining-tokens"]
        == "2157"
    )


def test_a_prompt_that_is_larger_than_a_whole_day_is_refused_on_a_new_one(caller: str, clock: Clock) -> None:
    own = settings(tokens_per_day=PROMPT_TOKENS - 1)
    limits = RateLimits(own, now=clock)
    refused = refusal(limits, caller, own, PROMPT)
    assert refused.headers["x-ratelimit-remaining-tokens"] == str(PROMPT_TOKENS - 1)
    limits.admit(caller, own, chat_request())


def test_a_lower_limit_applies_from_the_next_request_on(caller: str, clock: Clock) -> None:
    high, low = settings(requests_per_minute=10), settings(requests_per_minute=2)
    limits = RateLimits(high, now=clock)
    for _ in range(5):
        limits.admit(caller, high, chat_request())
    assert refusal(limits, caller, low).headers["x-ratelimit-remaining-requests"] == "0"


def test_a_long_poll_on_a_queue_does_not_delay_a_request(aws: LoopbackAws, caller: str) -> None:
    sqs = aws.client("sqs")
    url = queue_url(aws.url, TRANSCRIPTS)
    arguments = {"QueueUrl": url, "WaitTimeSeconds": 20}
    waiting = threading.Thread(target=sqs.receive_message, kwargs=arguments)
    waiting.start()
    time.sleep(0.5)
    own = settings(requests_per_minute=1)
    RateLimits(own).admit(caller, own, chat_request())
    assert waiting.is_alive()
    sqs.send_message(QueueUrl=url, MessageBody="the end of the poll")
    waiting.join()
    sqs.close()


# -- what an answer has used ---------------------------------------------------------------------------------


def left(limits: RateLimits, caller: str, own: Settings) -> int:
    """What the day has left before this request, which fails and so uses nothing."""
    admission = limits.admit(caller, own, chat_request(PROMPT))
    admission.book(transcript(interruption=Interruption("failed", "upstream_error", "It fails.")), PATIENCE_S)
    return int(limit_headers_of(admission)["x-ratelimit-remaining-tokens"]) + PROMPT_TOKENS


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, 21),
        ({"total_tokens": "many"}, PROMPT_TOKENS + 1000),
    ],
)
def test_the_usage_that_the_upstream_reports_replaces_the_reservation(
    caller: str, clock: Clock, usage: Any, used: int
) -> None:
    own = settings(tokens_per_day=10_000)
    limits = RateLimits(own, now=clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(
        transcript(usage=usage, content="x" * 4000), PATIENCE_S
    )
    assert left(limits, caller, own) == 10_000 - used


def test_a_request_at_which_the_upstream_fails_has_used_nothing(caller: str, clock: Clock) -> None:
    own = settings(tokens_per_day=10_000)
    limits = RateLimits(own, now=clock)
    assert left(limits, caller, own) == 10_000
    assert left(limits, caller, own) == 10_000


def test_an_answer_may_use_more_than_is_left_and_the_next_request_is_refused(
    caller: str, clock: Clock
) -> None:
    own = settings(tokens_per_day=1000)
    limits = RateLimits(own, now=clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(transcript(usage={"total_tokens": 5000}), PATIENCE_S)
    refused = refusal(limits, caller, own)
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
