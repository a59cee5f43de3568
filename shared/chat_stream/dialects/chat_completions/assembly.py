"""Assembles a stream of chunks into the one document that the upstream would have sent without streaming.

This is for upstreams that stream although the caller did not ask for it [new-api#4557]. Fields that are
known to be sent in pieces are joined; for all others the last value wins. Numbers are never added up, and
unknown strings are never joined, because nothing shows whether a string should be joined or replaced. A name
that is repeated on each chunk must not be joined [langchain#38366]; a text must not be replaced by its last
piece [openinference#3785]. So the text fields of a message are listed here, and opaque values, which are
sent whole, are replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chat_stream.dialects.chat_completions.chunk_merging import PartList, join_base64, merge_fields
from chat_stream.dialects.chat_completions.deltas import REASONING_TEXTS, DeltaReader
from chat_stream.dialects.chat_completions.events import choice_number, usage_in
from chat_stream.dialects.event_payloads import payloads_in
from chat_stream.dialects.tool_call_fragments import CallArguments, ToolCallPlaces
from chat_stream.json_values import arguments_in, list_in, strict, text_in
from chat_stream.memory_bound import STATE_BYTES, GrowingText, MemoryBound, value_bytes
from chat_stream.sse import ServerSentEvent

# The text fields of a message that are sent in pieces. GitHub Copilot's reasoning_opaque, which belongs to a
# reasoning_text, is sent whole, in a chunk of its own [litellm#35021].
_TEXTS = ("content", "refusal", *REASONING_TEXTS)

_MAX_DEPTH = 64  # far above any answer; a document that Python cannot write is cut off at this depth


class CompletionAssembler:
    """Assembles a `chat.completion` from the events of one stream, in order. One for each stream."""

    def __init__(self, expected_choices: int = 1) -> None:
        self._is_one_choice = expected_choices == 1
        self._fields: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._bound = MemoryBound()
        self._usage: dict[str, Any] | None = None

    def add(self, event: ServerSentEvent) -> None:
        """Take the next event; an error adds nothing to the document.

        Raises only AnswerTooLargeError, whatever the data.
        """
        if event.event == "error":
            return
        with suppress(RecursionError):  # nested deeper than any answer
            for chunk in payloads_in(event.data):
                if isinstance(chunk, dict):
                    self._add_chunk(chunk)

    def _add_chunk(self, chunk: dict[str, Any]) -> None:
        self._usage = usage_in(chunk) or self._usage
        chunk.pop("usage", None)
        if not _is_chunk(chunk):
            return
        for choice in list_in(chunk.pop("choices", None)):
            if isinstance(choice, dict):
                number = 0 if self._is_one_choice else choice_number(choice)
                if number not in self._choices:
                    self._choices[number] = _Choice(self._bound)
                self._choices[number].add(choice)
        chunk.pop("object", None)
        chunk.pop("obfuscation", None)  # padding that hides the length of the text
        merge_fields(self._fields, chunk, self._bound, first=("id", "model", "created"))

    def document(self) -> dict[str, Any]:
        """The completion so far, in strict JSON: no lone surrogates, no NaN.

        A field that was only sent empty (null, "", …) is included as sent. Nothing is invented: an id, a
        model or a time that was never sent is missing.
        """
        document = {
            "object": "chat.completion",
            **self._fields,
            "choices": [choice.document(number) for number, choice in sorted(self._choices.items())],
        }
        if self._usage is not None:
            document["usage"] = self._usage
        try:
            return strict(document)
        except RecursionError:
            return strict(_within(document, _MAX_DEPTH))


def _is_chunk(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is part of a completion, rather than a vendor's ping or progress report."""
    kind = text_in(document.get("object")) or text_in(document.get("type"))
    return "choices" in document or kind is None or kind.startswith("chat.completion")


class _Choice:
    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._deltas = DeltaReader(bound)
        self._message = _Message(bound)
        self._logprobs: dict[str, Any] | None = None
        self._finish_reason: str | None = None
        self._has_continued = False
        self._fields: dict[str, Any] = {}

    def add(self, choice: dict[str, Any]) -> None:
        added = self._deltas.read(choice)
        self._message.add(added)
        if self._finish_reason and any(value for name, value in added.items() if name != "role"):
            self._has_continued = True
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            self._logprobs = self._logprobs or {}
            merge_fields(self._logprobs, logprobs, self._bound, joins_lists=True)
        finish_reason = text_in(choice.get("finish_reason"))
        # The first non-empty one counts [ollama#4357], unless the choice has continued after it.
        if finish_reason and (self._has_continued or self._finish_reason is None):
            self._finish_reason, self._has_continued = finish_reason, False
        for key in ("index", "delta", "message", "logprobs", "finish_reason"):
            choice.pop(key, None)
        # A list beside the delta belongs to it and is extended, such as vLLM's token_ids [vllm#45678]. A list
        # at the top of a chunk is sent whole each time, such as Perplexity's citations [litellm#13777].
        merge_fields(self._fields, choice, self._bound, joins_lists=True)

    def document(self, number: int) -> dict[str, Any]:
        return {
            "index": number,
            "message": self._message.document(),
            "logprobs": self._logprobs,
            "finish_reason": self._finish_reason,
            **self._fields,
        }


