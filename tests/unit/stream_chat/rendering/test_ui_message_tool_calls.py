"""How a model's tool calls become parts of a UI message stream."""

from __future__ import annotations

import json
import re

import pytest

from chat_stream.events import ChatEvent, ChoiceFinished, StreamDone, TextDelta, ToolCallDelta
from rendering.timings import RelayTimings
from rendering.ui_message import UiMessageRenderer
from tests.support.clients.ui_message_client import (
    EVENT,
    START,
    Client,
    chat,
    inner,
    parts_in,
    rendered,
    renderer,
    types,
)


def call(
    arguments: str = "", index: int = 0, call_id: str | None = None, name: str | None = None
) -> ToolCallDelta:
    return ToolCallDelta(0, index, call_id, name, arguments)


def test_a_tool_call_grows_and_is_announced_when_the_answer_ends() -> None:
    made = renderer()
    made.render(EVENT, [TextDelta(0, "a")])
    deltas = [call("", call_id="call_1", name="f"), call('{"x"'), call(":1}")]
    assert parts_in(made.render(EVENT, deltas)) == [
        {"type": "text-end", "id": "text-1"},
        {"type": "tool-input-start", "toolCallId": "call_1", "toolName": "f"},
        {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": '{"x"'},
        {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": ":1}"},
    ]
    assert made.render(EVENT, [ChoiceFinished(0, "tool_calls")]) == b""
    announced, *rest = parts_in(made.end(b""))
    assert announced == {
        "type": "tool-input-available",
        "toolCallId": "call_1",
        "toolName": "f",
        "input": {"x": 1},
    }
    assert types(rest) == ["finish-step", "finish"]


@pytest.mark.parametrize(
    "last", [[ChoiceFinished(0, "tool_calls")], [StreamDone()], [ChoiceFinished(0, "stop"), StreamDone()], []]
)
def test_parallel_calls_are_each_announced_once_in_order_however_the_answer_ends(
    last: list[ChatEvent],
) -> None:
    parts = inner(
        call("{", index=1, call_id="b", name="g"),
        call("", index=0, call_id="a", name="f"),
        call("}", index=1),
        call("[2]", index=0),
        *last,
    )
    announced = [part for part in parts if part["type"] == "tool-input-available"]
    assert [(part["toolCallId"], part["input"]) for part in announced] == [("a", [2]), ("b", {})]


def test_text_after_a_call_is_a_part_of_its_own() -> None:
    parts = inner(TextDelta(0, "a"), call("{}", call_id="c", name="f"), TextDelta(0, "b"))
    assert types(parts) == [
        *("text-start", "text-delta", "text-end", "tool-input-start", "tool-input-delta"),
        *("text-start", "text-delta", "text-end", "tool-input-available"),
    ]


@pytest.mark.parametrize(
    ("first", "second"), [(("call_1", None), (None, "f")), ((None, "f"), ("call_1", None))]
)
def test_a_call_is_held_back_until_its_id_and_name_are_known(
    first: tuple[str | None, str | None], second: tuple[str | None, str | None]
) -> None:
    made = renderer()
    made.render(EVENT, [TextDelta(0, "a")])
    assert made.render(EVENT, [call('{"x"'), call(":", 0, *first)]) == b""
    assert parts_in(made.render(EVENT, [call("1}", 0, *second)]))[1:] == [
        {"type": "tool-input-start", "toolCallId": "call_1", "toolName": "f"},
        {"type": "tool-input-delta", "toolCallId": "call_1", "inputTextDelta": '{"x":1}'},
    ]


@pytest.mark.parametrize("last", [[ChoiceFinished(0, "function_call")], []])
def test_a_call_that_never_has_an_id_gets_one(last: list[ChatEvent]) -> None:
    parts = inner(call("{}", name="f"), call("{}", index=1, name="f"), *last)
    tools = Client([*START, *parts]).tools
    assert len(tools) == 2
    for call_id, tool in tools.items():
        assert re.fullmatch("call_[0-9a-f]{24}", call_id)
        assert tool["state"] == "announced"


def test_two_calls_with_the_same_id_are_not_merged() -> None:
    tools = Client(rendered(call("[1]", 0, "a", "f"), call("[2]", 1, "a", "f"))).tools
    assert "a" in tools
    assert [tool["input"] for tool in tools.values()] == [[1], [2]]


@pytest.mark.parametrize(
    ("taken", "sent", "shown"),
    [
        ({"functions.f:0"}, "functions.f:0", "functions.f:1"),
        ({"call_9", "call_10"}, "call_9", "call_11"),
        ({"call_9"}, "call_1", "call_1"),
        ({"call_9a"}, "call_9a", None),
        ({"9" * 5000}, "9" * 5000, None),
        ({f"call_{number}" for number in range(1000)}, "call_0", None),
    ],
)
def test_an_id_of_an_earlier_answer_is_not_reused(taken: set[str], sent: str, shown: str | None) -> None:
    made = UiMessageRenderer(chat(call_ids=frozenset(taken)), RelayTimings())
    parts = parts_in(made.render(EVENT, [call("{}", 0, sent, "f"), call("{}", 1, "other", "f")]))
    first, second = [part["toolCallId"] for part in parts if part["type"] == "tool-input-start"]
    assert second == "other"
    assert first == shown if shown else re.fullmatch("call_[0-9a-f]{24}", first)


def test_a_call_that_never_has_a_name_cannot_be_run() -> None:
    made = renderer()
    made.render(EVENT, [call("{}", call_id="a")])
    assert made.render(EVENT, [ChoiceFinished(0, "tool_calls")]) == b""
    [_, _, announced, *_] = parts_in(made.end(b""))
    assert announced == {
        "type": "tool-input-error",
        "toolCallId": "a",
        "toolName": "unknown",
        "input": "{}",
        "errorText": "This tool call names no tool.",
    }


@pytest.mark.parametrize("arguments", ["", " \n"])
def test_missing_arguments_are_an_empty_object(arguments: str) -> None:
    [tool] = Client(
        rendered(call(arguments, call_id="a", name="f"), ChoiceFinished(0, "stop"))
    ).tools.values()
    assert (tool["input"], tool["error"]) == ({}, None)


@pytest.mark.parametrize(
    "arguments", ['{"ci', "NaN", "[1e999]", "{}{}", "[" * 100_000, "9" * 5000], ids=lambda text: text[:6]
)
def test_arguments_that_are_not_json_are_an_error_with_the_original_text(arguments: str) -> None:
    assert inner(call(arguments, call_id="a", name="f"), ChoiceFinished(0, "stop"))[2:] == [
        {
            "type": "tool-input-error",
            "toolCallId": "a",
            "toolName": "f",
            "input": arguments,
            "errorText": "The arguments of this tool call are not valid JSON.",
        }
    ]


@pytest.mark.parametrize("piece", ["", "1", '{"city":'])
def test_a_tool_is_not_run_on_partial_arguments_if_every_chunk_has_a_finish_reason(piece: str) -> None:
    made = renderer()
    chunk: list[ChatEvent] = [call(piece, call_id="a", name="f"), ChoiceFinished(0, "stop")]
    assert "tool-input-available" not in types(parts_in(made.render(EVENT, chunk)))
    made.render(EVENT, [call('"Rome"}' if piece.startswith("{") else "2")])
    [announced, *_] = parts_in(made.end(b""))
    assert announced["input"] == json.loads(piece + ('"Rome"}' if piece.startswith("{") else "2"))
