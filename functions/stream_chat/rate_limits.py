"""DynamoDB: how many requests and tokens each caller has used. The only module that knows the table.

One item for each caller and window: `id`, `count`, `expires_at` (its TTL). One conditional update asks
whether there is room and takes it, so that requests which come at the same time see each other: of a hundred
with room for fifty, fifty are admitted.

Each call may be made twice. Should only the answer to the first be lost, it counts twice: that costs the
caller a request, and a correction of a day may give back the difference of one prompt's estimate too much.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from aws_client import aws_client, error_code
from chat_request import ChatRequest
from chat_stream.transcript import Transcript
from relay_error import RequestError
from settings import Settings
from token_estimate import output_bound, prompt_tokens, used_tokens
from usage_windows import (
    Window,
    counter_id,
    day_of_tokens,
    limit_headers,
    minute_of_requests,
    refusal_headers,
    refusal_message,
)

CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 1
ATTEMPTS = 2
# For all calls of an admission, which the first byte waits for, and for the one of a booking: two attempts
# that hang, and the pause of up to 1 s between them.
LIMIT_S = 5.0
LOG_RESERVE_S = 0.5  # to log what could not be booked

# An item outlives its window by more than a function can last, whose answer is booked there.
KEPT_S = 3600
RETRY_AFTER_S = 5

_FITS = "#count <= :highest"
_IS_NEW_OR_FITS = f"attribute_not_exists(#count) OR {_FITS}"

logger = logging.getLogger(__name__)


class RateLimits:
    """Admits requests within their callers' limits. Makes its client at once, for the init phase to pay.

    Args:
        settings: name the table.
        now: the time in seconds since the epoch.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._counters = _Counters(settings.limits_table_name)
        self._now = now

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Count the request in its minute, and about as many tokens as its prompt has in its day.

        A request for which the day has no room stays counted in the minute.

        Args:
            settings: the caller's own.

        Raises:
            RequestError: 429 if there is no room; 503 if that cannot be found out and LIMITS_UNREACHABLE is
                not `admit`.
        """
        now = self._now()
        minute, day = minute_of_requests(now), day_of_tokens(now)
        prompt = 0 if settings.tokens_per_day is None else prompt_tokens(chat.recorded)
        counters = self._counters.within(LIMIT_S)
        headers: dict[str, str] = {}
        reserved = 0
        try:
            if settings.requests_per_minute is not None:
                headers |= self._take(counters, caller, minute, 1, settings.requests_per_minute, now, headers)
            if settings.tokens_per_day is not None:
                headers |= self._take(counters, caller, day, prompt, settings.tokens_per_day, now, headers)
                reserved = prompt
        except _CountersUnreachable as error:
            _report(error, caller, settings)
            headers = {}
        if settings.tokens_per_day is None:
            return Admission(headers if settings.requests_per_minute else None, None)
        parameters = chat.recorded["parameters"]
        bound = output_bound(parameters, settings.max_output_tokens, chat.expected_choices)
        return Admission(headers, _Reservation(self._counters, caller, day, prompt, reserved, bound))

    def _take(
        self,
        counters: _Counters,
        caller: str,
        window: Window,
        amount: int,
        limit: int,
        now: float,
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """The headers about this limit; `headers` are those about others, for a refusal to repeat."""
        try:
            used = counters.take(caller, window, amount, limit)
        except _NoRoom as no_room:
            own = {**limit_headers(window, limit, no_room.used, now), **refusal_headers(window, now)}
            raise RequestError(
                429,
                "rate_limit_exceeded",
                refusal_message(window, limit, no_room.used, amount, now),
                type=window.counted,  # as OpenAI's are
                headers={**headers, **own},
            ) from None
        return limit_headers(window, limit, used, now)


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What a request that was admitted holds of its day: `reserved` of the about `prompt` tokens it needs.

    `bound` is the most that its answer may have, if that is known.
    """

    counters: _Counters
    caller: str
    day: Window
    prompt: int
    reserved: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was admitted.

    Attributes:
        headers: OpenAI's `x-ratelimit-*` about the limits that the caller has; None for one who has none.
    """

    headers: Mapping[str, str] | None
    _held: _Reservation | None

    def book(self, transcript: Transcript, remaining_s: float = LIMIT_S) -> None:
        """Put what the exchange has used in place of what was reserved, in the day in which it began.

        For when the response has ended: it takes LIMIT_S at the worst. Never raises: where the table cannot
        be reached, what was reserved stays, and the log has what is missing.

        Args:
            remaining_s: how long this invocation may still last.
        """
        held = self._held
        if held is None:
            return
        used = used_tokens(transcript.document, held.prompt, held.bound)
        try:
            counters = held.counters.within(min(remaining_s - LOG_RESERVE_S, LIMIT_S))
            counters.correct(held.caller, held.day, used - held.reserved)
        except _CountersUnreachable as error:
            logger.error(  # noqa: TRY400 - a traceback would say no more
                "%d tokens of caller %r could not be booked (%s): %d stay reserved",
                used,
                held.caller,
                error,
                held.reserved,
                extra={"caller": held.caller, "transcript_id": transcript.id},
            )


class _CountersUnreachable(Exception):  # noqa: N818
    """The table cannot be reached, or refuses: the message is AWS's word for why."""


