"""Chat events: what the events of a streamed answer say, one value per thing said, whatever their dialect.

Bracketed names are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chat_stream.json_values import text_in

_UNNAMED_ERROR = "The upstream reported an error without a message."


@dataclass(frozen=True, slots=True)
class AnswerStarted:
    """Once, when the first non-empty id or model is known (Azure's first chunk has neither)."""

    id: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the visible answer, never empty and always well-formed Unicode."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of the model's refusal to answer."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the reasoning that precedes the answer."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class AudioTranscriptDelta:
    """A piece of what a spoken answer says. The sound itself is no event of ours."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call. `index` is its place among the choice's calls, in the order they were opened;
    `id` and `name` come once each, as soon as they are known; `arguments` is a piece of JSON text. A legacy
    `function_call` is a tool call that never has an id."""

    choice: int
    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """The first non-empty finish_reason of a choice, as sent; later ones say nothing [ollama#4357].

    `is_cut_short` tells an answer that a limit or a filter has ended before its end.
    """

    choice: int
    finish_reason: str
    is_cut_short: bool = False


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The tokens used so far; of several reports the last counts."""

    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerFailed:
    """An error inside the stream. `status` is the HTTP status (400..599) that the error itself carries."""

    message: str
    type: str | None
    code: str | None
    param: str | None
    status: int | None


@dataclass(frozen=True, slots=True)
class StreamDone:
    """Nothing follows: the `[DONE]` of chat completions, or the event in which a response has ended well."""


ChatEvent = (
    AnswerStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | AudioTranscriptDelta
    | ToolCallDelta
    | ChoiceFinished
    | UsageReported
    | AnswerFailed
    | StreamDone
)


def failure_in(error: Any) -> AnswerFailed:
    """The error, from any form seen: nested object, flat object, plain string [litellm#40578]."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict) and error["error"]:
        error = error["error"]
    if not isinstance(error, dict):
        return AnswerFailed(text_in(error) or _UNNAMED_ERROR, None, None, None, None)
    texts = (text_in(error.get(key)) for key in ("message", "details", "detail", "error"))
    code = error.get("code")
    statuses = (error.get(key) for key in ("status", "status_code", "code"))
    return AnswerFailed(
        message=next((text for text in texts if text), _UNNAMED_ERROR),
        type=text_in(error.get("type")),
        code=str(code) if type(code) is int else text_in(code),
        param=text_in(error.get("param")),
        status=next((status for status in statuses if type(status) is int and 400 <= status <= 599), None),
    )
