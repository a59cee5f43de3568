"""Assembling a response document from a stream: it has the same chat events, whatever the stream left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from chat_stream.dialects.responses.events import response_events
from chat_stream.events import ChatEvent, ToolCallDelta
from chat_stream.sse import EventStreamParser
from tests.support.conformance_cases import StreamCase, stream_cases
from tests.support.dialects.response_documents import (
    INCOMPLETE,
    OUTPUT,
    RESPONSE,
    Document,
    assembled,
    chat_events_of,
    documents,
    events_of,
    items,
    merged,
    message,
    sent,
    values,
)

ENDED = [case for case in stream_cases("responses") if case.expected["response"]["status"] != "in_progress"]


def in_order_of_calls(events: list[ChatEvent]) -> list[ChatEvent]:
    """The events with those of interleaved calls put one call after the other."""
    deltas = sorted((event for event in events if isinstance(event, ToolCallDelta)), key=lambda d: d.index)
    waiting = iter(deltas)
    return [next(waiting) if isinstance(event, ToolCallDelta) else event for event in events]


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_assembled_document_has_the_chat_events_of_its_recorded_stream(case: StreamCase) -> None:
    document = assembled(EventStreamParser().feed(case.body))
    assert merged(response_events(document)) == merged(in_order_of_calls(chat_events_of(case.body)))


@pytest.mark.parametrize("document", [RESPONSE, INCOMPLETE])
@pytest.mark.parametrize("output", ["whole", "empty", "absent", "null"])
def test_stream_of_a_document_is_assembled_into_that_document(document: Document, output: str) -> None:
    events = events_of(document)
    if output in ("empty", "null"):
        events[-1]["response"]["output"] = [] if output == "empty" else None
    elif output == "absent":
        del events[-1]["response"]["output"]
    assert assembled(map(sent, events)) == document


def test_items_missing_in_the_final_output_are_kept_in_their_places() -> None:
    for kept in range(2 ** len(OUTPUT)):
        events = events_of(RESPONSE)
        output = [item for number, item in enumerate(OUTPUT) if kept & 1 << number]
        events[-1]["response"]["output"] = output
        assert assembled(map(sent, events))["output"] == OUTPUT


def test_item_only_in_the_final_output_precedes_missing_ones() -> None:
    first, second, third = ({"type": "reasoning", "id": name, "summary": []} for name in "abc")
    new = {**message("x"), "id": "new"}
    dones = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate((first, second, third))
    ]
    end = {"type": "response.completed", "response": {"output": [new, second]}}
    assert assembled(map(sent, [*dones, end]))["output"] == [new, first, second, third]


def test_items_that_were_never_done_are_assembled_from_their_deltas() -> None:
    events = [event for event in events_of(RESPONSE) if not event["type"].endswith(".done")]
    events[-1]["response"]["output"] = []
    document = assembled(map(sent, events))
    assert merged(response_events(document)) == merged(response_events(RESPONSE))
    statuses = {item["id"]: item.get("status") for item in document["output"]}
    assert (statuses["msg_1"], statuses["fc_1"]) == ("completed", "completed")
    Response.model_validate(document, strict=True)


def test_items_never_done_in_an_incomplete_answer_are_incomplete() -> None:
    events = [event for event in events_of(INCOMPLETE) if not event["type"].endswith(".done")]
    events[-1]["response"]["output"] = []
    items_by_id = {item["id"]: item for item in assembled(map(sent, events))["output"]}
    assert items_by_id["msg_1"]["status"] == "incomplete"
    assert "status" not in items_by_id["ctc_1"]


def test_items_that_were_never_announced_are_assembled_from_their_deltas() -> None:
    bare = [event for event in events_of(RESPONSE) if event["type"].endswith(".delta")]
    document = assembled(map(sent, [*bare, {"type": "response.completed", "response": {"id": "r"}}]))
    assert [(item["id"], item["type"]) for item in document["output"]] == [
        (item["id"], item["type"]) for item in OUTPUT if item["type"] != "web_search_call"
    ]
    [text, refusal] = document["output"][1]["content"]
    assert (text["text"], refusal["refusal"]) == ("Zażółć 👋", "No more.")
    assert [item.get("arguments", item.get("input")) for item in document["output"][2:]] == [
        '{"city":"Paris"}',
        "ls",
        "{}",
    ]


def test_text_missing_in_the_final_item_is_kept() -> None:
    events = events_of(RESPONSE)
    bare = [{**item, "content": []} if item["type"] == "message" else item for item in OUTPUT]
    events[-1]["response"]["output"] = bare
    document = assembled(map(sent, events))
    assert merged(response_events(document)) == merged(response_events(RESPONSE))


def test_text_that_the_final_output_divides_differently_is_not_doubled() -> None:
    deltas = [
        {"type": "response.output_text.delta", "item_id": name, "output_index": index, "delta": name}
        for index, name in enumerate("ab")
    ]
    end = {"type": "response.completed", "response": {"output": [message("ab")]}}
    assert assembled(map(sent, [*deltas, end]))["output"] == [message("ab")]


@pytest.mark.parametrize("output", [{}, {"output": []}])
def test_output_of_the_first_of_two_endings_is_kept(output: Document) -> None:
    end = {"type": "response.completed", "response": {"status": "completed", "output": [message("a")]}}
    done = {"type": "response.done", "response": {"status": "completed", **output}}
    assert assembled(map(sent, [end, done]))["output"] == [message("a")]


def test_response_at_the_top_level_of_an_event_has_no_fields_of_the_event() -> None:
    response = {"id": "r", "object": "response", "status": "completed", "output": [message("a")]}
    assert assembled([sent({"type": "response.done", "sequence_number": 3, **response})]) == response


@pytest.mark.parametrize("item_type", ["shell_call", "apply_patch_call"])
def test_call_that_was_never_announced_is_assembled_from_its_deltas(item_type: str) -> None:
    ways: dict[str, tuple[str, str, Document]] = {
        "shell_call": ("shell_call_command", "command", {"action": {"commands": ["ls"]}}),
        "apply_patch_call": ("apply_patch_call_operation_diff", "diff", {"operation": {"diff": "ls"}}),
    }
    family, field, final_fields = ways[item_type]
    events = [
        {"type": f"response.{family}.delta", "output_index": 0, "command_index": 0, "delta": "l"},
        {"type": f"response.{family}.done", "output_index": 0, "command_index": 0, field: "ls"},
        {"type": "response.completed", "response": {"status": "completed"}},
    ]
    [item] = assembled(map(sent, events))["output"]
    assert item == {"id": "", "type": item_type, "status": "completed", "call_id": "", **final_fields}


def test_fields_of_the_first_event_only_are_kept() -> None:
    created, *_ = events_of(RESPONSE)
    end = {"type": "response.completed", "response": {"id": "resp_1", "usage": {"total_tokens": 1}}}
    document = assembled([sent(created), sent(end)])
    assert document == {**RESPONSE, "output": [], "completed_at": None, "usage": {"total_tokens": 1}}


any_events = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in ("output_item.added", "completed", "failed")])},
    optional={"item": items | values, "response": documents | values, "output_index": values},
)


@given(st.lists(any_events | values, max_size=5))
def test_no_data_makes_the_assembler_raise(data: list[Any]) -> None:
    document = assembled(map(sent, data))
    assert isinstance(document["output"], list)
    assert json.loads(json.dumps(document)) == document
