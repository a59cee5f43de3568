"""Whether a caller has anything left: counted limits, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chat_stream.transcripts.transcript import Transcript
from request.chat_request import ChatRequest
from settings import Settings


class Admission(Protocol):
    """Leave for one answer."""

    @property
    def headers(self) -> Mapping[str, str] | None:
        """What the caller is told about his limits; None where he has none of his own."""

    def book(self, transcript: Transcript, remaining_s: float) -> None:
        """Count what the answer has cost; called when it has ended, and never raises.

        Args:
            remaining_s: how long this invocation may still last.
        """


class Limits(Protocol):
    """Says who may have an answer now."""

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Leave for this answer, by the caller's own settings.

        Raises:
            RequestError: 429 for a caller who has had his share, 503 where that cannot be known.
        """


def limits(settings: Settings) -> Limits:
    """The limits that are kept; without any, nothing is imported for them."""
    if not settings.keeps_limits:
        return _Unlimited()
    from quota.rate_limits import RateLimits

    return RateLimits(settings)


class _Unlimited:
    """Leave for everybody; it is the same for all."""

    headers = None

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        return self

    def book(self, transcript: Transcript, remaining_s: float) -> None:
        return
