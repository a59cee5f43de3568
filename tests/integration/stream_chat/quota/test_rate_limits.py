"""Requests per minute and tokens per day, counted in a table over real sockets, with and without faults."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from chat_stream.events import ChoiceFinished, TextDelta, UsageReported
from chat_stream.transcripts.transcript import BrokenOff, Transcript, TranscriptBuilder
from errors import RequestError
from local.aws.services import LIMITS_TABLE, TRANSCRIPTS, AwsServices, queue_url
from quota.admission import Admission
from quota.rate_limits import LIMIT_S, UNBOUNDED_SHARE, RateLimits
from quota.token_estimate import HIGHEST_OUTPUT
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.network.faulty_proxy import Fault, FaultyProxy
from tests.support.runtime.local_stack import free_ports
from tests.support.transcripts.admitting_process import ADMITTED, AdmittingProcess, chat_request

HALF_PAST = datetime(2026, 11, 25, 9, 30, 43, tzinfo=UTC).timestamp()
TO_MIDNIGHT_S = 52157
PROMPT = "word " * 200  # with the JSON around it: the estimate and the bound
PROMPT_TOKENS, PROMPT_BOUND = 258, 1069
CAP = 10
HELD = PROMPT_BOUND + CAP  # reserved by a request whose answer may have CAP tokens
SECRET = "what the caller asks"


@pytest.fixture(scope="module")
def aws() -> Iterator[LoopbackAws]:
    with LoopbackAws(print) as services:
        stack = AwsServices(services.url)

        async def make() -> None:
            await stack.connect()
            await stack.make_resources()

        asyncio.run(make())
        yield services


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, aws: LoopbackAws) -> dict[str, str]:
    """The environment variables of the function."""
    variables = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL_DYNAMODB": aws.url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


class Clock:
    """A clock that only moves when the test sets it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(HALF_PAST)


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> str:
    """A caller that only this test uses."""
    return str(request.node.name)


def settings(**values: Any) -> Settings:
    return Settings(limits_table_name=LIMITS_TABLE, **values)


def item(aws: LoopbackAws, counter: str) -> dict[str, int]:
    """The numbers in the item of a counter."""
    dynamodb = aws.client("dynamodb")
    found = dynamodb.get_item(TableName=LIMITS_TABLE, Key={"id": {"S": counter}})["Item"]
    dynamodb.close()
    return {name: int(value["N"]) for name, value in found.items() if name != "id"}


def told(admission: Admission) -> Mapping[str, str]:
    assert admission.headers is not None
    return admission.headers


def refusal(limits: RateLimits, caller: str, own: Settings, text: str = "hi") -> RequestError:
    with pytest.raises(RequestError) as caught:
        limits.admit(caller, own, chat_request(text))
    return caught.value


def transcript(
    *, usage: Any = None, content: str = "", broken_off: BrokenOff | None = None, seconds: int = 1
) -> Transcript:
    builder = TranscriptBuilder(
        id="r-1",
        caller="web",
        route="/v1/chat/completions",
        request={"model": "m", "messages": [{"role": "user", "content": SECRET}], "parameters": {}},
        started_at=datetime.fromtimestamp(HALF_PAST, UTC),
    )
    if content:
        builder.add(TextDelta(0, content), 10)
    if broken_off is None:
        builder.add(ChoiceFinished(0, "stop"), 20)
    if usage is not None:
        builder.add(UsageReported(usage), 30)
    return builder.finish(seconds * 1000, broken_off)


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
    assert told(limits.admit(caller, own, chat_request()))["x-ratelimit-remaining-requests"] == "58"


@pytest.mark.parametrize(
    ("values", "kept"), [({"requests_per_minute": 5}, "requests"), ({"tokens_per_day": 500}, "tokens")]
)
def test_only_configured_limits_are_shown(caller: str, values: dict[str, int], kept: str) -> None:
    own = settings(**values)
    headers = told(RateLimits(own).admit(caller, own, chat_request()))
    assert set(headers) == {f"x-ratelimit-{what}-{kept}" for what in ("limit", "remaining", "reset")}


def test_a_caller_without_limits_does_not_wait_for_the_table(
    monkeypatch: pytest.MonkeyPatch, caller: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", nobody())
    own = settings()
    admission = RateLimits(own).admit(caller, own, chat_request())
    admission.book(transcript(usage={"total_tokens": 21}), LIMIT_S)
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
    assert told(limits.admit(caller, own, chat_request()))["x-ratelimit-remaining-requests"] == "1"


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
    assert told(limits.admit(caller, own, chat_request(PROMPT)))["x-ratelimit-remaining-tokens"] == "2157"


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("web", "ios"),
        ("batch", "batch#requests#2026-11-25T09:30"),
        ("x" * 3000, "x" * 2999),
        ("\ud800", "\udfff"),
        ("arn:aws:sts::123456789012:assumed-role/web/é", "arn:aws:sts::123456789012:assumed-role/web/è"),
    ],
)
def test_nobody_uses_another_callers_budget(one: str, other: str, clock: Clock) -> None:
    own = settings(requests_per_minute=1, tokens_per_day=500)
    limits = RateLimits(own, now=clock)
    limits.admit(one, own, chat_request(PROMPT))
    assert refusal(limits, one, own).code == "rate_limit_exceeded"
    headers = told(limits.admit(other, own, chat_request(PROMPT)))
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-remaining-tokens"] == str(500 - PROMPT_TOKENS)


