"""The requests and tokens that each caller has used, in DynamoDB. Only this module knows the table.

Each caller and window has one item: `id`, `count` and `expires_at` (its TTL). The item of a day also has
`spare`: the part of its count that answers in progress reserve beyond their estimates, and most of which they
will probably return. One conditional update checks for room and takes it, so concurrent requests see each
other: if a hundred arrive and fifty have room, fifty are admitted.

A request is admitted to its day if the estimate of its prompt has room. It reserves the upper bounds of its
prompt and answer until its real usage is known; if that is never known, the reservation stays. So a budget
can be overrun by the bounds of one request, however many requests arrive at once and hang up. There is one
exception: an answer that only the model bounds reserves less, a share of the day. Otherwise callers with
small budgets could only ask for one answer at a time. So as many such answers as there are shares may overrun
the budget.

Each call may be made twice. If only the response to the first is lost, it counts twice: this costs the caller
one request, and correcting a day may return too much by what one request has reserved.
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

from aws_client import CallLimits, aws_client, error_code
from chat_stream.dialects.dialect import CHAT_COMPLETIONS
from chat_stream.transcripts.transcript import Transcript
from errors import RequestError
from quota import usage_windows as windows
from quota.admission import Admission
from quota.prompt_tokens import PromptTokens, prompt_tokens
from quota.token_estimate import HIGHEST_OUTPUT, output_bound, used_tokens
from quota.usage_windows import Window
from request.chat_request import ChatRequest
from request.limits import RESPONSE_OUTPUT_FIELD
from settings import Settings

LIMITS: CallLimits = {"connect_timeout_s": 1, "read_timeout_s": 1, "attempts": 2}
# For all calls of an admission, which delay the first byte, and for the one call of a booking: two attempts
# that hang and the pause of up to 1 s between them.
LIMIT_S = 5.0
LOG_RESERVE_S = 0.5  # kept back for the log record of tokens that could not be booked

# An item outlives its window by more than the longest invocation, whose answer is booked in that window.
KEPT_S = 3600
RETRY_AFTER_S = 5

UNBOUNDED_SHARE = 20  # a twentieth of the day

_HAS_ROOM = "#count <= :highest"
_IS_NEW_OR_HAS_ROOM = f"attribute_not_exists(#count) OR {_HAS_ROOM}"

logger = logging.getLogger(__name__)


class RateLimits:
    """Admits requests within their callers' limits. Creates its client at once, in the init phase.

    The settings name the table; `now` returns the time in seconds since the epoch.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._counters = _Counters(settings.limits_table_name)
        self._now = now

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Count the request in its minute, and the tokens that it may use in its day.

        A request for which the day has no room stays counted in the minute. `settings` are the caller's own.

        Raises RequestError: 429 if there is no room; 503 if the counters cannot be reached and
        LIMITS_UNREACHABLE is not `admit`.
        """
        now = self._now()
        need = None if settings.tokens_per_day is None else _need(chat, settings, settings.tokens_per_day)
        day = windows.day_of_tokens(now)
        counters = self._counters.within(LIMIT_S)
        headers: dict[str, str] = {}
        reserved = 0
        try:
            if settings.requests_per_minute is not None:
                request = _Need(1, 1)
                minute = windows.minute_of_requests(now)
                limit = settings.requests_per_minute
                headers |= self._take(counters, caller, minute, request, limit, now, headers)
            if need is not None and settings.tokens_per_day is not None:
                headers |= self._take(counters, caller, day, need, settings.tokens_per_day, now, headers)
                reserved = need.reserved
        except _CountersUnreachableError as error:
            _report(error, caller, settings)
            headers = {}
        if need is None:
            return Admission(headers if settings.requests_per_minute else None)
        return Admission(headers, _Reservation(self._counters, caller, day, need, reserved).book)

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
        """The headers about this limit; `headers` are those about others, which a refusal repeats."""
        try:
            used = counters.take(caller, window, need, limit)
        except _NoRoomError as no_room:
            is_reserved = no_room.used - no_room.spare + need.room <= limit
            own = windows.limit_headers(window, limit, no_room.used, now) | windows.refusal_headers(
                window, now, is_reserved=is_reserved
            )
            elsewhere = need.prompt.elsewhere
            raise RequestError(
                429,
                "rate_limit_exceeded",
                windows.refusal_message(window, limit, no_room.used, need.room, now, elsewhere),
                type=window.counted,  # as OpenAI's are
                param=elsewhere,
                headers={**headers, **own},
            ) from None
        return windows.limit_headers(window, limit, used - need.spare, now)


class _Need(NamedTuple):
    """What a request needs of a window."""

    room: int  # its estimate, for which the window must have room
    reserved: int  # what it reserves at first
    prompt: PromptTokens = PromptTokens(0, 0)  # the tokens of its prompt
    highest_output: int = 0  # the most tokens that its answer may have
    is_bounded: bool = True  # whether the request, and not only the model, bounds the answer

    @property
    def spare(self) -> int:
        """What it reserves beyond its estimate."""
        return self.reserved - self.room


def _need(chat: ChatRequest, settings: Settings, tokens_per_day: int) -> _Need:
    request = json.loads(chat.upstream_body)  # what is sent; `recorded` lacks credentials
    prompt = prompt_tokens(request, settings.context_tokens)
    is_chat = chat.dialect.path == CHAT_COMPLETIONS.path
    # Every server of chat completions reads `max_tokens`. A field that the upstream does not know bounds
    # nothing.
    fields = ("max_tokens", settings.output_tokens_field) if is_chat else (RESPONSE_OUTPUT_FIELD,)
    bound = output_bound(request, settings.max_output_tokens, chat.expected_choices, fields)
    highest = HIGHEST_OUTPUT * chat.expected_choices if bound is None else bound
    share = -(-tokens_per_day // UNBOUNDED_SHARE)
    output = min(highest, share) if bound is None else bound
    return _Need(prompt.estimate, prompt.bound + output, prompt, highest, bound is not None)


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What an admitted request has reserved of its day; 0 if the counters could not be reached."""

    counters: _Counters
    caller: str
    day: Window
    need: _Need
    reserved: int

    def book(self, transcript: Transcript, remaining_s: float) -> None:
        """Replace the reservation by the real usage, in the day in which the exchange began.

        It takes at most LIMIT_S. If the table cannot be reached, the reservation stays, and the log shows
        what is missing.
        """
        need = self.need
        used = used_tokens(transcript.document, need.prompt, need.highest_output, is_bounded=need.is_bounded)
        try:
            spare = need.spare if self.reserved else 0
            counters = self.counters.within(min(remaining_s - LOG_RESERVE_S, LIMIT_S))
            counters.correct(self.caller, self.day, used - self.reserved, spare)
        except _CountersUnreachableError as error:
            logger.error(  # noqa: TRY400 - a traceback would add nothing
                "%d tokens of caller %r could not be booked (%s): %d stay reserved",
                used,
                self.caller,
                error,
                self.reserved,
                extra={"caller": self.caller, "transcript_id": transcript.id},
            )


