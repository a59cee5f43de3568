"""Assembling the message of a completion from its deltas."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dialects.whole_completions import of_deltas


def of_fragments(*fragments: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a stream whose chunks hold one of these fragments each."""
    calls: list[dict[str, Any]] = of_deltas(*({"tool_calls": [fragment]} for fragment in fragments))[
        "tool_calls"
    ]
    return calls


def test_first_role_is_kept() -> None:
    assert of_deltas({"role": "model"}, {"role": None}, {"role": "assistant"})["role"] == "model"


@pytest.mark.parametrize(
    "other",
    [
        {"tool_calls": [{"index": 0, "id": "a"}]},
        {"function_call": {"name": "f"}},
        {"refusal": "No."},
        {"audio": {"id": "a"}},
    ],
)
def test_content_is_null_only_if_the_message_has_something_else_instead(other: dict[str, Any]) -> None:
    assert of_deltas({"content": ""}, other)["content"] is None
    assert of_deltas({"content": "x"}, other)["content"] == "x"
    assert of_deltas({"content": None}, {"reasoning": "hm"})["content"] == ""


def test_last_value_of_an_unknown_string_or_number_is_kept() -> None:
    message = of_deltas(
        {"channel": "final", "reasoning_opaque": None, "n": 2},
        {"channel": "final", "reasoning_opaque": "c2VhbA==", "n": 3},
    )
    assert (message["channel"], message["reasoning_opaque"], message["n"]) == ("final", "c2VhbA==", 3)


def test_lists_of_deltas_are_extended_and_annotations_are_not_repeated() -> None:
    message = of_deltas(
        {"annotations": [{"url": "a"}, {"url": "a"}], "images": [1]},
        {"annotations": [], "images": [1]},
        {"annotations": [{"url": "a"}, {"url": "b"}]},
    )
    assert message["annotations"] == [{"url": "a"}, {"url": "a"}, {"url": "b"}]
    assert message["images"] == [1, 1]


def test_empty_values_are_kept_as_sent() -> None:
    empty: dict[str, Any] = {
        "tool_calls": [],
        "function_call": None,
        "audio": None,
        "annotations": [],
        "reasoning": "",
    }
    message = of_deltas(empty, dict.fromkeys(empty))
    assert message == {"role": "assistant", "content": "", "refusal": None, **empty}
    empty = {"tool_calls": [], "function_call": {}, "audio": {}}
    message = of_deltas({**empty, "refusal": ""}, dict.fromkeys(empty))
    assert message == {"role": "assistant", "content": "", "refusal": None, **empty}


def test_content_of_text_parts_becomes_a_string() -> None:
    text = {"type": "text", "text": "b", "annotations": []}
    output = {"type": "output_text", "text": "c", "index": 0}
    message = of_deltas({"content": "a"}, {"content": [text]}, {"content": [output, "d", {"type": "text"}]})
    assert message["content"] == "abcd"


def test_content_of_several_kinds_of_parts_stays_a_list_with_its_pieces_joined() -> None:
    message = of_deltas(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
        {"content": [{"type": "text", "text": "a"}]},
        {"content": "b"},
        {"content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "c"}]},
        {"content": "d"},
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "ab"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "cd"},
    ]


def test_text_part_with_other_fields_stays_a_part() -> None:
    part = {"type": "text", "text": "a", "annotations": [{"url": "u"}]}
    assert of_deltas({"content": [part]})["content"] == [part]


def test_parts_of_one_chunk_are_not_joined() -> None:
    parts = [{"type": "reasoning.text", "text": text} for text in "ab"]
    assert of_deltas({"reasoning_details": parts})["reasoning_details"] == parts


def test_reasoning_pieces_are_joined_up_to_a_signature() -> None:
    start = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    message = of_deltas(
        {"reasoning_details": [{**start, "text": "Let", "signature": None}]},
        {"reasoning_details": [{**start, "text": " me", "format": None}]},
        {"reasoning_details": [{**start, "signature": "c2VhbA=="}]},
        {"reasoning_details": [{**start, "text": "Next"}]},
        {"reasoning_details": [{**start, "text": "Other", "index": 1}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "eA=="}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "eQ=="}]},
        *({"reasoning_details": [{"type": "reasoning.summary", "summary": piece}]} for piece in "abc"),
    )
    assert message["reasoning_details"] == [
        {**start, "text": "Let me", "signature": "c2VhbA=="},
        {**start, "text": "Next"},
        {**start, "text": "Other", "index": 1},
        {"type": "reasoning.encrypted", "data": "eA=="},
        {"type": "reasoning.encrypted", "data": "eQ=="},
        {"type": "reasoning.summary", "summary": "abc"},
    ]


