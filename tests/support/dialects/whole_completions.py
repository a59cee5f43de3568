"""Completions drawn by hypothesis, cut into the chunks of a stream, and assembled from chunks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from chat_stream.dialects.chat_completions.assembly import CompletionAssembler
from chat_stream.sse import ServerSentEvent

texts = st.text(max_size=12)
names = st.text(min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
unknown_fields = st.dictionaries(st.text(max_size=3).map("x_{}".format), values, max_size=2)

functions = st.fixed_dictionaries({"name": names, "arguments": texts})
custom_tools = st.fixed_dictionaries({"name": names, "input": texts})
tool_calls = st.one_of(
    st.fixed_dictionaries({"id": names, "type": st.just("function"), "function": functions}),
    st.fixed_dictionaries({"id": names, "type": st.just("custom"), "custom": custom_tools}),
)
logprob_entries = st.fixed_dictionaries({"token": texts, "logprob": st.floats(-9, 0)})


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "refusal": draw(st.none() | names)}
    for key in ("reasoning_content", "reasoning"):
        if draw(st.booleans()):
            message[key] = draw(texts)
            break
    calls = draw(st.lists(tool_calls, max_size=3, unique_by=lambda call: str(call["id"])))
    if calls:
        message["tool_calls"] = calls
    elif draw(st.booleans()):
        message["function_call"] = draw(functions)
    content = draw(texts)
    is_silent = message["refusal"] or calls or "function_call" in message
    return {**message, "content": content or (None if is_silent else ""), **draw(unknown_fields)}


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    """A completion with any of the fields that OpenAI sends, and with unknown fields."""
    choices = [
        {
            "index": index,
            "message": draw(messages()),
            "logprobs": draw(
                st.none()
                | st.fixed_dictionaries(
                    {"content": st.lists(logprob_entries, max_size=3), "refusal": st.none()}
                )
            ),
            "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls"])),
            **draw(unknown_fields),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    completion = {
        "id": draw(names),
        "object": "chat.completion",
        "created": draw(st.integers(1)),
        "model": "m",
    }
    usage = draw(st.none() | st.fixed_dictionaries({"total_tokens": st.integers(0, 9)}))
    return {**completion, "choices": choices, **draw(unknown_fields), **({"usage": usage} if usage else {})}


def cut_into_chunks(completion: dict[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    """The completion in chunks: texts are cut anywhere, even within a character; choices are interleaved."""
    envelope = {key: value for key, value in completion.items() if key not in ("choices", "usage")}
    envelope |= {"object": "chat.completion.chunk", "usage": None}
    parts = [_chunks_of_choice(choice, chance) for choice in completion["choices"]]
    chunks = [{**envelope, "choices": [choice]} for choice in _mixed(parts, chance)]
    if "usage" in completion:
        chunks.append({**envelope, "choices": [], "usage": completion["usage"]})
    return chunks


def _chunks_of_choice(choice: dict[str, Any], chance: random.Random) -> list[dict[str, Any]]:
    message, index = choice["message"], choice["index"]
    taken = {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"}
    first = {key: value for key, value in message.items() if key not in taken}
    first |= {"role": message["role"], "content": None}
    openings: list[dict[str, Any]] = [first]
    streams: list[list[dict[str, Any]]] = []
    for key in ("content", "refusal", "reasoning_content", "reasoning"):
        if message.get(key) is not None:
            streams.append([{key: piece} for piece in _pieces(message[key], chance)])
    for place, call in enumerate(message.get("tool_calls", ())):
        kind = call["type"]
        key = "arguments" if kind == "function" else "input"
        openings.append({"tool_calls": [{"index": place, **call, kind: {**call[kind], key: ""}}]})
        pieces = _pieces(call[kind][key], chance)
        streams.append([{"tool_calls": [{"index": place, kind: {key: piece}}]} for piece in pieces])
    if function := message.get("function_call"):
        openings.append({"function_call": {"name": function["name"]}})
        pieces = _pieces(function["arguments"], chance)
        streams.append([{"function_call": {"arguments": piece}} for piece in pieces])
    deltas: list[dict[str, Any]] = [{"delta": delta} for delta in [*openings, *_mixed(streams, chance)]]
    deltas[0] |= {key: value for key, value in choice.items() if key not in ("index", "message")}
    if choice["logprobs"]:
        deltas[0]["logprobs"] = {"content": [], "refusal": None}
        deltas += [{"logprobs": {"content": [entry]}} for entry in choice["logprobs"]["content"]]
    deltas[0]["finish_reason"] = None
    return [{"index": index, **delta} for delta in [*deltas, {"finish_reason": choice["finish_reason"]}]]


def _pieces(text: str, chance: random.Random) -> list[str]:
    units = text.encode("utf-16-le")
    pieces = [""]
    while units:
        size = 2 * chance.randint(0, 3)
        pieces.append(units[:size].decode("utf-16-le", "surrogatepass"))
        units = units[size:]
    return pieces


def _mixed(streams: list[list[dict[str, Any]]], chance: random.Random) -> Iterator[dict[str, Any]]:
    """The entries of all lists, interleaved at random, each list in its order."""
    order = [number for number, stream in enumerate(streams) for _ in stream]
    chance.shuffle(order)
    rest = [iter(stream) for stream in streams]
    return (next(rest[number]) for number in order)


def sent(data: object, event: str = "message") -> ServerSentEvent:
    text = data if isinstance(data, str) else json.dumps(data)
    return ServerSentEvent(event=event, data=text, id="", retry=None, raw=b"")


def assembled(*chunks: object, event: str = "message") -> dict[str, Any]:
    assembler = CompletionAssembler(3)
    for chunk in chunks:
        assembler.add(sent(chunk, event))
    return assembler.document()


def of_deltas(*deltas: dict[str, Any]) -> dict[str, Any]:
    """The message assembled from a stream with these deltas."""
    [choice] = of_choices(*({"delta": delta} for delta in deltas))
    message: dict[str, Any] = choice["message"]
    return message


def of_choices(*choices: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices assembled from a stream whose chunks hold one of these entries each."""
    document = assembled(*({"choices": [{"index": 0, **choice}]} for choice in choices))
    assert document["object"] == "chat.completion"
    found: list[dict[str, Any]] = document["choices"]
    return found
