"""Calls of a response: those that wait for the caller, and those that the upstream runs."""

from __future__ import annotations

import pytest

from chat_stream.dialects.responses.events import ResponsesDecoder
from chat_stream.memory_bound import AnswerTooLargeError
from tests.support.dialects.response_events import (
    COMPLETED,
    DONE,
    Document,
    decoded,
    ended,
    item,
    named,
    sent,
    tool_calls,
)

ASKED_OF_THE_CALLER: list[tuple[Document, tuple[str, str, str]]] = [
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"], "timeout_ms": None}},
        ("c", "shell_call", '{"commands":["ls"],"timeout_ms":null}'),
    ),
    (
        {"type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "local"}},
        ("c", "shell_call", "{}"),
    ),
    (
        {"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls", "ä"]}},
        ("c", "local_shell_call", '{"command":["ls","ä"]}'),
    ),
    (
        {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
        ("c", "apply_patch_call", '{"type":"delete_file","path":"a"}'),
    ),
    (
        {"type": "computer_call", "call_id": "c", "action": {"type": "wait"}, "actions": None},
        ("c", "computer_call", '{"type":"wait"}'),
    ),
    (
        {"type": "computer_call", "call_id": "c", "actions": [{"type": "wait"}]},
        ("c", "computer_call", '[{"type":"wait"}]'),
    ),
    (
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"q": 1}},
        ("c", "tool_search_call", '{"q":1}'),
    ),
    ({"type": "mcp_approval_request", "name": "f", "arguments": "{}"}, ("i", "f", "{}")),
]


@pytest.mark.parametrize(("call_item", "expected"), ASKED_OF_THE_CALLER)
def test_call_that_the_caller_must_run_is_emitted_once_whatever_events_are_lost(
    call_item: Document, expected: tuple[str, str, str]
) -> None:
    whole = {"id": "i", "status": "completed", **call_item}
    stream = [item("added", whole, 3), item("done", whole, 3), ended(output=[whole])]
    for missing in range(2 ** len(stream) - 1):
        kept = [event for number, event in enumerate(stream) if not missing & 1 << number]
        if kept != stream[:1]:
            assert tool_calls(decoded(*kept)) == [expected]
    assert tool_calls(decoded(stream[0], ended())) == [expected]


@pytest.mark.parametrize(
    "hosted",
    [
        {"type": "shell_call", "call_id": "c", "action": {}, "environment": {"type": "container_reference"}},
        {"type": "tool_search_call", "call_id": "c", "execution": "server", "arguments": {}},
        {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
        {"type": "code_interpreter_call", "code": "1", "container_id": "c"},
        {"type": "image_generation_call", "result": "aGk="},
        {"type": "file_search_call", "queries": ["q"]},
    ],
)
def test_call_that_the_upstream_runs_is_not_emitted(hosted: Document) -> None:
    whole = {"id": "i", "status": "completed", **hosted}
    command = named("shell_call_command.done", output_index=0, command_index=0, command="ls")
    commands = [command] if hosted["type"] == "shell_call" else []
    assert decoded(item("added", whole), *commands, item("done", whole), ended(output=[whole])) == [
        COMPLETED,
        DONE,
    ]


def test_commands_and_diffs_sent_only_in_deltas_are_emitted_once() -> None:
    shell = {"type": "shell_call", "id": "s", "call_id": "c", "action": {"commands": [], "timeout_ms": 5}}
    place = {"output_index": 0, "command_index": 1}
    whole = {**shell, "action": {"commands": ["ls", "a👋"], "timeout_ms": 5}}
    stream = [
        item("added", shell),
        named("shell_call_command.done", output_index=0, command_index=0, command="ls"),
        named("shell_call_command.delta", **place, delta="a\ud83d"),
        named("shell_call_command.delta", **place, delta="\udc4b"),
        named("shell_call_command.done", **place, command="a👋"),
    ]
    expected = [("c", "shell_call", '{"commands":["ls","a👋"],"timeout_ms":5}')]
    for end in (item("done", shell), item("done", whole), ended(), ended(output=[whole])):
        assert tool_calls(decoded(*stream, end, ended(output=[whole]))) == expected


def test_endless_diff_raises_answer_too_large() -> None:
    decoder = ResponsesDecoder()
    delta = sent(named("apply_patch_call_operation_diff.delta", output_index=0, delta="x" * 100_000))

    def go_on() -> None:
        for _ in range(1000):
            decoder.decode(delta)

    with pytest.raises(AnswerTooLargeError):
        go_on()