class _CountersUnreachableError(Exception):
    """The table cannot be reached or refuses the call. The message is AWS's error code."""


class _NoRoomError(Exception):
    """The limit has no room for the request: `used` are taken, `spare` of them only reserved for a while."""

    def __init__(self, used: int, spare: int) -> None:
        self.used = used
        self.spare = spare


class _Counters:
    """The table. Its methods raise _CountersUnreachableError for any failure of a call."""

    def __init__(self, table_name: str, dynamodb: Any = None, ends_at: float = math.inf) -> None:
        self._table_name = table_name
        self._ends_at = ends_at
        self._dynamodb = dynamodb or aws_client("dynamodb", **LIMITS)

    def within(self, limit_s: float) -> _Counters:
        """The same table, for calls that together take at most `limit_s`."""
        return _Counters(self._table_name, self._dynamodb, time.monotonic() + limit_s)

    def take(self, caller: str, window: Window, need: _Need, limit: int) -> int:
        """Count what the request reserves if its estimate has room; returns the new count.

        Raises _NoRoomError, and then counts nothing.
        """
        # A comparison with an absent count is false: what exceeds the whole limit has room in no window.
        condition = _IS_NEW_OR_HAS_ROOM if need.room <= limit else _HAS_ROOM
        return self._add(caller, window, need.reserved, need.spare, condition, limit - need.room)

    def correct(self, caller: str, window: Window, difference: int, spare: int) -> None:
        """Change the count by `difference`, whatever the limit; `spare` is no longer reserved."""
        if difference or spare:
            self._add(caller, window, difference, -spare)

    def _add(
        self, caller: str, window: Window, amount: int, spare: int, condition: str = "", highest: int = 0
    ) -> int:
        values = {":amount": amount, ":expires_at": window.ends_at + KEPT_S}
        added = "#count :amount"
        if spare:
            values[":spare"] = spare
            added = f"{added}, spare :spare"
        conditions = {}
        if condition:
            values[":highest"] = highest
            conditions = {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            answer = self._dynamodb.within(self._ends_at - time.monotonic()).update_item(
                TableName=self._table_name,
                Key={"id": {"S": windows.counter_id(caller, window)}},
                UpdateExpression=f"ADD {added} SET expires_at = :expires_at",
                ExpressionAttributeNames={"#count": "count"},  # a reserved word
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                ReturnValues="UPDATED_NEW",
                **conditions,
            )
            return _number_in(answer["Attributes"], "count")
        except Exception as error:  # noqa: BLE001 - a setting decides what any failure means
            if isinstance(error, ClientError) and error_code(error) == "ConditionalCheckFailedException":
                item: Any = error.response.get("Item") or {}
                raise _NoRoomError(_number_in(item, "count"), _number_in(item, "spare")) from None
            raise _CountersUnreachableError(error_code(error)) from None


def _number_in(attributes: Mapping[str, Any], name: str) -> int:
    return int(attributes[name]["N"]) if name in attributes else 0


def _report(error: _CountersUnreachableError, caller: str, settings: Settings) -> None:
    """Log the failure, and refuse the request unless LIMITS_UNREACHABLE admits it."""
    is_admitted = settings.limits_unreachable == "admit"
    logger.warning(
        "the limits of caller %r cannot be reached (%s): a request of theirs is %s",
        caller,
        error,
        "admitted and not counted" if is_admitted else "refused",
        extra={"caller": caller},
    )
    if not is_admitted:
        raise RequestError(
            503,
            "limits_unavailable",
            "The relay cannot check at present whether this request is within its caller's limits.",
            type="server_error",
            headers={"retry-after": str(RETRY_AFTER_S)},
        ) from None
