"""The windows of time in which a caller's use is counted, and how the caller is told about them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Counted = Literal["requests", "tokens"]

MAX_NAME_BYTES = 1024  # DynamoDB's key takes 2048
RETRY_WHILE_HELD_S = 10  # about what an answer takes
_HASHED = "sha256:"


@dataclass(frozen=True, slots=True)
class Window:
    """A minute or a UTC day.

    Attributes:
        counted: what is counted in it.
        span: `minute` or `day`, for people.
        name: no other window of what is counted has it.
        ends_at: seconds since the epoch.
    """

    counted: Counted
    span: str
    name: str
    ends_at: int

    def seconds_left(self, now: float) -> int:
        """Whole seconds until the next window: at least 1, for with 0 a client would be refused again."""
        return max(math.ceil(self.ends_at - now), 1)


def minute_of_requests(now: float) -> Window:
    """The minute in which `now`, seconds since the epoch, lies."""
    return _window("requests", "minute", now, timedelta(minutes=1), "%Y-%m-%dT%H:%M")


def day_of_tokens(now: float) -> Window:
    """The UTC day in which `now`, seconds since the epoch, lies."""
    return _window("tokens", "day", now, timedelta(days=1), "%Y-%m-%d")


def counter_id(caller: str, window: Window) -> str:
    """The key of a caller's counter: no two callers, and no two windows, have the same.

    What follows the name has the same length for each thing counted, so that a name in which there is a `#`
    cannot be taken for a shorter one. A name that no key takes (too long, or not well-formed) is hashed, and
    so is one that looks like a hash.
    """
    data = caller.encode("utf-8", "surrogatepass")
    is_plain = caller.isascii() or data.decode("utf-8", "ignore") == caller
    if len(data) > MAX_NAME_BYTES or not is_plain or caller.startswith(_HASHED):
        caller = _HASHED + hashlib.sha256(data).hexdigest()
    return f"{caller}#{window.counted}#{window.name}"


def duration(seconds: int) -> str:
    """As OpenAI writes it in its headers, which is as Go does: `17s`, `6m0s`, `13h2m5s`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def limit_headers(window: Window, limit: int, used: int, now: float) -> dict[str, str]:
    """OpenAI's three headers about what is counted in the window."""
    return {
        f"x-ratelimit-limit-{window.counted}": str(limit),
        f"x-ratelimit-remaining-{window.counted}": str(max(limit - used, 0)),
        f"x-ratelimit-reset-{window.counted}": duration(window.seconds_left(now)),
    }


def refusal_headers(window: Window, now: float, *, is_held: bool = False) -> dict[str, str]:
    """When to come again. For a day's end no client should wait by itself: OpenAI's SDKs obey that.

    Args:
        is_held: answers under way hold what is missing, and will probably give it back when they end.
    """
    left_s = window.seconds_left(now)
    if is_held:
        return {"retry-after": str(min(left_s, RETRY_WHILE_HELD_S))}
    again = {"retry-after": str(left_s)}
    return again if window.span == "minute" else {**again, "x-should-retry": "false"}


def refusal_message(
    window: Window, limit: int, used: int, amount: int, now: float, elsewhere: str | None = None
) -> str:
    """Which limit leaves no room for how much more, until when, and what would be right, for a person.

    Args:
        elsewhere: the field that stands for content whose size is not known here.
    """
    rest = f"The next {window.span} begins in {duration(window.seconds_left(now))}."
    reason = f"The limit of {limit} {window.counted} per {window.span} leaves no room for this request"
    reason = f"{reason}: {used} are "
    if window.counted == "requests":
        return f"{reason}used. {rest}"
    wanted = f"this prompt has about {amount}"
    if elsewhere:
        wanted = (
            f"`{elsewhere}`, content kept elsewhere, counts as {amount}: send the content itself in its place"
        )
    return f"{reason}used, or held for answers under way, and {wanted}. {rest}"


def _window(counted: Counted, span: str, now: float, length: timedelta, name: str) -> Window:
    length_s = int(length.total_seconds())
    begins_at = int(now) // length_s * length_s  # time of the epoch has no leap seconds
    begin = datetime.fromtimestamp(begins_at, UTC)
    return Window(counted, span, begin.strftime(name), begins_at + length_s)
