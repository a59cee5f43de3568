"""DynamoDB: how many requests and tokens each caller has used. The only module that knows the table.

One item for each caller and window: `id`, `count`, `expires_at` (its TTL); of a day also `spare`, the part of
its count that answers under way hold beyond their estimates, and of which they are likely to give most back.
One conditional update asks whether there is room and takes it, so that requests which come at the same time
see each other: of a hundred with room for fifty, fifty are admitted.

A request is admitted to its day if the estimate of its prompt fits, and holds the bounds of prompt and answer
until it is known what it has used; where that is never known, they stay. So a budget can be overrun by the
bounds of one request, however many come at once and hang up. Only an answer that nothing but the model
bounds holds less, a share of the day, or callers with small budgets could ask for one at a time only: as
many of those as there are shares may overrun it.

Each call may be made twice. Should only the answer to the first be lost, it counts twice: that costs the
caller a request, and a correction of a day may give back what one request held too much.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from aws_client import aws_client, error_code
from chat_stream.dialects.dialect import CHAT_COMPLETIONS
from chat_stream.transcripts.transcript import Transcript
from errors import RequestError
from quota.prompt_tokens import PromptTokens, prompt_tokens
from quota.token_estimate import HIGHEST_OUTPUT, output_bound, used_tokens
from quota.usage_windows import (
    Window,
    counter_id,
    day_of_tokens,
    limit_headers,
    minute_of_requests,
    refusal_headers,
    refusal_message,
)
from request.chat_request import ChatRequest
from request.limits import RESPONSE_OUTPUT_FIELD
from settings import Settings

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

UNBOUNDED_SHARE = 20  # a twentieth

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
        """Count the request in its minute, and the tokens that it may take in its day.

        A request for which the day has no room stays counted in the minute.

        Args:
            settings: the caller's own.

        Raises:
            RequestError: 429 if there is no room; 503 if that cannot be found out and LIMITS_UNREACHABLE is
                not `admit`.
        """
        now = self._now()
        need = None if settings.tokens_per_day is None else _need(chat, settings, settings.tokens_per_day)
        day = day_of_tokens(now)
        counters = self._counters.within(LIMIT_S)
        headers: dict[str, str] = {}
        held = 0
        try:
            if settings.requests_per_minute is not None:
                request = _Need(1, 1)
                minute = minute_of_requests(now)
                limit = settings.requests_per_minute
                headers |= self._take(counters, caller, minute, request, limit, now, headers)
            if need is not None and settings.tokens_per_day is not None:
                headers |= self._take(counters, caller, day, need, settings.tokens_per_day, now, headers)
                held = need.held
        except _CountersUnreachable as error:
            _report(error, caller, settings)
            headers = {}
        if need is None:
            return Admission(headers if settings.requests_per_minute else None, None)
        return Admission(headers, _Reservation(self._counters, caller, day, need, held))

    def _take(
        self,
        counters: _Counters,
        caller: str,
        window: Window,
        need: _Need,
        limit: int,
        now: float,
        headers: Mapping[str, str],
    ) -> dict[str, str]:
        """The headers about this limit; `headers` are those about others, for a refusal to repeat."""
        try:
            used = counters.take(caller, window, need, limit)
        except _NoRoom as no_room:
            is_held = no_room.used - no_room.spare + need.room <= limit
            own = limit_headers(window, limit, no_room.used, now) | refusal_headers(
                window, now, is_held=is_held
            )
            elsewhere = need.prompt.elsewhere
            raise RequestError(
                429,
                "rate_limit_exceeded",
                refusal_message(window, limit, no_room.used, need.room, now, elsewhere),
                type=window.counted,  # as OpenAI's are
                param=elsewhere,
                headers={**headers, **own},
            ) from None
        return limit_headers(window, limit, used - need.spare, now)


class _Need(NamedTuple):
    """What a request asks of a window: `room` for its estimate, of which it holds `held` at first.

    `highest_output` is the most that its answer may have, `is_bounded` whether more than the model bounds it.
    """

    room: int
    held: int
    prompt: PromptTokens = PromptTokens(0, 0)
    highest_output: int = 0
    is_bounded: bool = True

    @property
    def spare(self) -> int:
        """What it holds beyond its estimate."""
        return self.held - self.room


def _need(chat: ChatRequest, settings: Settings, tokens_per_day: int) -> _Need:
    request = json.loads(chat.upstream_body)  # as it is sent: what is recorded lacks credentials
    prompt = prompt_tokens(request, settings.context_tokens)
    is_chat = chat.dialect.path == CHAT_COMPLETIONS.path
    # Every server of chat completions reads `max_tokens`; a field that the upstream does not know bounds
    # nothing.
    fields = ("max_tokens", settings.output_tokens_field) if is_chat else (RESPONSE_OUTPUT_FIELD,)
    bound = output_bound(request, settings.max_output_tokens, chat.expected_choices, fields)
    highest = HIGHEST_OUTPUT * chat.expected_choices if bound is None else bound
    share = -(-tokens_per_day // UNBOUNDED_SHARE)
    output = min(highest, share) if bound is None else bound
    return _Need(prompt.estimate, prompt.bound + output, prompt, highest, bound is not None)


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What a request that was admitted holds of its day."""

    counters: _Counters
    caller: str
    day: Window
    need: _Need
    held: int


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that was admitted.

    Attributes:
        headers: OpenAI's `x-ratelimit-*` about the limits that the caller has; None for one who has none.
    """

    headers: Mapping[str, str] | None
    _held: _Reservation | None

    def book(self, transcript: Transcript, remaining_s: float = LIMIT_S) -> None:
        """Put what the exchange has used in place of what was held, in the day in which it began.

        For when the response has ended: it takes LIMIT_S at the worst. Never raises: where the table cannot
        be reached, what was held stays, and the log has what is missing.

        Args:
            remaining_s: how long this invocation may still last.
        """
        held = self._held
        if held is None:
            return
        need = held.need
        used = used_tokens(transcript.document, need.prompt, need.highest_output, is_bounded=need.is_bounded)
        try:
            spare = held.need.spare if held.held else 0
            counters = held.counters.within(min(remaining_s - LOG_RESERVE_S, LIMIT_S))
            counters.correct(held.caller, held.day, used - held.held, spare)
        except _CountersUnreachable as error:
            logger.error(  # noqa: TRY400 - a traceback would say no more
                "%d tokens of caller %r could not be booked (%s): %d stay held",
                used,
                held.caller,
                error,
                held.held,
                extra={"caller": held.caller, "transcript_id": transcript.id},
            )


class _CountersUnreachable(Exception):  # noqa: N818
    """The table cannot be reached, or refuses: the message is AWS's word for why."""


