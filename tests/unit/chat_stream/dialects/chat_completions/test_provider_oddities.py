"""Fields of other providers: indexes, reasoning, repeated messages and usage."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.dialects.chat_completions.events import completion_events
from chat_stream.events import (
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from tests.support.dialects.chat_chunks import decoded, delta, readable


def test_reasoning_in_two_fields_is_emitted_once() -> None:
    assert decoded(delta({"reasoning": "hm", "reasoning_content": "hm"})) == [ReasoningDelta(0, "hm")]


@pytest.mark.parametrize("indexes", [(1, 1), (0, 1), (0, 250), (-1, "7"), (None, 3.0)])
def test_all_entries_belong_to_the_choice_if_one_was_requested(indexes: tuple[Any, Any]) -> None:
    first, second = indexes
    chunks = [delta({"content": "a"}, first), delta({"content": "b"}, second), delta({}, second)]
    chunks[2]["choices"][0]["finish_reason"] = "stop"
    expected = [TextDelta(0, "a"), TextDelta(0, "b"), ChoiceFinished(0, "stop")]
    assert decoded(*chunks, choices=1) == expected
    document = {
        "choices": [{**choice, "message": choice.pop("delta")} for c in chunks for choice in c["choices"]]
    }
    assert completion_events(document)[:-1] == expected


def test_entries_keep_their_index_if_several_choices_were_requested() -> None:
    chunks = [delta({"content": "a"}, 0), delta({"content": "b"}, 1)]
    assert decoded(*chunks, choices=2) == [TextDelta(0, "a"), TextDelta(1, "b")]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_text": "hm", "reasoning_opaque": "abc="},
        {"thinking": "hm"},
        {"thinking": {"content": "hm", "signature": "s"}},
        {"reasoning": ["h", {"type": "text", "text": "m"}]},
        {"reasoning_content": {"text": "hm"}},
        {"reasoning_content": "", "reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "abc="}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"content": [{"type": "reasoning", "text": "hm"}]},
    ],
)
def test_reasoning_is_emitted_once_whatever_its_field(fields: dict[str, Any]) -> None:
    assert readable(decoded(delta(fields))) == [ReasoningDelta(0, "hm")]
    assert readable(decoded({"choices": [{"message": fields}]})) == [ReasoningDelta(0, "hm")]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "abc="}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "abc="}]},
        {"reasoning": None, "thinking": True, "reasoning_content": 5},
    ],
)
def test_reasoning_without_text_has_no_chat_events(fields: dict[str, Any]) -> None:
    assert readable(decoded(delta(fields))) == []


def test_message_after_deltas_counts_in_channels_that_have_sent_nothing() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi.", "refusal": "no", "reasoning": "hm", "tool_calls": [call, call]}
    whole = {"index": 0, "delta": {}, "message": message, "finish_reason": "tool_calls"}
    events = decoded(
        delta({"content": "Hi"}), delta({"thinking": "hm"}), {"choices": [whole]}, {"choices": [whole]}
    )
    assert readable(events) == [
        TextDelta(0, "Hi"),
        ReasoningDelta(0, "hm"),
        RefusalDelta(0, "no"),
        ToolCallDelta(0, 0, "c", "f", ""),
        ToolCallDelta(0, 0, None, None, "{}"),
        ChoiceFinished(0, "tool_calls"),
    ]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [{"index": 0, "usage": {"total_tokens": 3}}]},
        {"choices": [], "x_groq": {"usage": {"total_tokens": 3}}},
        {"choices": [{"usage": {"total_tokens": 4}}], "usage": {"total_tokens": 3}},
        {"usage": {}, "choices": [None, {}, {"usage": {"total_tokens": 3}}]},
    ],
)
def test_usage_is_found_wherever_providers_put_it(chunk: dict[str, Any]) -> None:
    assert decoded(chunk) == [UsageReported({"total_tokens": 3})]
