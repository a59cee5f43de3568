"""Rate limits when the table cannot be reached or its responses get lost."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from typing import Any

import pytest

from errors import RequestError
from local.aws.services import LIMITS_TABLE
from quota.rate_limits import LIMIT_S, RateLimits
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.network.faulty_proxy import Fault, FaultyProxy
from tests.support.quota.admitting_process import ADMITTED, chat_request
from tests.support.quota.limit_counters import (
    CAP,
    HALF_PAST,
    HELD,
    PROMPT,
    SECRET,
    item,
    refusal,
    settings,
    transcript,
    unreachable_url,
)


def outage(
    kind: str, aws: LoopbackAws, monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> dict[str, str]:
    """Begin the outage; returns the settings for it."""
    if kind == "no table":
        return {"limits_table_name": "absent"}
    if kind == "unreachable":
        url = unreachable_url()
    else:
        url = stack.enter_context(FaultyProxy(aws.url, shares={Fault(kind): 1.0})).url
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
    return {"limits_table_name": LIMITS_TABLE}


OUTAGES = ["no table", "unreachable", "throttle", "server error", "reset", "timeout"]


@pytest.mark.parametrize(
    ("kind", "limit"),
    [*((kind, "requests_per_minute") for kind in OUTAGES), ("server error", "tokens_per_day")],
)
def test_if_the_table_cannot_be_reached_the_setting_decides(
    kind: str,
    limit: str,
    aws: LoopbackAws,
    caller: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with contextlib.ExitStack() as stack:
        values: dict[str, Any] = {**outage(kind, aws, monkeypatch, stack), limit: 1000}
        strict, lax = Settings(**values), Settings(**values, limits_unreachable="admit")
        limits = RateLimits(strict)
        began = time.monotonic()
        refused = refusal(limits, caller, strict, SECRET)
        assert (refused.status, refused.code) == (503, "limits_unavailable")
        assert (refused.type, refused.headers) == ("server_error", {"retry-after": "5"})
        assert limits.admit(caller, lax, chat_request(SECRET)).headers == {}
        assert time.monotonic() - began < 30  # the table never answers
    messages = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in messages] == [logging.WARNING] * 2
    assert "a request of theirs is refused" in messages[0][1]
    assert "a request of theirs is admitted and not counted" in messages[1][1]
    # A call that failed may have taken effect.
    assert all(("may stay reserved until" in message) is ("per_day" in limit) for _, message in messages)
    assert repr(caller) in messages[0][1]
    assert SECRET not in caplog.text


def test_usage_that_cannot_be_booked_is_logged_and_stays_reserved(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings(tokens_per_day=1000, max_output_tokens=CAP)
    with FaultyProxy(aws.url, shares={}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        limits = RateLimits(own, now=lambda: HALF_PAST)
        admission = limits.admit(caller, own, chat_request(PROMPT))
        proxy.set_shares({Fault.THROTTLE: 1.0})
        admission.book(transcript(usage={"total_tokens": 700}, content=SECRET), LIMIT_S)
    assert item(aws, f"{caller}#tokens#2026-11-25")["count"] == HELD
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"700 tokens of caller {caller!r} could not be booked" in record.getMessage()
    assert f"{HELD} tokens stay reserved" in record.getMessage()
    assert SECRET not in caplog.text


def test_lost_responses_do_not_admit_too_many_requests(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(requests_per_minute=20)
    outcomes: Counter[str] = Counter()
    with FaultyProxy(aws.url, shares={Fault.ANSWER_LOST: 0.2, Fault.RESET: 0.1}, seed=5) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        limits = RateLimits(own, now=lambda: HALF_PAST)
        for _ in range(30):
            try:
                limits.admit(caller, own, chat_request())
            except RequestError as error:
                outcomes[error.code] += 1
            else:
                outcomes[ADMITTED] += 1
    assert 10 < outcomes[ADMITTED] <= 20
    assert outcomes["rate_limit_exceeded"] > 0


def test_a_name_with_line_breaks_adds_no_lines_to_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", unreachable_url())
    own = settings(requests_per_minute=1, limits_unreachable="admit")
    RateLimits(own).admit("web\n[ERROR] made up", own, chat_request())
    assert "\n" not in caplog.records[0].getMessage()