class _NoRoom(Exception):  # noqa: N818
    """The limit leaves no room for what was asked: `used` are taken already."""

    def __init__(self, used: int) -> None:
        self.used = used


class _Counters:
    """The table. Its methods raise _CountersUnreachable, whatever it is that goes wrong there."""

    def __init__(self, table_name: str, dynamodb: Any = None, ends_at: float = math.inf) -> None:
        self._table_name = table_name
        self._ends_at = ends_at
        self._dynamodb = dynamodb or aws_client(
            "dynamodb",
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=READ_TIMEOUT_S,
            attempts=ATTEMPTS,
        )

    def within(self, limit_s: float) -> _Counters:
        """The same table, for calls that are all over by then."""
        return _Counters(self._table_name, self._dynamodb, time.monotonic() + limit_s)

    def take(self, caller: str, window: Window, amount: int, limit: int) -> int:
        """Count so many more and give back how many that makes. Raises _NoRoom, and then counts nothing."""
        # A comparison with what is absent is false: more than the whole limit fits into no window.
        condition = _IS_NEW_OR_FITS if amount <= limit else _FITS
        return self._add(caller, window, amount, condition, limit - amount)

    def correct(self, caller: str, window: Window, difference: int) -> None:
        """Count so many more, or fewer, whatever the limit."""
        if difference:
            self._add(caller, window, difference)

    def _add(
        self, caller: str, window: Window, amount: int, condition: str = "", highest: int | None = None
    ) -> int:
        values = {":amount": amount, ":expires_at": window.ends_at + KEPT_S}
        conditions = {}
        if highest is not None:
            values[":highest"] = highest
            conditions = {
                "ConditionExpression": condition,
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        try:
            return self._update(
                TableName=self._table_name,
                Key={"id": {"S": counter_id(caller, window)}},
                UpdateExpression="ADD #count :amount SET expires_at = :expires_at",
                ExpressionAttributeNames={"#count": "count"},  # a reserved word
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                ReturnValues="UPDATED_NEW",
                **conditions,
            )
        except _NoRoom:
            raise
        except Exception as error:  # noqa: BLE001 - the setting says what is to come of it, whatever it is
            raise _CountersUnreachable(error_code(error)) from None

    def _update(self, **request: Any) -> int:
        try:
            dynamodb = self._dynamodb.within(self._ends_at - time.monotonic())
            return _count_in(dynamodb.update_item(**request)["Attributes"])
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            item: Any = error.response.get("Item")
            raise _NoRoom(_count_in(item) if item else 0) from None


def _count_in(attributes: Mapping[str, Any]) -> int:
    return int(attributes["count"]["N"])


def _report(error: _CountersUnreachable, caller: str, settings: Settings) -> None:
    """Log it, and raise what refuses the request unless LIMITS_UNREACHABLE admits it."""
    is_admitted = settings.limits_unreachable == "admit"
    logger.warning(
        "the limits of caller %r cannot be reached (%s): a request of theirs is %s",
        caller,
        error,
        "admitted, not counted" if is_admitted else "refused",
        extra={"caller": caller},
    )
    if not is_admitted:
        raise RequestError(
            503,
            "limits_unavailable",
            "The relay cannot tell at present whether this request is within its caller's limits.",
            type="server_error",
            headers={"retry-after": str(RETRY_AFTER_S)},
        ) from None
