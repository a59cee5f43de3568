"""Chat events: the content of a streamed answer as values, the same for every dialect.

They are named tuples because dataclasses add a millisecond to a cold start and double the time per event.
Bracketed names in this package are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args


class AnswerStarted(NamedTuple):
    """Sent once, as soon as a non-empty id or model is known (Azure's first chunk has neither)."""

    id: str | None
    model: str | None


class TextDelta(NamedTuple):
    """A piece of the visible answer, never empty and always well-formed Unicode."""

    choice: int
    text: str


class RefusalDelta(NamedTuple):
    """A piece of the model's refusal to answer."""

    choice: int
    text: str


class ReasoningDelta(NamedTuple):
    """A piece of the reasoning that precedes the answer."""

    choice: int
    text: str


class AudioTranscriptDelta(NamedTuple):
    """A piece of the transcript of a spoken answer. The sound itself has no chat event."""

    choice: int
    text: str


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


class ImageReceived(NamedTuple):
    """An image that the model has made; `url` is a data URL of an image, or an http(s) URL."""

    choice: int
    url: str
    media_type: str


class SourceCited(NamedTuple):
    """A web page that the answer cites. Each http(s) URL is reported once per answer."""

    choice: int
    url: str
    title: str | None


class ReasoningField(NamedTuple):
    """The name of the field that holds the reasoning; sent at most once, if it is not `reasoning_content`."""

    choice: int
    name: str


class ProviderField(NamedTuple):
    """A field, such as a signature, that the provider wants back unchanged in the next turn.

    `call` is the index of the tool call that the field belongs to, None for the message itself. `value` is
    strict JSON and a copy of its own. The next event of the same field continues a list.
    """

    choice: int
    call: int | None
    name: str
    value: Any


class ChoiceFinished(NamedTuple):
    """The first non-empty finish_reason of a choice, as sent; later ones are ignored [ollama#4357].

    A later one counts if the choice has continued in between: some upstreams put one on every chunk.

    `is_cut_short` is true if a limit or a filter ended the answer early.
    """

    choice: int
    finish_reason: str
    is_cut_short: bool = False


class UsageReported(NamedTuple):
    """The tokens used so far; the last report counts.

    `service_tier` is the tier that the same chunk or response names.
    """

    usage: dict[str, Any]
    service_tier: str | None = None


class AnswerFailed(NamedTuple):
    """An error inside the stream. `status` is the HTTP status (400..599) stated in the error itself."""

    message: str
    type: str | None
    code: str | None
    param: str | None
    status: int | None


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


def _equal(event: object, other: object) -> bool:
    return isinstance(event, tuple) and type(event) is type(other) and tuple.__eq__(event, other) is True


# Events of different types are unequal, and every event is true: plain tuples are equal if their items are,
# and an empty one is false.
for _kind in get_args(ChatEvent):
    _kind.__eq__ = _equal
    _kind.__ne__ = lambda event, other: not _equal(event, other)
    _kind.__bool__ = lambda event: True