def test_thought_made_of_parts_is_joined_with_its_signature() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}
    seal = {"type": "thinking", "thinking": None, "signature": "c2VhbA=="}
    assert of_deltas({"thinking_blocks": [seal]})["thinking_blocks"] == [seal]
    message = of_deltas({"thinking_blocks": [thought]}, {"thinking_blocks": [seal]})
    assert message["thinking_blocks"] == [{**seal, **thought}]


def test_list_entries_that_are_not_text_parts_are_kept_as_sent() -> None:
    odd = [5, None, {"type": ["text"]}, {"type": "text", "text": 5}, {"text": "a"}, ["a"]]
    nested = {"type": "text", "text": [{"type": "text", "text": "a"}]}
    assert of_deltas({"content": [nested]})["content"] == [nested]
    message = of_deltas(*({"content": [entry]} for entry in ["x", *odd]))
    assert message["content"] == [{"type": "text", "text": "x"}, *odd]


def test_thought_in_another_form_begins_a_new_entry() -> None:
    thoughts = [
        {"type": "thinking", "thinking": thought} for thought in ("a", [{"type": "text", "text": "b"}])
    ]
    message = of_deltas(*({"thinking_blocks": [thought]} for thought in thoughts))
    assert message["thinking_blocks"] == thoughts


def test_calls_are_distinguished_as_in_the_decoder() -> None:
    calls = of_fragments(
        {"index": 3, "id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}},
        {"index": 3, "id": "b", "type": "function", "function": {"name": "g", "arguments": "2"}},
        {"index": 3, "id": "", "type": None, "function": {"name": None, "arguments": "3"}},
        {"id": "c", "function": {"name": "h", "arguments": None}},
        {"function": {"name": "again", "arguments": {"x": "ø"}}},
    )
    assert calls == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "23"}},
        {"id": "c", "type": "function", "function": {"name": "h", "arguments": '{"x":"ø"}'}},
    ]


def test_custom_tool_call_and_unknown_fields_of_a_call_are_kept() -> None:
    calls = of_fragments(
        {"index": 0, "id": "a", "custom": {"name": "f", "input": "x"}, "extra_content": {"google": {"a": 1}}},
        {"index": 0, "custom": {"input": "y"}, "extra_content": {"google": {"b": "2"}}},
    )
    extra = {"google": {"a": 1, "b": "2"}}
    assert calls == [
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "xy"}, "extra_content": extra}
    ]


def test_invalid_call_fragments_are_ignored() -> None:
    calls = of_deltas({"tool_calls": [5, None, {"index": 0, "id": "a", "function": None}]})["tool_calls"]
    assert calls == [{"id": "a", "type": "function"}]


@pytest.mark.parametrize(
    ("fragments", "joined"),
    [
        (["AAEC", "AwQF"], "AAECAwQF"),
        (["AB=="], "AB=="),
        (["AA==", "AQ==", "Ag=="], "AAEC"),
        (["AAEC", "AwQ="], "AAECAwQ="),
        (["AAE", "CAwQ="], "AAECAwQ="),
        (["AA==", "A"], "AA==A"),
        (["AA==", "-AQI="], "AA==-AQI="),
        (["==", "ø"], "==ø"),
    ],
)
def test_audio_data_is_joined_whatever_padding_its_fragments_have(fragments: list[str], joined: str) -> None:
    message = of_deltas(*({"audio": {"data": fragment}} for fragment in fragments))
    assert message["audio"] == {"data": joined}


def test_audio_keeps_its_transcript_id_and_other_fields() -> None:
    message = of_deltas(
        {"audio": {"id": "a", "transcript": "Hel"}},
        {"audio": {"id": "a", "transcript": "lo", "x": 1}},
        {"audio": {"expires_at": 5, "x": 2, "data": 3}},
    )
    assert message["audio"] == {"id": "a", "transcript": "Hello", "x": 2, "expires_at": 5, "data": 3}
