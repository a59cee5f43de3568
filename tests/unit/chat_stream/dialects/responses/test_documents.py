"""Response documents as streams: each stream has the chat events and the ending of its document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from chat_stream.dialects.responses.documents import response_stream
from chat_stream.dialects.responses.events import response_events
from tests.support.dialects.response_documents import (
    FAILED,
    INCOMPLETE,
    OUTPUT,
    RESPONSE,
    Document,
    chat_events_of,
    documents,
    events_of,
    merged,
    message,
)


def test_stream_begins_with_an_empty_response_and_ends_with_the_complete_one() -> None:
    created, in_progress, *_, completed = events_of(RESPONSE)
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    assert (created["type"], created["response"]) == ("response.created", begun)
    assert (in_progress["type"], in_progress["response"]) == ("response.in_progress", begun)
    assert (completed["type"], completed["response"]) == ("response.completed", RESPONSE)


def test_each_item_and_part_is_announced_streamed_and_done() -> None:
    def expected(index: int) -> list[tuple[str, Any]]:
        keys = ("delta", "text", "refusal", "arguments", "input", "part", "item")
        return [
            (event["type"].removeprefix("response."), next(event[key] for key in keys if key in event))
            for event in events_of(RESPONSE)
            if event.get("output_index") == index
        ]

    [text, empty, refusal] = OUTPUT[2]["content"]
    assert expected(2) == [
        ("output_item.added", {**OUTPUT[2], "content": [], "status": "in_progress"}),
        ("content_part.added", {"type": "output_text", "text": "", "annotations": [], "logprobs": []}),
        ("output_text.delta", "Zażółć 👋"),
        ("output_text.done", "Zażółć 👋"),
        ("content_part.done", text),
        ("content_part.added", empty),
        ("output_text.done", ""),
        ("content_part.done", empty),
        ("content_part.added", {"type": "refusal", "refusal": ""}),
        ("refusal.delta", "No more."),
        ("refusal.done", "No more."),
        ("content_part.done", refusal),
        ("output_item.done", OUTPUT[2]),
    ]
    [first, second], [raw] = OUTPUT[0]["summary"], OUTPUT[0]["content"]
    assert expected(0) == [
        ("output_item.added", {**OUTPUT[0], "content": [], "summary": [], "status": "in_progress"}),
        ("reasoning_summary_part.added", {"type": "summary_text", "text": ""}),
        ("reasoning_summary_text.delta", "Plan: "),
        ("reasoning_summary_text.done", "Plan: "),
        ("reasoning_summary_part.done", first),
        ("reasoning_summary_part.added", {"type": "summary_text", "text": ""}),
        ("reasoning_summary_text.delta", "none."),
        ("reasoning_summary_text.done", "none."),
        ("reasoning_summary_part.done", second),
        ("content_part.added", {"type": "reasoning_text", "text": ""}),
        ("reasoning_text.delta", "Hm."),
        ("reasoning_text.done", "Hm."),
        ("content_part.done", raw),
        ("output_item.done", OUTPUT[0]),
    ]
    assert expected(1) == [("output_item.added", OUTPUT[1]), ("output_item.done", OUTPUT[1])]
    assert expected(3) == [
        ("output_item.added", {**OUTPUT[3], "arguments": "", "status": "in_progress"}),
        ("function_call_arguments.delta", '{"city":"Paris"}'),
        ("function_call_arguments.done", '{"city":"Paris"}'),
        ("output_item.done", OUTPUT[3]),
    ]
    assert expected(4)[1:3] == [("custom_tool_call_input.delta", "ls"), ("custom_tool_call_input.done", "ls")]
    assert expected(5)[0] == ("output_item.added", {**OUTPUT[5], "arguments": "", "output": None})


def test_part_events_have_indexes_and_text_events_logprobs() -> None:
    [delta, _] = [
        event for event in events_of(RESPONSE) if event["type"].startswith("response.output_text.d")
    ][:2]
    place = {key: delta[key] for key in ("item_id", "output_index", "content_index")}
    assert place == {"item_id": "msg_1", "output_index": 2, "content_index": 0}
    assert delta["logprobs"] == OUTPUT[2]["content"][0]["logprobs"]
    summaries = [
        event for event in events_of(RESPONSE) if event["type"] == "response.reasoning_summary_text.done"
    ]
    assert [event["summary_index"] for event in summaries] == [0, 1]


def test_refusal_has_no_logprobs() -> None:
    [delta] = [event for event in events_of(RESPONSE) if event["type"] == "response.refusal.delta"]
    assert "logprobs" not in delta


def test_queued_response_is_announced_as_queued() -> None:
    created, queued = events_of({**RESPONSE, "status": "queued", "output": []})
    assert (created["response"]["status"], queued["response"]["status"]) == ("queued", "queued")


@pytest.mark.parametrize("part", [{"type": "image", "": "x"}, {"type": "output_text"}, {"type": 5}])
def test_part_without_text_is_announced_and_done(part: Document) -> None:
    events = events_of({"output": [{"type": "message", "content": [part, None]}]})[3:5]
    place = {"item_id": "", "output_index": 0, "content_index": 0, "part": part}
    assert events == [
        {"type": f"response.content_part.{step}", **place, "sequence_number": number}
        for number, step in ((3, "added"), (4, "done"))
    ]


@pytest.mark.parametrize("item", [{"type": "x", "": "y", "status": "s"}, {"type": "function_call"}, {}])
def test_item_without_text_is_announced_and_done(item: Document) -> None:
    events = events_of({"status": "in_progress", "output": [item, None]})[2:]
    assert events == [
        {"type": f"response.output_item.{step}", "output_index": 0, "item": item, "sequence_number": number}
        for number, step in ((2, "added"), (3, "done"))
    ]


@pytest.mark.parametrize(
    ("document", "last"),
    [
        (RESPONSE, "response.completed"),
        (INCOMPLETE, "response.incomplete"),
        (FAILED, "response.failed"),
        ({**RESPONSE, "status": "cancelled"}, "response.failed"),
        ({**RESPONSE, "status": "in_progress"}, "response.output_item.done"),
        ({**RESPONSE, "status": "queued", "output": []}, "response.queued"),
        ({"status": "in_progress"}, "response.in_progress"),
        ({"status": "in_progress", "error": {"message": "m"}}, "error"),
        ({"error": "m"}, "error"),
    ],
)
def test_stream_has_the_ending_and_the_chat_events_of_its_document(document: Document, last: str) -> None:
    assert events_of(document)[-1]["type"] == last
    assert merged(chat_events_of(response_stream(document))) == merged(response_events(document))


def test_stream_is_ascii() -> None:
    stream = response_stream({**RESPONSE, "output": [message("👋\ud83d\u2028\x00")]})
    assert stream.isascii()
    assert stream.count(b"\n\n") == stream.count(b"event: ")


@given(documents)
def test_stream_of_any_document_has_its_chat_events(document: Document) -> None:
    assert merged(chat_events_of(response_stream(document))) == merged(response_events(document))
