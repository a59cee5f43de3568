"""The time windows in which a caller's usage is counted, and their headers and messages for the caller."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Counted = Literal["requests", "tokens", "usd"]
Span = Literal["minute", "day", "month"]

NANO = 10**9  # money is counted in nano-dollars

MAX_NAME_BYTES = 1024  # a key in DynamoDB takes 2048
RETRY_WHILE_RESERVED_S = 10  # about the duration of an answer
_HASHED = "sha256:"


@dataclass(frozen=True, slots=True)
class Window:
    """A minute, a UTC day or a UTC month."""

    counted: Counted  # what is counted in the window
    span: Span
    name: str  # unique among the windows of what is counted
    ends_at: int  # seconds since the epoch

    def seconds_left(self, now: float) -> int:
        """Whole seconds until the next window: at least 1, as after 0 a client would be refused again."""
        return max(math.ceil(self.ends_at - now), 1)


def window_at(counted: Counted, span: Span, now: float) -> Window:
    """The minute, UTC day or UTC month that contains `now`, in seconds since the epoch."""
    minute = datetime.fromtimestamp(int(now), UTC).replace(second=0)
    midnight = minute.replace(hour=0, minute=0)
    if span == "minute":
        name, next_one = "%Y-%m-%dT%H:%M", minute + timedelta(minutes=1)
    elif span == "day":
        name, next_one = "%Y-%m-%d", midnight + timedelta(days=1)
    else:  # 31 days after its first day is always in the next month
        name, next_one = "%Y-%m", (midnight.replace(day=1) + timedelta(days=31)).replace(day=1)
    return Window(counted, span, minute.strftime(name), int(next_one.timestamp()))


def counter_id(caller: str, window: Window) -> str:
    """The key of a caller's counter, unique for each caller and window.

    The text after the name has a fixed length for each counted quantity and span, so a name that contains `#`
    cannot be confused with a shorter one. A name that a key cannot contain (too long or malformed) is hashed,
    and so is a name that looks like a hash.
    """
    data = caller.encode("utf-8", "surrogatepass")
    is_plain = caller.isascii() or data.decode("utf-8", "ignore") == caller
    if len(data) > MAX_NAME_BYTES or not is_plain or caller.startswith(_HASHED):
        caller = _HASHED + hashlib.sha256(data).hexdigest()
    return f"{caller}#{window.counted}#{window.name}"


def duration(seconds: int) -> str:
    """A duration in the form of OpenAI's headers, which is that of Go: `17s`, `6m0s`, `13h2m5s`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def dollars(nano_usd: int) -> str:
    """Nano-dollars as dollars, exact and without an exponent."""
    sign, (whole, rest) = "-" * (nano_usd < 0), divmod(abs(nano_usd), NANO)
    return f"{sign}{whole}.{rest:09}".rstrip("0").rstrip(".")


def amount(window: Window, number: int) -> str:
    """An amount of what a window counts, for messages."""
    if window.counted == "usd":
        return f"{dollars(number)} US dollars"
    return f"{number} {window.counted}"


def limit_headers(window: Window, limit: int, used: int, now: float) -> dict[str, str]:
    """OpenAI's three headers about a limit; about money, which OpenAI has none for, in the same form."""
    is_money = window.counted == "usd"
    name = f"usd-{window.span}" if is_money else window.counted
    written = dollars if is_money else str
    return {
        f"x-ratelimit-limit-{name}": written(limit),
        f"x-ratelimit-remaining-{name}": written(max(limit - used, 0)),
        f"x-ratelimit-reset-{name}": duration(window.seconds_left(now)),
    }


def refusal_headers(window: Window, now: float, *, is_reserved: bool = False) -> dict[str, str]:
    """When to try again.

    A client should not wait by itself for the end of a day or month; OpenAI's SDKs obey this. With
    `is_reserved`, answers in progress have reserved what is missing and will probably return it.
    """
    left_s = window.seconds_left(now)
    if is_reserved:
        return {"retry-after": str(min(left_s, RETRY_WHILE_RESERVED_S))}
    again = {"retry-after": str(left_s)}
    return again if window.span == "minute" else {**again, "x-should-retry": "false"}


def refusal_message(
    window: Window, limit: int, used: int, needed: int, now: float, elsewhere: str | None = None
) -> str:
    """A message that names the limit, the usage, the amount needed, the next window and a remedy.

    `elsewhere` is the field that refers to content of unknown size, if there is one.
    """
    rest = f"The next {window.span} begins in {duration(window.seconds_left(now))}."
    is_money = window.counted == "usd"
    written = dollars if is_money else str
    reason = f"The limit of {amount(window, limit)} per {window.span} leaves no room for this request"
    reason = f"{reason}: {written(used)} are "
    if window.counted == "requests":
        return f"{reason}used. {rest}"
    wanted = f"this prompt {'may cost' if is_money else 'has about'} {written(needed)}"
    if elsewhere:
        remedy = "send the content itself instead"
        wanted = f"`{elsewhere}`, content stored elsewhere, counts as {written(needed)}: {remedy}"
    return f"{reason}used, or reserved for answers in progress, and {wanted}. {rest}"
