"""The dialects that an upstream may speak, and how each is decoded, assembled and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from chat_stream.dialects.chat_completions.events import (
    ChatCompletionDecoder,
    completion_events,
    completion_stream,
    has_choices,
    is_completion,
)
from chat_stream.events import ChatEvent
from chat_stream.sse import ServerSentEvent

if TYPE_CHECKING:
    from chat_stream.dialects.chat_completions.assembly import CompletionAssembler
    from chat_stream.dialects.chat_completions.text_runs import TextRuns
    from chat_stream.dialects.responses.documents import ResponseAssembler


class EventDecoder(Protocol):
    """Reads the events of one streamed answer, in order."""

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """The chat events in this event, often none. Raises only AnswerTooLargeError."""

    @property
    def text_runs(self) -> TextRuns | None:
        """Reads runs of events that differ only in their text; None if each event must be decoded."""


class Dialect(NamedTuple):
    """One of OpenAI's two APIs for answers."""

    path: str  # appended to the upstream's base URL
    # Creates a decoder for one streamed answer; takes the number of choices (the request's `n`).
    decoder: Callable[[int], EventDecoder]
    # Creates an assembler for one streamed answer; takes the number of choices.
    assembler: Callable[[int], CompletionAssembler | ResponseAssembler]
    # Whether an event shows the model at work, rather than only keeping the connection alive.
    is_progress: Callable[[ServerSentEvent], bool]
    is_answer: Callable[[Mapping[str, Any]], bool]  # whether a JSON object is a complete answer
    # Whether such a document states itself, as this API allows, that it has failed.
    is_failed_answer: Callable[[Mapping[str, Any]], bool]
    # The chat events of such a document, or of an error; takes the number of choices.
    document_events: Callable[[Mapping[str, Any], int], list[ChatEvent]]
    # The event stream that is equivalent to such a document.
    document_stream: Callable[[Mapping[str, Any]], bytes]


def _completion_assembler(expected_choices: int) -> CompletionAssembler:
    # Imported here because few answers need it.
    from chat_stream.dialects.chat_completions.assembly import CompletionAssembler

    return CompletionAssembler(expected_choices)


CHAT_COMPLETIONS = Dialect(
    path="/chat/completions",
    decoder=ChatCompletionDecoder,
    assembler=_completion_assembler,
    is_progress=has_choices,
    is_answer=is_completion,
    is_failed_answer=lambda _: False,
    document_events=completion_events,
    document_stream=completion_stream,
)


@cache
def responses_dialect() -> Dialect:
    """The Responses API, imported on first use so that the first byte of other answers does not wait."""
    from chat_stream.dialects.responses.documents import ResponseAssembler, response_stream
    from chat_stream.dialects.responses.endings import is_failed_response, is_response
    from chat_stream.dialects.responses.events import ResponsesDecoder, is_response_event, response_events

    return Dialect(
        path="/responses",
        decoder=lambda _: ResponsesDecoder(),
        assembler=lambda _: ResponseAssembler(),
        is_progress=is_response_event,
        is_answer=is_response,
        is_failed_answer=is_failed_response,
        document_events=lambda response, _: response_events(response),
        document_stream=response_stream,
    )
