"""Responses as documents: a sample, documents drawn by hypothesis, and their streams."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from chat_stream.dialects.responses.documents import ResponseAssembler, response_stream
from chat_stream.dialects.responses.events import ResponsesDecoder
from chat_stream.events import ChatEvent, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from chat_stream.sse import EventStreamParser, ServerSentEvent

Document = dict[str, Any]


def sent(data: object) -> ServerSentEvent:
    return ServerSentEvent(event="message", data=json.dumps(data), id="", retry=None, raw=b"")


def chat_events_of(stream: bytes) -> list[ChatEvent]:
    decoder = ResponsesDecoder()
    return [chat for event in EventStreamParser().feed(stream) for chat in decoder.decode(event)]


def merged(events: Iterable[ChatEvent]) -> list[ChatEvent]:
    """The events with adjacent deltas of the same text or call merged."""
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


def assembled(events: Iterable[ServerSentEvent]) -> Document:
    assembler = ResponseAssembler()
    for event in events:
        assembler.add(event)
    return assembler.document()


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
