"""A response as a document and as a stream: each says what the other does, and OpenAI's package reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.responses import ResponseStreamEvent
from openai.types.responses import ParsedResponse, Response
from openai.types.responses import ResponseStreamEvent as RawEvent
from pydantic import TypeAdapter

from chat_stream.dialects.responses.documents import ResponseAssembler, response_stream
from chat_stream.dialects.responses.events import ResponsesDecoder, response_events
from chat_stream.events import (
    ChatEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from chat_stream.sse import EventStreamParser, ServerSentEvent
from tests.support.conformance_cases import StreamCase, stream_cases

Document = dict[str, Any]

ENDED = [case for case in stream_cases("responses") if case.expected["response"]["status"] != "in_progress"]


def sent(data: object) -> ServerSentEvent:
    return ServerSentEvent(event="message", data=json.dumps(data), id="", retry=None, raw=b"")


def said_by(stream: bytes) -> list[ChatEvent]:
    decoder = ResponsesDecoder()
    return [chat for event in EventStreamParser().feed(stream) for chat in decoder.decode(event)]


def merged(events: Iterable[ChatEvent]) -> list[ChatEvent]:
    """The events with neighbouring deltas of one text or one call made one."""
    result: list[ChatEvent] = []
    for event in events:
        match event, result[-1] if result else None:
            case (TextDelta(), TextDelta(_, text)):
                result[-1] = TextDelta(0, text + event.text)
            case (RefusalDelta(), RefusalDelta(_, text)):
                result[-1] = RefusalDelta(0, text + event.text)
            case (ReasoningDelta(), ReasoningDelta(_, text)):
                result[-1] = ReasoningDelta(0, text + event.text)
            case (ToolCallDelta(_, index), ToolCallDelta(_, same, call_id, name, text)) if index == same:
                call_id, name = call_id or event.id, name or event.name
                result[-1] = ToolCallDelta(0, index, call_id, name, text + event.arguments)
            case _:
                result.append(event)
    return result


def in_order_of_calls(events: list[ChatEvent]) -> list[ChatEvent]:
    """The events, with those of calls that were told at the same time one call after the other."""
    deltas = sorted((event for event in events if isinstance(event, ToolCallDelta)), key=lambda d: d.index)
    waiting = iter(deltas)
    return [next(waiting) if isinstance(event, ToolCallDelta) else event for event in events]


def assembled(events: Iterable[ServerSentEvent]) -> Document:
    assembler = ResponseAssembler()
    for event in events:
        assembler.add(event)
    return assembler.document()


# -- a document as a stream --------------------------------------------------------------------------------

OUTPUT: list[Document] = [
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Plan: "}, {"type": "summary_text", "text": "none."}],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
        "encrypted_content": "xyz",
        "status": "completed",
    },
    {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    },
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "Zażółć 👋",
                "annotations": [
                    {"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "https://x"}
                ],
                "logprobs": [{"token": "Z", "bytes": [90], "logprob": -0.5, "top_logprobs": []}],
            },
            {"type": "output_text", "text": "", "annotations": []},
            {"type": "refusal", "refusal": "No more."},
        ],
    },
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": '{"city":"Paris"}',
    },
    {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_2", "name": "run", "input": "ls"},
    {
        "id": "mcp_1",
        "type": "mcp_call",
        "name": "ask",
        "server_label": "s",
        "arguments": "{}",
        "output": "42",
        "error": None,
    },
]  # fmt: skip
RESPONSE: Document = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1760000000,
    "completed_at": 1760000009,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-test",
    "output": OUTPUT,
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    },
}
INCOMPLETE = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FAILED = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "m"}}


def events_of(document: Document) -> list[Document]:
    events = EventStreamParser().feed(response_stream(document))
    data = [json.loads(event.data) for event in events]
    assert [event.event for event in events] == [event["type"] for event in data]
    assert [event["sequence_number"] for event in data] == list(range(len(data)))
    return data


def test_response_is_announced_empty_and_ends_whole() -> None:
    created, in_progress, *_, completed = events_of(RESPONSE)
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    assert (created["type"], created["response"]) == ("response.created", begun)
    assert (in_progress["type"], in_progress["response"]) == ("response.in_progress", begun)
    assert (completed["type"], completed["response"]) == ("response.completed", RESPONSE)


def test_each_item_and_part_is_announced_empty_told_and_done_whole() -> None:
    def told(index: int) -> list[tuple[str, Any]]:
        keys = ("delta", "text", "refusal", "arguments", "input", "part", "item")
        return [
            (event["type"].removeprefix("response."), next(event[key] for key in keys if key in event))
            for event in events_of(RESPONSE)
            if event.get("output_index") == index
        ]

    [text, empty, refusal] = OUTPUT[2]["content"]
    assert told(2) == [
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
    assert told(0) == [
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
    assert told(1) == [("output_item.added", OUTPUT[1]), ("output_item.done", OUTPUT[1])]
    assert told(3) == [
        ("output_item.added", {**OUTPUT[3], "arguments": "", "status": "in_progress"}),
        ("function_call_arguments.delta", '{"city":"Paris"}'),
        ("function_call_arguments.done", '{"city":"Paris"}'),
        ("output_item.done", OUTPUT[3]),
    ]
    assert told(4)[1:3] == [("custom_tool_call_input.delta", "ls"), ("custom_tool_call_input.done", "ls")]
    assert told(5)[0] == ("output_item.added", {**OUTPUT[5], "arguments": "", "output": None})


def test_parts_carry_their_address_and_texts_their_logprobs() -> None:
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


def test_refusal_carries_no_logprobs() -> None:
    [delta] = [event for event in events_of(RESPONSE) if event["type"] == "response.refusal.delta"]
    assert "logprobs" not in delta


def test_queued_response_is_announced_as_queued() -> None:
    created, queued = events_of({**RESPONSE, "status": "queued", "output": []})
    assert (created["response"]["status"], queued["response"]["status"]) == ("queued", "queued")


@pytest.mark.parametrize("part", [{"type": "image", "": "x"}, {"type": "output_text"}, {"type": 5}])
def test_part_that_says_nothing_is_told_as_it_is(part: Document) -> None:
    events = events_of({"output": [{"type": "message", "content": [part, None]}]})[3:5]
    place = {"item_id": "", "output_index": 0, "content_index": 0, "part": part}
    assert events == [
        {"type": f"response.content_part.{step}", **place, "sequence_number": number}
        for number, step in ((3, "added"), (4, "done"))
    ]


@pytest.mark.parametrize("item", [{"type": "x", "": "y", "status": "s"}, {"type": "function_call"}, {}])
def test_item_that_says_nothing_is_told_as_it_is(item: Document) -> None:
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
def test_stream_ends_as_the_document_does_and_says_what_it_says(document: Document, last: str) -> None:
    assert events_of(document)[-1]["type"] == last
    assert merged(said_by(response_stream(document))) == merged(response_events(document))


def test_stream_is_ascii() -> None:
    stream = response_stream({**RESPONSE, "output": [message("👋\ud83d\u2028\x00")]})
    assert stream.isascii()
    assert stream.count(b"\n\n") == stream.count(b"event: ")


def message(text: str) -> Document:
    return {"id": "m", "type": "message", "content": [{"type": "output_text", "text": text}]}


texts = st.text(st.characters(), max_size=3)
KEYS = ["id", "type", "text", "content", "summary", "name", "call_id", "arguments", "message", "status"]
values = st.recursive(
    st.none() | st.integers(-1, 1) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
part_types = st.sampled_from(["output_text", "text", "refusal", "reasoning_text", "summary_text", "image"])
parts = st.fixed_dictionaries(
    {"type": part_types | values}, optional={"text": texts | values, "refusal": texts | values}
)
items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "mcp_call"])
        | values
    },
    optional={
        "id": st.sampled_from(["a", "b"]) | values,
        "call_id": st.sampled_from(["a", "b"]) | values,
        "content": st.lists(parts | values, max_size=3) | values,
        "summary": st.lists(parts | values, max_size=3) | values,
        **dict.fromkeys(("name", "status", "arguments", "input"), texts | values),
    },
)
documents = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["completed", "incomplete", "failed", "cancelled", "queued"]) | values,
        "output": st.lists(items | values, max_size=4) | values,
    },
    optional=dict.fromkeys(("id", "model", "error", "usage", "incomplete_details"), values),
)


@given(documents)
def test_stream_of_any_document_says_what_the_document_says(document: Document) -> None:
    assert merged(said_by(response_stream(document))) == merged(response_events(document))


# -- a stream as a document --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_assembled_document_says_what_the_real_stream_said(case: StreamCase) -> None:
    document = assembled(EventStreamParser().feed(case.body))
    assert merged(response_events(document)) == merged(in_order_of_calls(said_by(case.body)))


@pytest.mark.parametrize("document", [RESPONSE, INCOMPLETE])
@pytest.mark.parametrize("output", ["whole", "empty", "absent", "null"])
def test_document_of_a_stream_of_a_document_is_that_document(document: Document, output: str) -> None:
    events = events_of(document)
    if output in ("empty", "null"):
        events[-1]["response"]["output"] = [] if output == "empty" else None
    elif output == "absent":
        del events[-1]["response"]["output"]
    assert assembled(map(sent, events)) == document


def test_items_that_the_end_has_left_out_are_kept_in_their_places() -> None:
    for kept in range(2 ** len(OUTPUT)):
        events = events_of(RESPONSE)
        output = [item for number, item in enumerate(OUTPUT) if kept & 1 << number]
        events[-1]["response"]["output"] = output
        assert assembled(map(sent, events))["output"] == OUTPUT


def test_item_that_only_the_end_has_stays_before_those_that_were_left_out() -> None:
    first, second, third = ({"type": "reasoning", "id": name, "summary": []} for name in "abc")
    new = {**message("x"), "id": "new"}
    dones = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate((first, second, third))
    ]
    end = {"type": "response.completed", "response": {"output": [new, second]}}
    assert assembled(map(sent, [*dones, end]))["output"] == [new, first, second, third]


def test_items_that_were_never_done_are_put_together_from_their_deltas() -> None:
    events = [event for event in events_of(RESPONSE) if not event["type"].endswith(".done")]
    events[-1]["response"]["output"] = []
    document = assembled(map(sent, events))
    assert merged(response_events(document)) == merged(response_events(RESPONSE))
    statuses = {item["id"]: item.get("status") for item in document["output"]}
    assert (statuses["msg_1"], statuses["fc_1"]) == ("completed", "completed")
    Response.model_validate(document, strict=True)


def test_items_of_an_incomplete_answer_that_were_never_done_are_incomplete() -> None:
    events = [event for event in events_of(INCOMPLETE) if not event["type"].endswith(".done")]
    events[-1]["response"]["output"] = []
    items_by_id = {item["id"]: item for item in assembled(map(sent, events))["output"]}
    assert items_by_id["msg_1"]["status"] == "incomplete"
    assert "status" not in items_by_id["ctc_1"]


def test_items_that_were_never_announced_are_put_together_from_their_deltas() -> None:
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


def test_text_that_the_end_has_left_out_of_its_item_is_kept() -> None:
    events = events_of(RESPONSE)
    bare = [{**item, "content": []} if item["type"] == "message" else item for item in OUTPUT]
    events[-1]["response"]["output"] = bare
    document = assembled(map(sent, events))
    assert merged(response_events(document)) == merged(response_events(RESPONSE))


def test_text_that_the_end_has_divided_in_another_way_is_not_doubled() -> None:
    deltas = [
        {"type": "response.output_text.delta", "item_id": name, "output_index": index, "delta": name}
        for index, name in enumerate("ab")
    ]
    end = {"type": "response.completed", "response": {"output": [message("ab")]}}
    assert assembled(map(sent, [*deltas, end]))["output"] == [message("ab")]


@pytest.mark.parametrize("output", [{}, {"output": []}])
def test_output_of_the_first_of_two_ends_is_kept(output: Document) -> None:
    end = {"type": "response.completed", "response": {"status": "completed", "output": [message("a")]}}
    done = {"type": "response.done", "response": {"status": "completed", **output}}
    assert assembled(map(sent, [end, done]))["output"] == [message("a")]


def test_document_has_no_field_of_the_event_over_which_it_was_spread() -> None:
    response = {"id": "r", "object": "response", "status": "completed", "output": [message("a")]}
    assert assembled([sent({"type": "response.done", "sequence_number": 3, **response})]) == response


@pytest.mark.parametrize("item_type", ["shell_call", "apply_patch_call"])
def test_call_that_was_never_announced_is_put_together_from_its_deltas(item_type: str) -> None:
    ways: dict[str, tuple[str, str, Document]] = {
        "shell_call": ("shell_call_command", "command", {"action": {"commands": ["ls"]}}),
        "apply_patch_call": ("apply_patch_call_operation_diff", "diff", {"operation": {"diff": "ls"}}),
    }
    family, field, told = ways[item_type]
    events = [
        {"type": f"response.{family}.delta", "output_index": 0, "command_index": 0, "delta": "l"},
        {"type": f"response.{family}.done", "output_index": 0, "command_index": 0, field: "ls"},
        {"type": "response.completed", "response": {"status": "completed"}},
    ]
    [item] = assembled(map(sent, events))["output"]
    assert item == {"id": "", "type": item_type, "status": "completed", "call_id": "", **told}


def test_fields_that_only_the_first_event_has_are_kept() -> None:
    created, *_ = events_of(RESPONSE)
    end = {"type": "response.completed", "response": {"id": "resp_1", "usage": {"total_tokens": 1}}}
    document = assembled([sent(created), sent(end)])
    assert document == {
        **RESPONSE,
        "output": [],
        "completed_at": None,
        "usage": {"total_tokens": 1},
    }


any_events = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in ("output_item.added", "completed", "failed")])},
    optional={"item": items | values, "response": documents | values, "output_index": values},
)


@given(st.lists(any_events | values, max_size=5))
def test_no_data_at_all_makes_the_assembler_raise(data: list[Any]) -> None:
    document = assembled(map(sent, data))
    assert isinstance(document["output"], list)
    assert json.loads(json.dumps(document)) == document


# -- OpenAI's own package ----------------------------------------------------------------------------------

STREAM_EVENT: TypeAdapter[RawEvent] = TypeAdapter(RawEvent)


def read_by_the_sdk(stream: bytes) -> tuple[list[ResponseStreamEvent[None]], ParsedResponse[None] | None]:
    """The events that `client.responses.stream()` makes of the stream, and its final response."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        openai.OpenAI(api_key="any", http_client=http, max_retries=0) as client,  # type: ignore[arg-type]
        client.responses.stream(model="m", input="x") as events,
    ):
        seen = list(events)
        completed = any(event.type == "response.completed" for event in seen)
        return seen, events.get_final_response() if completed else None


