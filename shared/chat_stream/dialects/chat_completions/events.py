"""Chat completions: decodes streamed events and complete documents; writes documents as streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chat_stream.dialects.chat_completions.deltas import (
    REASONING_PARTS,
    DeltaReader,
    reasoning_in,
    reasoning_text,
)
from chat_stream.dialects.chat_completions.text_runs import TextRuns
from chat_stream.dialects.event_payloads import payloads_in
from chat_stream.dialects.failures import failure_of, message_in, names_failure, parse_failure
from chat_stream.dialects.finish_reasons import meaning_of
from chat_stream.dialects.tool_call_fragments import CallArguments, ToolCallPlaces
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.json_values import arguments_in, index_in, list_in, object_in, parsed, parsed_object, text_in
from chat_stream.memory_bound import STATE_BYTES, MemoryBound
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import PairJoiner

if TYPE_CHECKING:
    from chat_stream.dialects.chat_completions.delta_extras import DeltaExtras

_CHANNELS: dict[str, Callable[[int, str], ChatEvent]] = {
    "text": TextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningDelta,
    "audio": AudioTranscriptDelta,
}

# The usual fields of deltas and calls. DeltaExtras reads all others.
_DELTA_FIELDS = frozenset(("role", "content", "refusal", "tool_calls", "function_call", "audio"))
_CALL_FIELDS = frozenset(("index", "id", "type", "function", "custom"))

MAX_CHOICES = 128  # OpenAI's maximum for `n`

# An object with one of these fields is a chunk, or an event whose kind is stated in it.
_CHUNK_FIELDS = frozenset(("choices", "usage", "type", "object", "status", "event"))
_NO_ANSWER = "The upstream ended the answer without having begun it."


class _Choice:
    """The state of one choice that is needed to read its next delta."""

    def __init__(self, bound: MemoryBound) -> None:
        self.bound = bound
        self.finished = False
        self.deltas = DeltaReader(bound)
        self.places = ToolCallPlaces()
        self.calls: list[_OpenCall] = []
        self.pairs = PairJoiner()  # by channel, or place of a call
        self.known_fields = _DELTA_FIELDS


class _OpenCall:
    def __init__(self, bound: MemoryBound) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.arguments = CallArguments(bound)


class ChatCompletionDecoder:
    """Reads the events of one streamed chat completion, in order. One decoder per stream.

    `expected_choices` is the request's `n`. If it is 1, all entries belong to one choice, whatever their
    index: some gateways count content blocks or tokens there.
    """

    def __init__(self, expected_choices: int = 1) -> None:
        self.text_runs = TextRuns()
        self._is_one_choice = expected_choices == 1
        self._started = False
        self._choices: dict[int, _Choice] = {}
        self._bound = MemoryBound()
        self._extras: DeltaExtras | None = None
        self._has_failed = False
        self._last_message: str | None = None  # the message of the last object, if that was no chunk

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """The chat events in this event, often none.

        A chunk's chat events are in this order: start, deltas, ends of choices, usage, error. The error is
        last because it ends the answer. Raises only AnswerTooLargeError, for more calls than an answer can
        have.
        """
        events: list[ChatEvent] = []
        try:
            if event.event != "message" and names_failure(event.event):
                self._has_failed = True
                return [*self._flush(), parse_failure(parsed(event.data))]
            for chunk in payloads_in(event.data):
                if isinstance(chunk, dict):
                    events += self._chunk(chunk, event.event)
                else:
                    events += [*self._flush(), self._sentinel()]
        except RecursionError:  # nested deeper than any answer
            return []
        return events

    def _chunk(self, chunk: Mapping[str, Any], name: str = "message") -> Iterator[ChatEvent]:
        if not self._started:
            answer_id, model = text_in(chunk.get("id")), text_in(chunk.get("model"))
            if answer_id or model:
                self._started = True
                yield AnswerStarted(answer_id, model)
        choices = [choice for choice in list_in(chunk.get("choices")) if isinstance(choice, dict)]
        self._last_message = None if choices or chunk.keys() & _CHUNK_FIELDS else message_in(chunk)
        error, failed_reason = None, None
        for choice in choices:
            reason = text_in(choice.get("finish_reason"))
            yield from self._choice(choice, reason)
            error = error or choice.get("error")
            if reason and meaning_of(reason).outcome == "failed":
                failed_reason = failed_reason or reason
        if "citations" in chunk or "search_results" in chunk:
            yield from self._extras_reader().of_chunk(chunk)
        if usage := usage_in(chunk):
            yield UsageReported(usage)
        failed = None
        if not choices or "error" in chunk or "base_resp" in chunk:
            failed = failure_of(chunk, name)
        if error and failed is None:
            failed = parse_failure(error)
        if failed is None and failed_reason:
            message = f'The upstream ended the answer with the finish_reason "{failed_reason[:100]}".'
            failed = AnswerFailed(message, None, None, None, None)
        if failed is not None:
            self._has_failed = True
            yield from self._flush()
            yield failed

    def _sentinel(self) -> ChatEvent:
        """What `[DONE]` means: a failure if no answer had begun, or if the last object was no chunk.

        A message alone (`{"message": …}`) is a failure only if nothing but `[DONE]` follows it.
        """
        is_over = bool(self._choices) and all(choice.finished for choice in self._choices.values())
        if is_over or self._has_failed or (self._choices and self._last_message is None):
            return StreamDone()
        return AnswerFailed(self._last_message or _NO_ANSWER, None, None, None, None)

    def _choice(self, choice: Mapping[str, Any], finish_reason: str | None) -> Iterator[ChatEvent]:
        number = 0 if self._is_one_choice else choice_number(choice)
        state = self._choices.get(number)
        if state is None:
            state = self._choices[number] = _Choice(self._bound)
        delta = state.deltas.read(choice)
        for event in _delta(number, state, delta):
            state.finished = False  # a delta after a finish_reason: the choice had not finished
            yield event
        if not state.known_fields.issuperset(delta) or type(delta.get("content")) in (list, dict):
            yield from self._extras_of(number, state, delta)
        if finish_reason and not state.finished:
            state.finished = True
            yield from _flush_choice(number, state)
            yield ChoiceFinished(number, finish_reason, meaning_of(finish_reason).outcome == "incomplete")

    def _extras_of(self, number: int, state: _Choice, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
        extras = self._extras_reader()
        yield from extras.of_delta(number, delta)
        state.known_fields = _DELTA_FIELDS | extras.fields_done_with(number)

    def _extras_reader(self) -> DeltaExtras:
        """Imported on first use, so that the first byte of other answers does not wait for it."""
        if self._extras is None:
            from chat_stream.dialects.chat_completions.delta_extras import DeltaExtras

            self._extras = DeltaExtras(self._bound)
        return self._extras

    def _flush(self) -> Iterator[ChatEvent]:
        for number, state in self._choices.items():
            yield from _flush_choice(number, state)


def choice_number(choice: Mapping[str, Any]) -> int:
    """The number of an entry's choice; 0 if its index is missing or invalid."""
    number = index_in(choice.get("index"))
    return number if number is not None and number < MAX_CHOICES else 0


