"""Chat events: what the events of a streamed answer say, one value per thing said, whatever their dialect.

They are named tuples: a dataclass costs a cold start a millisecond, and each event twice the time.
Bracketed names are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

_Kind = TypeVar("_Kind")


def _of_its_own_kind(kind: type[_Kind]) -> type[_Kind]:
    """Tuples are equal if their items are, and true if there are any; events are told apart by their kind."""

    def equal(self: object, other: object) -> bool:
        return isinstance(self, tuple) and type(self) is type(other) and tuple.__eq__(self, other) is True

    def unequal(self: object, other: object) -> bool:
        return not equal(self, other)

    kind.__eq__ = equal  # type: ignore[method-assign]
    kind.__ne__ = unequal  # type: ignore[method-assign]
    kind.__bool__ = lambda self: True  # type: ignore[attr-defined]
    return kind


@_of_its_own_kind
class AnswerStarted(NamedTuple):
    """Once, when the first non-empty id or model is known (Azure's first chunk has neither)."""

    id: str | None
    model: str | None


@_of_its_own_kind
class TextDelta(NamedTuple):
    """A piece of the visible answer, never empty and always well-formed Unicode."""

    choice: int
    text: str


@_of_its_own_kind
class RefusalDelta(NamedTuple):
    """A piece of the model's refusal to answer."""

    choice: int
    text: str


@_of_its_own_kind
class ReasoningDelta(NamedTuple):
    """A piece of the reasoning that precedes the answer."""

    choice: int
    text: str


@_of_its_own_kind
class AudioTranscriptDelta(NamedTuple):
    """A piece of what a spoken answer says. The sound itself is no event of ours."""

    choice: int
    text: str


@_of_its_own_kind
class ToolCallDelta(NamedTuple):
    """A piece of a tool call. `index` is its place among the choice's calls, in the order they were opened;
    `id` and `name` come once each, as soon as they are known; `arguments` is a piece of JSON text. A legacy
    `function_call` is a tool call that never has an id."""

    choice: int
    index: int  # type: ignore[assignment]  # in place of tuple.index, which nobody asks an event for
    id: str | None
    name: str | None
    arguments: str


@_of_its_own_kind
class ImageReceived(NamedTuple):
    """A picture that the model has made; `url` is a data URL of an image, or an http(s) URL."""

    choice: int
    url: str
    media_type: str


@_of_its_own_kind
class SourceCited(NamedTuple):
    """A web page that the answer refers to. Each http(s) URL comes once in an answer."""

    choice: int
    url: str
    title: str | None


@_of_its_own_kind
class ReasoningField(NamedTuple):
    """The message's field that holds the reasoning, once at most, where it is not `reasoning_content`."""

    choice: int
    name: str


@_of_its_own_kind
class ProviderField(NamedTuple):
    """A field that the provider wants back in the next turn as it is, such as a signature.

    `call` is the index of the tool call that it belongs to, None for the message itself. `value` is strict
    JSON that nobody else holds. Lists go on with the next event of the same field.
    """

    choice: int
    call: int | None
    name: str
    value: Any


@_of_its_own_kind
class ChoiceFinished(NamedTuple):
    """The first non-empty finish_reason of a choice, as sent; later ones say nothing [ollama#4357].

    Unless the choice has gone on in between, as where an upstream puts one on every chunk.

    `is_cut_short` tells an answer that a limit or a filter has ended before its end.
    """

    choice: int
    finish_reason: str
    is_cut_short: bool = False


@_of_its_own_kind
class UsageReported(NamedTuple):
    """The tokens used so far; of several reports the last counts."""

    usage: dict[str, Any]


@_of_its_own_kind
class AnswerFailed(NamedTuple):
    """An error inside the stream. `status` is the HTTP status (400..599) that the error itself carries."""

    message: str
    type: str | None
    code: str | None
    param: str | None
    status: int | None


@_of_its_own_kind
class StreamDone(NamedTuple):
    """Nothing follows: the `[DONE]` of chat completions, or the event in which a response has ended well."""


ChatEvent = (
    AnswerStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | AudioTranscriptDelta
    | ToolCallDelta
    | ImageReceived
    | SourceCited
    | ReasoningField
    | ProviderField
    | ChoiceFinished
    | UsageReported
    | AnswerFailed
    | StreamDone
)
