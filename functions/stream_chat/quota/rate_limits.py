"""Admits requests within their callers' limits: requests per minute, tokens per day, money per day and month.

A request is admitted to a budget if the estimate of its prompt has room. It reserves the upper bounds of its
prompt and answer until its real usage is known; if that is never known, the reservation stays. So a budget
can be overrun by the bounds of one request, however many requests arrive at once and hang up. There is one
exception: an answer that only the model bounds reserves less, a share of the budget. Otherwise callers with
small budgets could only ask for one answer at a time. So as many such answers as there are shares may overrun
the budget.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from chat_stream.dialects.dialect import CHAT_COMPLETIONS
from chat_stream.transcripts.transcript import Transcript
from errors import RequestError, unavailable
from quota import usage_windows as windows
from quota.admission import Admission, LimitUse
from quota.counters import Counters, CountersUnreachableError, Need, NoRoomError
from quota.prompt_tokens import prompt_tokens
from quota.token_estimate import HIGHEST_OUTPUT, TokenBounds, output_bound, used_tokens
from quota.usage_windows import Span, Window, window_at
from request.chat_request import ChatRequest
from request.limits import RESPONSE_OUTPUT_FIELD
from settings import Settings

if TYPE_CHECKING:
    from quota.money import Prices, RequestPrice

# For all calls of an admission, which delay the first byte, and for those of a booking: two attempts that
# hang and the pause of up to 1 s between them.
LIMIT_S = 5.0
GIVE_BACK_LIMIT_S = 2.0  # the limit of the calls before it may have passed
LOG_RESERVE_S = 0.5  # kept back for the log record of what could not be booked
RETRY_AFTER_S = 5

UNBOUNDED_SHARE = 20  # a twentieth of the budget

logger = logging.getLogger(__name__)


class RateLimits:
    """Admits requests within their callers' limits. Creates its client at once, in the init phase.

    The settings name the table; `now` returns the time in seconds since the epoch.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._counters = Counters(settings.limits_table_name)
        self._now = now
        self._settings = settings
        self._prices: Prices | None = None
        if settings.keeps_budgets:
            self._read_prices()  # in the init phase as well

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Count the request in its minute, and what it may use in the windows of the budgets.

        A request for which a budget has no room stays counted in the minute, and in no budget. `settings` are
        the caller's own.

        Raises RequestError: 429 if there is no room; 400 if a budget in money needs a price that is not
        known; 503 if the counters cannot be reached and LIMITS_UNREACHABLE is not `admit`.
        """
        if not any(settings.counted_limits):
            return Admission()
        now = self._now()
        needs = self._needs(settings, chat, now)
        counters = self._counters.within(LIMIT_S)
        headers: dict[str, str] = {}
        taken: list[Need] = []
        try:
            try:
                for need in needs:
                    headers |= _take(counters, caller, need, now, headers)
                    taken.append(need)
            except CountersUnreachableError as error:
                _report(error, caller, settings, needs[len(taken)])
                headers = {}
        except RequestError:
            _give_back(self._counters.within(GIVE_BACK_LIMIT_S), caller, taken)
            raise
        return Admission(headers, _Reservation(self._counters, caller, needs, len(taken)).book)

    def usage(self, caller: str, settings: Settings) -> list[LimitUse]:
        """How much of each of the caller's limits is used. `settings` are the caller's own.

        Raises RequestError: 503 if the counters cannot be reached and LIMITS_UNREACHABLE is not `admit`.
        """
        counters = self._counters.within(LIMIT_S)
        limits = _limits(settings, self._now())
        try:
            return [LimitUse(window, limit, *counters.read(caller, window)) for window, limit in limits]
        except CountersUnreachableError as error:
            _report(error, caller, settings)
            return [LimitUse(window, limit) for window, limit in limits]

    def _needs(self, settings: Settings, chat: ChatRequest, now: float) -> list[Need]:
        """How much of each window the request needs. Raises RequestError if a price is not known."""
        needs: list[Need] = []
        sized: _SizedRequest | None = None
        for window, limit in _limits(settings, now):
            if window.counted == "requests":
                needs.append(Need(window, limit, 1, 1))
            else:
                sized = sized or _SizedRequest(chat, settings)
                needs.append(sized.need(window, limit, self._read_prices))
        return needs

    def _read_prices(self) -> Prices:
        if self._prices is None:
            from quota.money import Prices  # only where there is a budget in money

            self._prices = Prices(self._settings)
        return self._prices


def _limits(settings: Settings, now: float) -> list[tuple[Window, int]]:
    """The windows of a caller's limits, and how much each may hold: a number, or nano-dollars.

    The month comes before the day: a caller without room in both is told to wait for the month.
    """
    limits: list[tuple[Window, int]] = []
    if settings.requests_per_minute is not None:
        limits.append((window_at("requests", "minute", now), settings.requests_per_minute))
    budgets: dict[Span, float | None] = {"month": settings.usd_per_month, "day": settings.usd_per_day}
    for span, usd in budgets.items():
        if usd is not None:
            from quota.money import nano_usd

            limits.append((window_at("usd", span, now), nano_usd(usd)))
    if settings.tokens_per_day is not None:
        limits.append((window_at("tokens", "day", now), settings.tokens_per_day))
    return limits


def _take(
    counters: Counters, caller: str, need: Need, now: float, headers: Mapping[str, str]
) -> dict[str, str]:
    """The headers about this limit; `headers` are those about others, which a refusal repeats."""
    window, limit = need.window, need.limit
    try:
        used = counters.take(caller, need)
    except NoRoomError as no_room:
        counted, spare = no_room.taken
        is_reserved = counted - spare + need.room <= limit
        own = windows.limit_headers(window, limit, counted, now)
        again = windows.refusal_headers(window, now, is_reserved=is_reserved)
        is_money = window.counted == "usd"
        raise RequestError(
            429,
            "insufficient_quota" if is_money else "rate_limit_exceeded",
            windows.refusal_message(window, limit, counted, need.room, now, need.elsewhere),
            type="insufficient_quota" if is_money else window.counted,  # as OpenAI's are
            param=need.elsewhere,
            headers={**headers, **own, **again},
        ) from None
    return windows.limit_headers(window, limit, used - need.spare, now)


def _give_back(counters: Counters, caller: str, taken: Sequence[Need]) -> None:
    """Return what a refused request has reserved of its budgets."""
    for need in taken:
        if need.used is not None:
            try:
                counters.correct(caller, need.window, -need.reserved, need.spare)
            except CountersUnreachableError as error:
                reserved = windows.amount(need.window, need.reserved)
                message = "%s of caller %r stay reserved for a refused request (%s)"
                # Without a traceback, which would add nothing.
                logger.error(message, reserved, caller, error, extra={"caller": caller})  # noqa: TRY400


class _SizedRequest:
    """A request and the bounds of its tokens."""

    def __init__(self, chat: ChatRequest, settings: Settings) -> None:
        request = json.loads(chat.upstream_body)  # what is sent; `recorded` lacks credentials
        is_chat = chat.dialect.path == CHAT_COMPLETIONS.path
        # Every server of chat completions reads `max_tokens`. A field that the upstream does not know bounds
        # nothing.
        fields = ("max_tokens", settings.output_tokens_field) if is_chat else (RESPONSE_OUTPUT_FIELD,)
        bound = output_bound(request, settings.max_output_tokens, chat.expected_choices, fields)
        highest = HIGHEST_OUTPUT * chat.expected_choices if bound is None else bound
        prompt = prompt_tokens(request, settings.context_tokens)
        self._bounds = TokenBounds(prompt, highest, bound is not None)
        self._price: RequestPrice | None = None
        self._model: str | None = request.get("model")
        tier = request.get("service_tier")
        self._tier = tier if isinstance(tier, str) else None  # anything else is the upstream's to refuse

    def need(self, window: Window, limit: int, prices: Callable[[], Prices]) -> Need:
        """What it needs of a budget. Raises RequestError if the budget is in money, and no price is known."""
        bounds = self._bounds
        amount_of: Callable[[int, int], int] = _sum
        used: Callable[[Mapping[str, Any]], int] = partial(used_tokens, bounds=bounds)
        if window.counted == "usd":
            # One for the day and the month: looking a model up takes longer than all the rest.
            price = self._price = self._price or prices().of_request(self._model, self._tier)
            amount_of, used = price.bound, partial(price.used, bounds=bounds)
        reserved = amount_of(bounds.prompt.bound, bounds.highest_output)
        if not bounds.is_bounded:
            share = -(-limit // UNBOUNDED_SHARE)
            reserved = min(reserved, amount_of(bounds.prompt.bound, 0) + share)
        room = amount_of(bounds.prompt.estimate, 0)
        return Need(window, limit, room, reserved, bounds.prompt.elsewhere, used)


def _sum(input_tokens: int, output_tokens: int) -> int:
    return input_tokens + output_tokens


@dataclass(frozen=True, slots=True)
class _Reservation:
    """What an admitted request has reserved: its need in the first `taken` windows, nothing in the rest.

    The rest are those that could not be reached.
    """

    counters: Counters
    caller: str
    needs: Sequence[Need]
    taken: int

    def book(self, transcript: Transcript, remaining_s: float) -> None:
        """Replace the reservations by the real usage, in the windows in which the exchange began.

        It takes at most LIMIT_S. If the table cannot be reached, the reservations stay, and the log shows
        what is missing.
        """
        counters = self.counters.within(min(remaining_s - LOG_RESERVE_S, LIMIT_S))
        for place, need in enumerate(self.needs):
            if need.used is None:
                continue
            used = need.used(transcript.document)
            reserved, spare = (need.reserved, need.spare) if place < self.taken else (0, 0)
            try:
                counters.correct(self.caller, need.window, used - reserved, spare)
            except CountersUnreachableError as error:
                logger.error(  # noqa: TRY400 - a traceback would add nothing
                    "%s of caller %r could not be booked (%s): %s stay reserved",
                    windows.amount(need.window, used),
                    self.caller,
                    error,
                    windows.amount(need.window, reserved),
                    extra={"caller": self.caller, "transcript_id": transcript.id},
                )


def _report(
    error: CountersUnreachableError, caller: str, settings: Settings, need: Need | None = None
) -> None:
    """Log the failure, and refuse the request unless LIMITS_UNREACHABLE admits it.

    A call that has failed may have taken effect all the same: `need` is what it reserved then.
    """
    reserved = ""
    if need is not None and need.used is not None:
        until = datetime.fromtimestamp(need.window.ends_at, UTC).isoformat()
        reserved = f"; {windows.amount(need.window, need.reserved)} may stay reserved until {until}"
    is_admitted = settings.limits_unreachable == "admit"
    logger.warning(
        "the limits of caller %r cannot be reached (%s): a request of theirs is %s%s",
        caller,
        error,
        "admitted and not counted" if is_admitted else "refused",
        reserved,
        extra={"caller": caller},
    )
    if not is_admitted:
        message = "The relay cannot check at present whether this request is within its caller's limits."
        raise unavailable("limits_unavailable", message, RETRY_AFTER_S) from None
