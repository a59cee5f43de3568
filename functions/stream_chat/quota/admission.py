"""What it means to admit a request: the interface of limits, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chat_stream.transcripts.transcript import Transcript
from request.chat_request import ChatRequest
from settings import Settings

if TYPE_CHECKING:
    from quota.usage_windows import Window


def _book_nothing(transcript: Transcript, remaining_s: float) -> None:
    """For a caller whose usage is not counted."""


class Admission(NamedTuple):
    """A request that was admitted."""

    # OpenAI's `x-ratelimit-*` about the caller's own limits; None for a caller without any.
    headers: Mapping[str, str] | None = None
    # Counts what the answer has cost, given its transcript and the time that this invocation has left in
    # seconds. To be called when the response has ended. Never raises.
    book: Callable[[Transcript, float], None] = _book_nothing


class LimitUse(NamedTuple):
    """How much of a limit is used: numbers, or nano-dollars."""

    window: Window
    limit: int
    counted: int | None = None  # None if the counters cannot be reached
    spare: int | None = None  # the part of it that is only reserved for answers in progress


class Limits(Protocol):
    """Decides who may have an answer now."""

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Admit the request by the caller's own settings.

        Raises RequestError: 429 for a caller over a limit, 400 for a request whose price is not
        known, 503 if the counters cannot be reached.
        """

    def usage(self, caller: str, settings: Settings) -> list[LimitUse]:
        """How much of each of the caller's limits is used. Raises RequestError: 503 as above."""
