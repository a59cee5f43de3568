"""Assembling the fields of a completion and of its choices: which are joined, and which are replaced."""

from __future__ import annotations

import pytest

from tests.support.dialects.whole_completions import assembled, of_choices, of_deltas


def test_first_non_empty_id_model_and_time_are_kept() -> None:
    document = assembled(
        {
            "id": "",
            "model": "",
            "created": 0,
            "object": "",
            "choices": [],
            "prompt_filter_results": [{"a": 1}],
        },
        {"id": "a", "model": "m", "created": 5, "choices": []},
        {"id": "b", "model": "n", "created": 6, "choices": []},
    )
    assert document == {
        "id": "a",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [],
        "prompt_filter_results": [{"a": 1}],
    }


def test_last_non_empty_value_of_any_other_field_is_kept() -> None:
    document = assembled(
        {"choices": [], "service_tier": None, "citations": ["a"], "x": {"id": 1}, "provider": "P", "n": 2},
        {
            "choices": [],
            "service_tier": "flex",
            "citations": ["a", "b"],
            "x": {"ms": 3},
            "provider": "",
            "n": 3,
        },
        {"choices": [], "service_tier": None, "citations": [], "x": {}, "provider": None, "n": 0, "y": None},
    )
    assert document == {
        "object": "chat.completion",
        "service_tier": "flex",
        "citations": ["a", "b"],
        "x": {"id": 1, "ms": 3},
        "provider": "P",
        "n": 0,
        "y": None,
        "choices": [],
    }


def test_obfuscation_padding_is_not_in_the_completion() -> None:
    assert "obfuscation" not in assembled({"choices": [], "obfuscation": "x7"})


def test_last_non_empty_usage_is_kept_and_nothing_is_added_up() -> None:
    usages = [None, {"total_tokens": 3, "a": 1}, {"total_tokens": 7}, {}, None]
    assert assembled(*({"choices": [], "usage": usage} for usage in usages))["usage"] == {"total_tokens": 7}
    assert "usage" not in assembled({"choices": [], "usage": None}, {"choices": [], "usage": {}})


def test_objects_of_other_kinds_are_not_in_the_completion() -> None:
    document = assembled(
        {"choices": [], "x": 1, "object": "vendor.chunk"},
        {"type": "vendor.progress", "x": 2},
        {"object": "vendor.progress", "x": 3, "usage": {"total_tokens": 1}},
    )
    assert document == {"object": "chat.completion", "x": 1, "choices": [], "usage": {"total_tokens": 1}}


def test_fields_of_a_chunk_without_choices_are_in_the_completion() -> None:
    document = assembled({"citations": ["a"]}, {"object": "chat.completion.chunk", "x": 1})
    assert (document["citations"], document["x"]) == (["a"], 1)


def test_error_event_adds_nothing() -> None:
    assert assembled({"choices": [{"delta": {"content": "x"}}]}, event="error")["choices"] == []


def test_choices_are_ordered_by_index_and_keep_the_fields_beside_their_deltas() -> None:
    filters = {"hate": {"filtered": False}}
    choices = of_choices(
        {"index": 1, "delta": {"content": "b"}, "stop_reason": None},
        {"delta": {"content": "a"}, "content_filter_results": filters, "token_ids": [1]},
        {"delta": {}, "content_filter_results": {"violence": {}}, "token_ids": [2, 3], "stop_reason": None},
        {"delta": {}, "content_filter_results": {}, "stop_reason": 2, "token_ids": None},
    )
    first, second = choices
    assert (first["index"], first["message"]["content"]) == (0, "a")
    assert first["content_filter_results"] == {"hate": {"filtered": False}, "violence": {}}
    assert (first["token_ids"], first["stop_reason"]) == ([1, 2, 3], 2)
    assert second == {
        "index": 1,
        "message": {"role": "assistant", "content": "b", "refusal": None},
        "logprobs": None,
        "finish_reason": None,
        "stop_reason": None,
    }


def test_first_non_empty_finish_reason_is_kept() -> None:
    reasons = ["", None, "stop", "length", None]
    [choice] = of_choices(*({"delta": {}, "finish_reason": reason} for reason in reasons))
    assert choice["finish_reason"] == "stop"


def test_logprobs_are_appended() -> None:
    parts = [None, {"content": [1], "refusal": None}, {"content": [2, 3], "refusal": [4]}, {"refusal": [5]}]
    [choice] = of_choices(*({"delta": {}, "logprobs": part} for part in parts))
    assert choice["logprobs"] == {"content": [1, 2, 3], "refusal": [4, 5]}


def test_message_of_a_chunk_is_read_like_a_delta() -> None:
    [choice] = of_choices(
        {"message": {"content": "a"}}, {"delta": {"content": "b"}, "message": {"content": "cumulated"}}
    )
    assert choice["message"]["content"] == "ab"
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}


@pytest.mark.parametrize("delta", [None, {}, 5, {"role": None}, {"content": None}])
def test_missing_null_or_empty_delta_makes_an_empty_message(delta: object) -> None:
    [choice] = of_choices({"delta": delta})
    assert choice["message"] == {"role": "assistant", "content": "", "refusal": None}


def test_split_surrogate_pair_is_joined_and_a_lone_surrogate_replaced() -> None:
    message = of_deltas(
        {"content": "a\ud83d", "reasoning": "\ud83d", "x": "\ud83d\ude00"},
        {"content": "\ude00b", "y\udc00": "\ude00\ud83d"},
    )
    assert (message["content"], message["reasoning"], message["x"]) == ("a😀b", "\ufffd", "😀")
    assert message["y\ufffd"] == "\ufffd\ufffd"