@pytest.mark.parametrize(
    ("values", "text", "room"),
    [
        ({"requests_per_minute": 50}, "hi", 50),
        ({"tokens_per_day": 29 * HELD + PROMPT_TOKENS, "max_output_tokens": CAP}, PROMPT, 30),
    ],
)
def test_a_hundred_parallel_requests_fill_the_limit_exactly(
    caller: str, variables: dict[str, str], values: dict[str, int], text: str, room: int
) -> None:
    own = {"limits_table_name": LIMITS_TABLE, **values}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(AdmittingProcess({**os.environ, **variables}, own, 25, HALF_PAST))
            for _ in range(4)
        ]
        for attempt in range(6):
            for process in processes:
                process.begin(f"{caller}{attempt}", text)
            outcomes = Counter(outcome for process in processes for outcome in process.outcomes())
            assert outcomes == {ADMITTED: room, "rate_limit_exceeded": 100 - room}


def test_a_long_poll_on_a_queue_does_not_delay_a_request(aws: LoopbackAws, caller: str) -> None:
    sqs = aws.client("sqs")
    url = queue_url(aws.url, TRANSCRIPTS)
    arguments = {"QueueUrl": url, "WaitTimeSeconds": 4}
    waiting = threading.Thread(target=sqs.receive_message, kwargs=arguments)
    waiting.start()
    time.sleep(0.5)
    own = settings(requests_per_minute=1)
    RateLimits(own).admit(caller, own, chat_request())
    assert waiting.is_alive()
    waiting.join()
    sqs.close()


# -- what an answer has used ---------------------------------------------------------------------------------


