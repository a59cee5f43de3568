"""Tool calls in streamed chat completions: how fragments become calls."""

from __future__ import annotations

from chat_stream.dialects.chat_completions.events import completion_events
from chat_stream.events import ToolCallDelta
from tests.support.dialects.chat_chunks import calls, tool_calls


def test_new_id_on_a_used_index_opens_a_new_call_and_no_id_continues_the_last_of_that_index() -> None:
    assert calls(
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
        {"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}},
        {"index": 0, "id": "", "function": {"name": None, "arguments": "3"}},
    ) == [
        ToolCallDelta(0, 0, "a", "f", "1"),
        ToolCallDelta(0, 1, "b", "g", "2"),
        ToolCallDelta(0, 1, None, None, "3"),
    ]


def test_repeated_id_and_name_are_emitted_once() -> None:
    fragment = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "x"}}
    assert calls(fragment, fragment) == [
        ToolCallDelta(0, 0, "a", "f", "x"),
        ToolCallDelta(0, 0, None, None, "x"),
    ]


def test_calls_without_an_index_are_distinguished_by_id() -> None:
    events = calls(
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"function": {"arguments": "2"}},
        {"id": "b", "function": {"name": "g"}},
        {"id": "a", "function": {"arguments": "3"}},
    )
    assert [(call["id"], call["arguments"]) for call in tool_calls(events, 0)] == [("a", "123"), ("b", "")]


def test_calls_are_numbered_in_the_order_in_which_they_open() -> None:
    events = calls({"index": 7, "id": "a"}, {"index": 1, "id": "b"})
    assert events == [ToolCallDelta(0, 0, "a", None, ""), ToolCallDelta(0, 1, "b", None, "")]


def test_object_arguments_are_serialised() -> None:
    [event] = calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": {"city": "Tromsø"}}})
    assert event == ToolCallDelta(0, 0, "a", "f", '{"city":"Tromsø"}')


def test_input_of_a_custom_tool_call_becomes_arguments() -> None:
    [event] = calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}})
    assert event == ToolCallDelta(0, 0, "a", "f", "x")


def test_surrogate_pair_split_in_tool_arguments_is_joined() -> None:
    events = calls(*({"index": 0, "function": {"arguments": half}} for half in ("\ud83d", "\ude00")))
    assert events == [ToolCallDelta(0, 0, None, None, "😀")]


def test_calls_of_a_message_without_ids_are_all_kept() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    events = completion_events(
        {"choices": [{"message": {"tool_calls": [call, call]}, "finish_reason": "stop"}]}
    )
    assert events[:2] == [ToolCallDelta(0, place, None, "f", '{"a":1}') for place in (0, 1)]
