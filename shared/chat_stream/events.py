"""Chat events: the content of a streamed answer as values, the same for every dialect.

They are named tuples because dataclasses add a millisecond to a cold start and double the time per event.
Bracketed names in this package are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

_Kind = TypeVar("_Kind")


def _of_its_own_kind(kind: type[_Kind]) -> type[_Kind]:
    """Make events of different types unequal and every event true.

    Plain tuples are equal if their items are, and an empty one is false.
    """

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
    """Sent once, as soon as a non-empty id or model is known (Azure's first chunk has neither)."""

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
    """A piece of the transcript of a spoken answer. The sound itself has no chat event."""

    choice: int
    text: str


@_of_its_own_kind
class ToolCallDelta(NamedTuple):
    """A piece of a tool call.

    `index` numbers the choice's calls in the order in which they were opened. `id` and `name` are sent once
    each, as soon as they are known. `arguments` is a piece of JSON text. A legacy `function_call` is a tool
    call that never has an id.
    """

    choice: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which no event needs
    id: str | None
    name: str | None
    arguments: str


@_of_its_own_kind
class ImageReceived(NamedTuple):
    """An image that the model has made; `url` is a data URL of an image, or an http(s) URL."""

    choice: int
    url: str
    media_type: str


@_of_its_own_kind
class SourceCited(NamedTuple):
    """A web page that the answer cites. Each http(s) URL is reported once per answer."""

    choice: int
    url: str
    title: str | None


@_of_its_own_kind
class ReasoningField(NamedTuple):
    """The name of the field that holds the reasoning; sent at most once, if it is not `reasoning_content`."""

    choice: int
    name: str


@_of_its_own_kind
class ProviderField(NamedTuple):
    """A field, such as a signature, that the provider wants back unchanged in the next turn.

    `call` is the index of the tool call that the field belongs to, None for the message itself. `value` is
    strict JSON and a copy of its own. The next event of the same field continues a list.
    """

    choice: int
    call: int | None
    name: str
    value: Any


@_of_its_own_kind
class ChoiceFinished(NamedTuple):
    """The first non-empty finish_reason of a choice, as sent; later ones are ignored [ollama#4357].

    A later one counts if the choice has continued in between: some upstreams put one on every chunk.

    `is_cut_short` is true if a limit or a filter ended the answer early.
    """

    choice: int
    finish_reason: str
    is_cut_short: bool = False


@_of_its_own_kind
class UsageReported(NamedTuple):
    """The tokens used so far; the last report counts."""

    usage: dict[str, Any]


@_of_its_own_kind
class AnswerFailed(NamedTuple):
    """An error inside the stream. `status` is the HTTP status (400..599) stated in the error itself."""

    message: str
    type: str | None
    code: str | None
    param: str | None
    status: int | None


@_of_its_own_kind
class StreamDone(NamedTuple):
    """Nothing follows: the `[DONE]` of chat completions, or the event that completes a response."""


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