def left(limits: RateLimits, caller: str, own: Settings) -> int:
    """What the day has left before this request, which fails and so uses nothing."""
    admission = limits.admit(caller, own, chat_request(PROMPT))
    admission.book(transcript(broken_off=BrokenOff("failed", "upstream_error", "It fails.")), LIMIT_S)
    return int(told(admission)["x-ratelimit-remaining-tokens"]) + PROMPT_TOKENS


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, 21),
        ({"input_tokens": 300, "output_tokens": 400}, 700),
        ({"total_tokens": PROMPT_TOKENS}, PROMPT_TOKENS),
        ({"total_tokens": "many"}, PROMPT_TOKENS + 1000),
    ],
)
def test_the_usage_that_the_upstream_reports_replaces_the_reservation(
    caller: str, clock: Clock, usage: Any, used: int
) -> None:
    own = settings(tokens_per_day=10_000)
    limits = RateLimits(own, now=clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(transcript(usage=usage, content="x" * 4000), LIMIT_S)
    assert left(limits, caller, own) == 10_000 - used


@pytest.mark.parametrize("outcome", ["truncated", "abandoned", "failed"])
def test_an_answer_that_broke_off_has_used_its_bounds(caller: str, clock: Clock, outcome: Any) -> None:
    own = settings(tokens_per_day=10_000, max_output_tokens=3000)
    limits = RateLimits(own, now=clock)
    admission = limits.admit(caller, own, chat_request(PROMPT))
    admission.book(
        transcript(content="x" * 4000, broken_off=BrokenOff(outcome, "cut", "It is cut.")), LIMIT_S
    )
    assert left(limits, caller, own) == 10_000 - PROMPT_BOUND - 3000


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
    limits.admit(caller, own, chat_request(PROMPT)).book(transcript(usage={"total_tokens": 5000}), LIMIT_S)
    refused = refusal(limits, caller, own)
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"


def test_an_answer_that_ends_after_midnight_is_booked_on_the_day_it_began(
    aws: LoopbackAws, caller: str, clock: Clock
) -> None:
    own = settings(tokens_per_day=10_000, max_output_tokens=CAP)
    limits = RateLimits(own, now=clock)
    admission = limits.admit(caller, own, chat_request(PROMPT))
    clock.now += TO_MIDNIGHT_S + 60
    limits.admit(caller, own, chat_request(PROMPT))
    admission.book(transcript(usage={"total_tokens": 700}), LIMIT_S)
    assert item(aws, f"{caller}#tokens#2026-11-25") == {
        "count": 700,
        "spare": 0,
        "expires_at": HALF_PAST + TO_MIDNIGHT_S + 3600,
    }
    assert item(aws, f"{caller}#tokens#2026-11-26")["count"] == HELD


# -- when the table cannot be reached ------------------------------------------------------------------------


def nobody() -> str:
    """A URL at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)}"


def outage(
    kind: str, aws: LoopbackAws, monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack
) -> dict[str, str]:
    """Begin the outage; returns the settings for it."""
    if kind == "no table":
        return {"limits_table_name": "absent"}
    if kind == "nobody there":
        url = nobody()
    else:
        url = stack.enter_context(FaultyProxy(aws.url, shares={Fault(kind): 1.0})).url
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
    return {"limits_table_name": LIMITS_TABLE}


OUTAGES = ["no table", "nobody there", "throttle", "server error", "reset", "timeout"]


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_day"])
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
        assert time.monotonic() - began < 2 * 5.5
    messages = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in messages] == [logging.WARNING] * 2
    assert messages[0][1].endswith("a request of theirs is refused")
    assert messages[1][1].endswith("a request of theirs is admitted and not counted")
    assert repr(caller) in messages[0][1]
    assert SECRET not in caplog.text


def test_a_request_that_was_admitted_uncounted_is_booked_when_the_table_is_back(
    aws: LoopbackAws, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(requests_per_minute=60, tokens_per_day=1000, limits_unreachable="admit")
    with FaultyProxy(aws.url, shares={Fault.SERVER_ERROR: 1.0}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", proxy.url)
        limits = RateLimits(own, now=lambda: HALF_PAST)
        admission = limits.admit(caller, own, chat_request(PROMPT))
        proxy.set_shares({})
        admission.book(transcript(usage={"total_tokens": 700}), LIMIT_S)
    assert item(aws, f"{caller}#tokens#2026-11-25")["count"] == 700


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
    assert f"{HELD} stay reserved" in record.getMessage()
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
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", nobody())
    own = settings(requests_per_minute=1, limits_unreachable="admit")
    RateLimits(own).admit("web\n[ERROR] made up", own, chat_request())
    assert "\n" not in caplog.records[0].getMessage()


# -- callers who try to overrun their budget -----------------------------------------------------------------

GONE = BrokenOff("abandoned", "caller_gone", "The caller went away.")
BUDGET = 10_000
WINDOW = Settings().context_tokens
GARBAGE = "iVBORw0KGgo+" * 3000
LARGE = "iVBORw0KGgo+" * 400_000  # 4.8 MB


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


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("cap", [500, None])
def test_hanging_up_on_many_answers_overruns_a_budget_by_the_bounds_of_one(
    caller: str, clock: Clock, attack: str, cap: int | None
) -> None:
    own = settings(tokens_per_day=BUDGET, max_output_tokens=cap)
    limits = RateLimits(own, now=clock)
    body, cost = ATTACKS[attack]
    request = chat_request("hi", **body)

    def admitted() -> Admission | None:
        try:
            return limits.admit(caller, own, request)
        except RequestError as error:
            assert error.status == 429
            return None

    with ThreadPoolExecutor(8) as pool:  # in parallel, before any of them has ended
        at_once = [admission for admission in pool.map(lambda _: admitted(), range(24)) if admission]
    count = len(at_once)
    for admission in at_once:
        admission.book(transcript(content="Well,", broken_off=GONE), LIMIT_S)
    for _ in range(5):  # and one after the other
        if (alone := admitted()) is not None:
            count += 1
            alone.book(transcript(content="Well,", broken_off=GONE), LIMIT_S)
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
    first.book(transcript(usage={"total_tokens": 1400}), LIMIT_S)
    second.book(transcript(usage={"total_tokens": 50}), LIMIT_S)
    spent = refusal(limits, caller, own, PROMPT).headers
    assert (spent["retry-after"], spent["x-should-retry"]) == (str(TO_MIDNIGHT_S), "false")


def test_small_requests_are_not_delayed_by_bounds(caller: str, clock: Clock) -> None:
    own = settings(tokens_per_day=BUDGET)
    limits = RateLimits(own, now=clock)
    for _ in range(15):
        limits.admit(caller, own, chat_request())
    limits.admit(f"{caller} 2", own, chat_request("word " * 7900))  # nearly the whole day, by the estimate


def test_a_caller_who_hangs_up_is_charged_for_the_largest_possible_answer(caller: str, clock: Clock) -> None:
    own = settings(tokens_per_day=10_000, max_output_tokens=3000)
    limits = RateLimits(own, clock)
    limits.admit(caller, own, chat_request(PROMPT)).book(
        transcript(content="Well,", broken_off=GONE), LIMIT_S
    )
    left = int(told(limits.admit(caller, own, chat_request(PROMPT)))["x-ratelimit-remaining-tokens"])
    assert left == 10_000 - 3000 - PROMPT_BOUND - PROMPT_TOKENS