def usage_in(chunk: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage that a chunk reports; None without any.

    Moonshot sends it in the choice [pi#2017], Groq in a field of its own.
    """
    usage = chunk.get("usage")
    if not usage and "x_groq" in chunk:
        usage = object_in(chunk["x_groq"]).get("usage")
    if not usage:
        for choice in list_in(chunk.get("choices")):
            usage = usage or (isinstance(choice, dict) and choice.get("usage"))
    return usage if isinstance(usage, dict) and usage else None


def _delta(number: int, state: _Choice, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
    texts: list[tuple[str, Any]] = []
    if len(delta) > 1 or "content" not in delta:  # nearly every delta has content only
        texts.append(("reasoning", reasoning_in(delta)))
    texts += _content(delta.get("content"))
    texts.append(("refusal", delta.get("refusal")))
    if delta.get("audio"):
        texts.append(("audio", object_in(delta["audio"]).get("transcript")))
    for channel, text in texts:
        if isinstance(text, str) and (joined := state.pairs.join(channel, text)):
            yield _CHANNELS[channel](number, joined)
    for fragment in list_in(delta.get("tool_calls")):
        if isinstance(fragment, dict):
            yield from _tool_call(number, state, fragment)
    if isinstance(delta.get("function_call"), dict):
        yield from _tool_call(number, state, {"index": "function_call", "function": delta["function_call"]})


def _content(content: Any) -> list[tuple[str, Any]]:
    """The channels and texts in content, which is a string, a typed part, or a list of both."""
    if isinstance(content, str):
        return [("text", content)]
    texts: list[tuple[str, Any]] = []
    for part in [content] if isinstance(content, dict) else list_in(content):
        if isinstance(part, str):
            texts.append(("text", part))
        elif isinstance(part, dict) and part.get("type") in ("text", "output_text"):
            texts.append(("text", part.get("text")))
        elif isinstance(part, dict) and part.get("type") == "refusal":
            texts.append(("refusal", part.get("refusal")))
        elif isinstance(part, dict) and part.get("type") in REASONING_PARTS:
            texts.append(("reasoning", reasoning_text(part)))
    return texts


def _tool_call(number: int, state: _Choice, fragment: Mapping[str, Any]) -> Iterator[ChatEvent]:
    place = state.places.place_of(fragment)
    if place == len(state.calls):
        state.bound.take(STATE_BYTES)
        state.calls.append(_OpenCall(state.bound))
    call = state.calls[place]
    function = object_in(fragment.get("function") or fragment.get("custom"))
    call_id, name = text_in(fragment.get("id")), text_in(function.get("name"))
    new_id = call_id if call.id is None else None
    new_name = name if call.name is None else None
    call.id, call.name = call.id or call_id, call.name or name
    if "arguments" in function:
        arguments = call.arguments.add(arguments_in(function["arguments"]))
    else:  # a custom tool's input may be any text
        arguments = arguments_in(function.get("input"))
    arguments = state.pairs.join(place, arguments)
    if new_id or new_name or arguments:
        yield ToolCallDelta(number, place, new_id, new_name, arguments)
    if not _CALL_FIELDS.issuperset(fragment):
        from chat_stream.dialects.chat_completions.delta_extras import call_fields  # few answers need it

        yield from call_fields(number, place, fragment)


def _flush_choice(number: int, state: _Choice) -> Iterator[ChatEvent]:
    for place, call in enumerate(state.calls):
        if rest := call.arguments.flush():
            yield ToolCallDelta(number, place, None, None, rest)
    for channel in state.pairs.flush():
        if isinstance(channel, int):
            yield ToolCallDelta(number, channel, None, None, "\ufffd")
        else:
            yield _CHANNELS[channel](number, "\ufffd")


def has_choices(event: ServerSentEvent) -> bool:
    """Whether the event holds a chunk, even an empty one; `{"type": "ping"}` is none."""
    return "choices" in parsed_object(event.data)


def is_completion(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a complete answer."""
    return isinstance(document.get("choices"), list)


def completion_events(completion: Mapping[str, Any], expected_choices: int = 1) -> list[ChatEvent]:
    """The chat events of a `chat.completion` that was not streamed.

    The last one is StreamDone, or AnswerFailed if the document holds an error. Never raises.
    """
    decoder = ChatCompletionDecoder(expected_choices)
    try:
        events = list(decoder._chunk(completion))
    except RecursionError:
        return []
    if any(isinstance(event, AnswerFailed) for event in events):
        return events
    return [*events, *decoder._flush(), StreamDone()]


def completion_chunks(completion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A `chat.completion` as the chunks of an equivalent stream, for a caller who asked for a stream.

    Each choice has one chunk with its whole message as the delta and one with its finish_reason. The usage,
    if any, has a chunk of its own. All other fields are kept: those of the completion on each chunk, those
    of a choice (logprobs and unknown ones) beside its delta.
    """
    envelope = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    envelope["object"] = "chat.completion.chunk"
    deltas, ends = [], []
    for position, choice in enumerate(list_in(completion.get("choices"))):
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


def completion_stream(completion: Mapping[str, Any]) -> bytes:
    """A `chat.completion`, or the error in its place, as the equivalent event stream."""
    documents = [completion] if failure_of(completion) else completion_chunks(completion)
    events = [b"data: " + json.dumps(d, separators=(",", ":")).encode("ascii") + b"\n\n" for d in documents]
    return b"".join(events) + b"data: [DONE]\n\n"
