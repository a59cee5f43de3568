"""What the tests of the rate limits share: settings, a clock, transcripts, and the items in the table."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from chat_stream.events import ChoiceFinished, TextDelta, UsageReported
from chat_stream.transcripts.transcript import Interruption, Transcript, TranscriptBuilder
from errors import RequestError
from local.aws.services import LIMITS_TABLE
from quota.admission import Admission
from quota.rate_limits import RateLimits
from request.chat_request import ChatRequest
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.quota.admitting_process import PATIENCE_S, chat_request
from tests.support.runtime.local_stack import free_ports

HALF_PAST = datetime(2026, 11, 25, 9, 30, 43, tzinfo=UTC).timestamp()
TO_MIDNIGHT_S = 52157
PROMPT = "word " * 200  # with the JSON around it: the estimate and the bound
PROMPT_TOKENS, PROMPT_BOUND = 258, 1069
CAP = 10
HELD = PROMPT_BOUND + CAP  # reserved by a request whose answer may have CAP tokens
SECRET = "what the caller asks"
GONE = Interruption("abandoned", "caller_gone", "The caller went away.")


class Clock:
    """A clock that only moves when the test sets it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(**values: Any) -> Settings:
    return Settings(limits_table_name=LIMITS_TABLE, **values)


def item(aws: LoopbackAws, counter: str) -> dict[str, int]:
    """The numbers in the item of a counter."""
    dynamodb = aws.client("dynamodb")
    found = dynamodb.get_item(TableName=LIMITS_TABLE, Key={"id": {"S": counter}})["Item"]
    dynamodb.close()
    return {name: int(value["N"]) for name, value in found.items() if name != "id"}


def limit_headers_of(admission: Admission) -> Mapping[str, str]:
    assert admission.headers is not None
    return admission.headers


def refusal(limits: RateLimits, caller: str, own: Settings, text: str = "hi") -> RequestError:
    with pytest.raises(RequestError) as caught:
        limits.admit(caller, own, chat_request(text))
    return caught.value


def transcript(
    *, usage: Any = None, content: str = "", interruption: Interruption | None = None, seconds: int = 1
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
    if interruption is None:
        builder.add(ChoiceFinished(0, "stop"), 20)
    if usage is not None:
        builder.add(UsageReported(usage), 30)
    return builder.finish(seconds * 1000, interruption)


def hang_up_on_many(limits: RateLimits, caller: str, own: Settings, request: ChatRequest) -> int:
    """Hang up on parallel answers, then on a few one after the other; returns how many were admitted."""

    def admitted() -> Admission | None:
        try:
            return limits.admit(caller, own, request)
        except RequestError as error:
            assert error.status == 429
            return None

    with ThreadPoolExecutor(8) as pool:  # all are admitted before any of them has ended
        at_once = [admission for admission in pool.map(lambda _: admitted(), range(24)) if admission]
    count = 0
    for admission in (*at_once, *(admitted() for _ in range(4))):
        if admission is not None:
            count += 1
            admission.book(transcript(content="Well,", interruption=GONE), PATIENCE_S)
    return count


def unreachable_url() -> str:
    """A URL at which nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)}"