class _Message:
    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._texts: dict[str, PartList] = {}
        self._lists: dict[str, PartList] = {}
        # As JSON: comparing the objects with each other would take quadratic time.
        self._annotations: set[str] = set()
        self._places = ToolCallPlaces()
        self._calls: list[_ToolCall] = []
        self._function_call: _Function | None = None
        self._audio: _Audio | None = None
        self._fields: dict[str, Any] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        for key, value in delta.items():
            match key, value:
                case _, str() | list() | dict() if key in _TEXTS:
                    self._texts.setdefault(key, PartList(self._bound)).extend(_parts(key, value))
                case "tool_calls", [_, *_]:
                    self._add_tool_calls(value)
                case "function_call", dict() if value:
                    self._function_call = self._function_call or _Function("arguments", self._bound)
                    self._function_call.add(value)
                case "audio", dict() if value:
                    self._audio = self._audio or _Audio(self._bound)
                    self._audio.add(value)
                case _, list():
                    self._lists.setdefault(key, PartList(self._bound)).extend(
                        self._without_repetitions(key, value)
                    )
                case _:
                    merge_fields(self._fields, {key: value}, self._bound, first=("role",))

    def _add_tool_calls(self, fragments: list[Any]) -> None:
        for fragment in fragments:
            if not isinstance(fragment, dict):
                continue
            place = self._places.place_of(fragment)
            if place == len(self._calls):
                self._bound.take(STATE_BYTES)
                self._calls.append(_ToolCall(self._bound))
            self._calls[place].add(fragment)

    def _without_repetitions(self, key: str, entries: list[Any]) -> list[Any]:
        """The entries without annotations that earlier chunks had already [openai-agents-js#1617]."""
        if key != "annotations":
            return entries
        as_json = [json.dumps(entry, sort_keys=True) for entry in entries]
        new = [entry for entry, text in zip(entries, as_json, strict=True) if text not in self._annotations]
        self._bound.take(sum(map(value_bytes, set(as_json) - self._annotations)))
        self._annotations.update(as_json)
        return new

    def document(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            **self._fields,
            **{key: parts.document() for key, parts in self._lists.items()},
            **{
                key: parts.document() if (text := parts.text()) is None else text
                for key, parts in self._texts.items()
            },
        }
        if self._calls:
            fields["tool_calls"] = [call.document() for call in self._calls]
        if self._function_call is not None:
            fields["function_call"] = self._function_call.document()
        if self._audio is not None:
            fields["audio"] = self._audio.document()
        refusal = fields.pop("refusal", None) or None
        content = fields.pop("content", None) or ""
        role = fields.pop("role", None) or "assistant"
        if not content and (self._calls or self._function_call or self._audio or refusal):
            content = None  # as OpenAI does
        return {"role": role, "content": content, "refusal": refusal, **fields}


def _parts(key: str, value: str | list[Any] | dict[str, Any]) -> list[Any]:
    """A text in any form as typed parts. Parts of reasoning may lack the type."""
    parts = value if isinstance(value, list) else [value]
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "text", **part}
        if key in REASONING_TEXTS and isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in parts
    ]


class _ToolCall:
    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._functions: dict[str, _Function] = {}
        self._fields: dict[str, Any] = {}

    def add(self, fragment: Mapping[str, Any]) -> None:
        for key, value in fragment.items():
            if key in ("function", "custom"):
                if isinstance(value, dict):
                    text_key = "arguments" if key == "function" else "input"
                    self._functions.setdefault(key, _Function(text_key, self._bound)).add(value)
            elif key != "index":
                merge_fields(self._fields, {key: value}, self._bound)

    def document(self) -> dict[str, Any]:
        # Some upstreams omit the type, which clients need, or send it in upper case.
        kind = self._fields.get("type") or ("custom" if "custom" in self._functions else "function")
        kind = "function" if kind == "FUNCTION" else kind
        functions = {key: function.document() for key, function in self._functions.items()}
        return {**self._fields, "type": kind, **functions}


class _Function:
    """A function or custom tool that is called, with the pieces of its arguments or input."""

    def __init__(self, text_key: str, bound: MemoryBound) -> None:
        self._bound = bound
        self._text_key = text_key
        # The input of a custom tool is any text.
        self._text = CallArguments(bound) if text_key == "arguments" else GrowingText()
        self._fields: dict[str, Any] = {}

    def add(self, fragment: Mapping[str, Any]) -> None:
        for key, value in fragment.items():
            if key == self._text_key:
                piece = arguments_in(value)
                if isinstance(self._text, CallArguments):
                    self._text.add(piece)
                else:
                    self._bound.take(len(piece))
                    self._text.add(piece)
            else:
                merge_fields(self._fields, {key: value}, self._bound, first=("name",))

    def document(self) -> dict[str, Any]:
        return {**self._fields, self._text_key: str(self._text)}


class _Audio:
    """A spoken answer: its sound, its transcript, and the id under which it is stored."""

    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._pieces: dict[str, list[str]] = {}
        self._fields: dict[str, Any] = {}

    def add(self, audio: Mapping[str, Any]) -> None:
        for key, value in audio.items():
            if key in ("data", "transcript") and isinstance(value, str):
                self._bound.take(value_bytes(value))
                self._pieces.setdefault(key, []).append(value)
            else:
                merge_fields(self._fields, {key: value}, self._bound, first=("id",))

    def document(self) -> dict[str, Any]:
        document = {**self._fields, **{key: "".join(pieces) for key, pieces in self._pieces.items()}}
        if "data" in self._pieces:
            document["data"] = join_base64(self._pieces["data"])
        return document


def _within(value: Any, depth: int) -> Any:
    """The value, with null in place of anything nested deeper than `depth`."""
    if isinstance(value, dict):
        return {key: _within(inner, depth - 1) for key, inner in value.items()} if depth else None
    if isinstance(value, list):
        return [_within(inner, depth - 1) for inner in value] if depth else None
    return value
