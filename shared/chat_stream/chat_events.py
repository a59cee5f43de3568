"""Chat events: what the server-sent events of a chat completion say, one value per thing said.

Bracketed names are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chat_stream.sse import ServerSentEvent

_UNNAMED_ERROR = "The upstream reported an error without a message."

_SURROGATE = re.compile("[\ud800-\udfff]")


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
    """The first non-empty finish_reason of a choice, as sent; later ones say nothing [ollama#4357]."""

    choice: int
    finish_reason: str


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
    """The `[DONE]` sentinel."""


ChatEvent = (
    AnswerStarted
    | TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ToolCallDelta
    | ChoiceFinished
    | UsageReported
    | AnswerFailed
    | StreamDone
)

_CHANNELS: dict[str, Callable[[int, str], ChatEvent]] = {
    "text": TextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningDelta,
}


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD: what UTF-8 can encode."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Choice:
    """What must be remembered of one choice to read its next delta."""

    def __init__(self) -> None:
        self.finished = False
        self.calls: list[_OpenCall] = []
        self.call_at: dict[int | str, int] = {}  # the upstream's index of a call → its place in `calls`
        self.held: dict[str | int, str] = {}  # channel, or place of a call → the first half of a pair


@dataclass(slots=True)
class _OpenCall:
    id: str | None = None
    name: str | None = None


class ChatCompletionDecoder:
    """Reads the events of one streamed chat completion, in order. One decoder per stream."""

    def __init__(self) -> None:
        self._started = False
        self._choices: dict[int, _Choice] = {}

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """What the event says; [] where it says nothing to us. Never raises, whatever the data.

        What a chunk says comes in this order: start, deltas, ends of choices, usage, error: an error ends the
        answer, so what its chunk brings besides comes before it. Data that is not JSON is taken only if every
        line of it is, as some upstreams put one newline between events [eventsource-parser#31].
        """
        try:
            if event.event == "error":  # the name alone makes it one [fms-guardrails-orchestrator#436]
                return [*self._flush(), _failure(_parsed(event.data))]
            if event.data.strip() == "[DONE]":
                return [*self._flush(), StreamDone()]
            document = _parsed(event.data)
            if isinstance(document, dict):
                return list(self._chunk(document))
            if document is event.data and "\n" in document:
                return self._glued(document)
        except RecursionError:  # nested deeper than any answer
            return []
        return []

    def _glued(self, data: str) -> list[ChatEvent]:
        lines = [line.strip() for line in data.split("\n")]
        documents = [line if line == "[DONE]" else _parsed(line) for line in lines if line]
        if not all(isinstance(document, dict) or document == "[DONE]" for document in documents):
            return []
        events: list[ChatEvent] = []
        for document in documents:
            events += self._chunk(document) if isinstance(document, dict) else [*self._flush(), StreamDone()]
        return events

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        if not self._started:
            answer_id, model = _text(chunk.get("id")), _text(chunk.get("model"))
            if answer_id or model:
                self._started = True
                yield AnswerStarted(answer_id, model)
        choices = [choice for choice in _list(chunk.get("choices")) if isinstance(choice, dict)]
        for choice in choices:
            yield from self._choice(choice)
        if isinstance(chunk.get("usage"), dict) and chunk["usage"]:
            yield UsageReported(chunk["usage"])
        error = chunk.get("error") or next(
            (choice["error"] for choice in choices if choice.get("error")), None
        )
        if error:
            yield from self._flush()
            yield _failure(error)
        elif not choices and "error" in (chunk.get("object"), chunk.get("type")):  # flat, as vLLM sends it
            yield from self._flush()
            yield _failure({key: value for key, value in chunk.items() if value != "error"})

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[ChatEvent]:
        number = choice.get("index")
        number = number if type(number) is int and number >= 0 else 0
        state = self._choices.setdefault(number, _Choice())
        # A delta may be missing or null [openai-python#1677]; an unstreamed completion has a message instead.
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            yield from _delta(number, state, delta)
        finish_reason = _text(choice.get("finish_reason"))
        if finish_reason and not state.finished:
            state.finished = True
            yield from _flush_choice(number, state)
            yield ChoiceFinished(number, finish_reason)

    def _flush(self) -> Iterator[ChatEvent]:
        for number, state in self._choices.items():
            yield from _flush_choice(number, state)


def _delta(number: int, state: _Choice, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
    # The same reasoning may stand under both names: one of them is taken per chunk [vllm#27755].
    spoken = [("reasoning", delta.get("reasoning_content") or delta.get("reasoning"))]
    spoken += _content(delta.get("content"))
    spoken.append(("refusal", delta.get("refusal")))
    for channel, text in spoken:
        if isinstance(text, str) and (whole := _joined(state, channel, text)):
            yield _CHANNELS[channel](number, whole)
    for fragment in _list(delta.get("tool_calls")):
        if isinstance(fragment, dict):
            yield from _tool_call(number, state, fragment)
    if isinstance(delta.get("function_call"), dict):
        yield from _tool_call(number, state, {"index": "function_call", "function": delta["function_call"]})


def _content(content: Any) -> list[tuple[str, Any]]:
    """Content is a string, or a list of typed parts, of which reasoning may be nested lists in turn."""
    if isinstance(content, str):
        return [("text", content)]
    spoken: list[tuple[str, Any]] = []
    for part in _list(content):
        if isinstance(part, str):
            spoken.append(("text", part))
        elif isinstance(part, dict) and part.get("type") in ("text", "output_text"):
            spoken.append(("text", part.get("text")))
        elif isinstance(part, dict) and part.get("type") == "refusal":
            spoken.append(("refusal", part.get("refusal")))
        elif isinstance(part, dict) and part.get("type") == "thinking":
            spoken += [("reasoning", text) for _, text in _content(part.get("thinking"))]
    return spoken


def _tool_call(number: int, state: _Choice, fragment: Mapping[str, Any]) -> Iterator[ChatEvent]:
    place = _place_of_call(state, fragment.get("index"), _text(fragment.get("id")))
    call = state.calls[place]
    function = fragment.get("function") or fragment.get("custom")
    function = function if isinstance(function, dict) else {}
    call_id, name = _text(fragment.get("id")), _text(function.get("name"))
    new_id = call_id if call.id is None else None
    new_name = name if call.name is None else None
    call.id, call.name = call.id or call_id, call.name or name
    arguments = function.get("arguments", function.get("input"))
    if arguments is None:
        arguments = ""
    elif not isinstance(arguments, str):  # an object instead of its JSON text [opencode#37841]
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    arguments = _joined(state, place, arguments)
    if new_id or new_name or arguments:
        yield ToolCallDelta(number, place, new_id, new_name, arguments)


def _place_of_call(state: _Choice, index: Any, call_id: str | None) -> int:
    """Which call a fragment belongs to; a new one is opened where it belongs to none.

    Calls are told apart by their index. A new id on a used index opens another call [hermes-agent#62940];
    without an index an id opens a call and no id continues the last one [openai-python#2806].
    """
    if type(index) is int or index == "function_call":
        place = state.call_at.get(index)
    elif call_id:
        place = next((place for place, call in enumerate(state.calls) if call.id == call_id), None)
    else:
        place = len(state.calls) - 1 if state.calls else None
    if place is not None and call_id and state.calls[place].id not in (None, call_id):
        place = None
    if place is None:
        place = len(state.calls)
        state.calls.append(_OpenCall())
    if type(index) is int or index == "function_call":
        state.call_at[index] = place
    return place


def _joined(state: _Choice, channel: str | int, text: str) -> str:
    """The text with a half pair held from before in front, and one at its end held back [eliza#30904]."""
    if not text:
        return ""
    text = state.held.pop(channel, "") + text
    if "\ud800" <= text[-1] <= "\udbff":
        state.held[channel] = text[-1]
        text = text[:-1]
    return well_formed(text)


def _flush_choice(number: int, state: _Choice) -> Iterator[ChatEvent]:
    held, state.held = state.held, {}
    for channel in held:
        if isinstance(channel, int):
            yield ToolCallDelta(number, channel, None, None, "\ufffd")
        else:
            yield _CHANNELS[channel](number, "\ufffd")


def _parsed(data: str) -> Any:
    """The JSON value, or the data itself where it is no JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return data


def _text(value: Any) -> str | None:
    """A non-empty string, well-formed; "" and null mean absent."""
    return well_formed(value) if isinstance(value, str) and value else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _failure(error: Any) -> AnswerFailed:
    """The error from any form seen: nested object, flat object, plain string [litellm#40578]."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict) and error["error"]:
        error = error["error"]
    if not isinstance(error, dict):
        return AnswerFailed(_text(error) or _UNNAMED_ERROR, None, None, None, None)
    texts = (_text(error.get(key)) for key in ("message", "details", "detail", "error"))
    code = error.get("code")
    statuses = (error.get(key) for key in ("status", "status_code", "code"))
    return AnswerFailed(
        message=next((text for text in texts if text), _UNNAMED_ERROR),
        type=_text(error.get("type")),
        code=str(code) if type(code) is int else _text(code),
        param=_text(error.get("param")),
        status=next((status for status in statuses if type(status) is int and 400 <= status <= 599), None),
    )


def completion_events(completion: Mapping[str, Any]) -> list[ChatEvent]:
    """A whole, unstreamed `chat.completion` as the events of a stream that says the same.

    Ends in StreamDone, or in AnswerFailed where the body holds an error instead. Never raises.
    """
    decoder = ChatCompletionDecoder()
    try:
        events = list(decoder._chunk(completion))
    except RecursionError:
        return []
    if any(isinstance(event, AnswerFailed) for event in events):
        return events
    return [*events, *decoder._flush(), StreamDone()]


def completion_chunks(completion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A whole `chat.completion` as the chunks of a stream that says the same, for a caller who asked for one.

    One chunk per choice with its whole message as the delta, one per choice with its finish_reason, and one
    with the usage if there is any. Every other field stays: the completion's on each chunk, the choice's
    (logprobs and unknown ones) beside the delta.
    """
    envelope = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    envelope["object"] = "chat.completion.chunk"
    deltas, ends = [], []
    for position, choice in enumerate(_list(completion.get("choices"))):
        if not isinstance(choice, dict):
            continue
        message = choice.get("message")
        delta = dict(message) if isinstance(message, dict) else {}
        if isinstance(delta.get("tool_calls"), list):
            delta["tool_calls"] = [
                {"index": index, **call} if isinstance(call, dict) else call
                for index, call in enumerate(delta["tool_calls"])
            ]
        rest = {
            key: value for key, value in choice.items() if key not in ("index", "message", "finish_reason")
        }
        index = choice.get("index", position)
        deltas.append(
            {**envelope, "choices": [{"index": index, "delta": delta, **rest, "finish_reason": None}]}
        )
        end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.get("finish_reason")}
        ends.append({**envelope, "choices": [end]})
    usage = completion.get("usage")
    return [*deltas, *ends, *([{**envelope, "choices": [], "usage": usage}] if usage else [])]
