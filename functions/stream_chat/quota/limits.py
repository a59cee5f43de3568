"""The limits that the settings ask for: counted ones, or none."""

from __future__ import annotations

from quota.admission import Admission, Limits, LimitUse
from request.chat_request import ChatRequest
from settings import Settings


def limits(settings: Settings) -> Limits:
    """The limits that these settings ask for. Without any, nothing is imported for them."""
    if not settings.keeps_limits:
        return _Unlimited()
    from quota.rate_limits import RateLimits

    return RateLimits(settings)


class _Unlimited:
    """Admits every request."""

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        return Admission()

    def usage(self, caller: str, settings: Settings) -> list[LimitUse]:
        return []
