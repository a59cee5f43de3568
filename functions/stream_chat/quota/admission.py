"""What it means to admit a request: the interface of limits, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from chat_stream.transcripts.transcript import Transcript
from request.chat_request import ChatRequest
from settings import Settings


def _book_nothing(transcript: Transcript, remaining_s: float) -> None:
    """For a caller whose tokens are not counted."""


class Admission(NamedTuple):
    """A request that was admitted."""

    # OpenAI's `x-ratelimit-*` about the caller's own limits; None for a caller without any.
    headers: Mapping[str, str] | None = None
    # Counts what the answer has cost, given its transcript and the time that this invocation has left in
    # seconds. To be called when the response has ended. Never raises.
    book: Callable[[Transcript, float], None] = _book_nothing


class Limits(Protocol):
    """Decides who may have an answer now."""

    def admit(self, caller: str, settings: Settings, chat: ChatRequest) -> Admission:
        """Admit the request by the caller's own settings.

        Raises RequestError: 429 for a caller over a limit, 503 if the counters cannot be reached.
        """