def test_sdk_reads_the_stream_of_a_document_as_that_document() -> None:
    events, final = read_by_the_sdk(response_stream(RESPONSE))
    assert final is not None
    Response.model_validate(RESPONSE, strict=True)
    plain = Response.model_validate(RESPONSE)
    assert final.output_text == "Zażółć 👋"
    assert [item.type for item in final.output] == [item["type"] for item in OUTPUT]
    assert final.usage == plain.usage
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert snapshots == ["Zażółć 👋"]
    [arguments] = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert arguments.snapshot == '{"city":"Paris"}'
    assert {type(event).__name__ for event in events} >= {
        "ResponseReasoningSummaryTextDeltaEvent",
        "ResponseRefusalDeltaEvent",
        "ResponseCustomToolCallInputDeltaEvent",
        "ResponseMcpCallArgumentsDeltaEvent",
        "ResponseContentPartDoneEvent",
    }


def test_sdk_reads_the_stream_of_an_incomplete_and_of_a_failed_document() -> None:
    for document, ending in ((INCOMPLETE, "response.incomplete"), (FAILED, "response.failed")):
        events, _ = read_by_the_sdk(response_stream(document))
        last = events[-1]
        assert last.type == ending
        assert last.response.model_dump(mode="json", exclude_unset=True) == document  # type: ignore[union-attr]


def test_every_event_of_the_stream_is_whole_in_the_eyes_of_the_sdk() -> None:
    for event in events_of(RESPONSE):
        STREAM_EVENT.validate_python(event)


def test_sdk_reads_an_assembled_document() -> None:
    events = events_of(RESPONSE)
    events[-1]["response"]["output"] = []
    response = Response.model_validate(assembled(map(sent, events)))
    assert response.output_text == "Zażółć 👋"
    assert response.model_dump(mode="json", exclude_unset=True) == RESPONSE