class _NoRoom(Exception):  # noqa: N818
    """The limit leaves no room for what was asked: `used` are taken already, `spare` of them for a while."""

    def __init__(self, used: int, spare: int) -> None:
        self.used = used
        self.spare = spare


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

    def take(self, caller: str, window: Window, need: _Need, limit: int) -> int:
        """Count what is held if there is room for the estimate, and give back how many that makes.

        Raises _NoRoom, and then counts nothing.
        """
        # A comparison with what is absent is false: more than the whole limit fits into no window.
        condition = _IS_NEW_OR_FITS if need.room <= limit else _FITS
        return self._add(caller, window, need.held, need.spare, condition, limit - need.room)

    def correct(self, caller: str, window: Window, difference: int, spare: int) -> None:
        """Count so many more, or fewer, whatever the limit; `spare` is held no longer."""
        if difference or spare:
            self._add(caller, window, difference, -spare)

    def _add(
        self,
        caller: str,
        window: Window,
        amount: int,
        spare: int,
        condition: str = "",
        highest: int | None = None,
    ) -> int:
        values = {":amount": amount, ":expires_at": window.ends_at + KEPT_S}
        added = "#count :amount"
        if spare:
            values[":spare"] = spare
            added = f"{added}, spare :spare"
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
                UpdateExpression=f"ADD {added} SET expires_at = :expires_at",
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
            return _number_in(dynamodb.update_item(**request)["Attributes"], "count")
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            item: Any = error.response.get("Item") or {}
            raise _NoRoom(_number_in(item, "count"), _number_in(item, "spare")) from None


def _number_in(attributes: Mapping[str, Any], name: str) -> int:
    return int(attributes[name]["N"]) if name in attributes else 0


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
