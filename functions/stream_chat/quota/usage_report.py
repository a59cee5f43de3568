"""`GET /v1/usage`: what a caller has left of each limit."""

from __future__ import annotations

from collections.abc import Sequence

from answers import Answer, json_answer
from quota.admission import LimitUse
from quota.usage_windows import NANO


def usage_report(uses: Sequence[LimitUse]) -> Answer:
    """The limits of a caller as a list; what is not known is null."""
    return json_answer({"object": "list", "data": [_reported(use) for use in uses]})


def _reported(use: LimitUse) -> dict[str, object]:
    window, limit, counted, spare = use
    used = reserved = remaining = None
    if counted is not None and spare is not None:
        used, reserved, remaining = counted - spare, spare, limit - counted
    amounts = {"limit": limit, "used": used, "reserved": reserved, "remaining": remaining}
    is_money = window.counted == "usd"
    return {
        "name": f"{window.counted}_per_{window.span}",
        **{name: _shown(amount, is_money=is_money) for name, amount in amounts.items()},
        "resets_at": window.ends_at,
    }


def _shown(amount: int | None, *, is_money: bool) -> float | None:
    """The amount as callers see it: at least 0, and money in dollars."""
    if amount is None:
        return None
    return max(amount, 0) / NANO if is_money else max(amount, 0)
