"""The arguments of a tool call, without placeholders and repetitions."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.dialects.tool_call_fragments import CallArguments
from chat_stream.memory_bound import AnswerTooLargeError, MemoryBound


def arguments(*fragments: str) -> str:
    """The text that the fragments add, which must equal the final arguments."""
    call = CallArguments(MemoryBound())
    added = "".join(map(call.add, fragments))
    whole = str(call)
    assert added + call.flush() == whole == str(call)
    assert call.flush() == ""
    return whole


@pytest.mark.parametrize("placeholder", ["{}", "{ }", " {\n}", "null"])
def test_placeholder_counts_only_if_nothing_else_follows(placeholder: str) -> None:
    assert arguments(placeholder) == placeholder
    assert arguments(placeholder, '{"a":', "1}") == '{"a":1}'
    assert arguments(placeholder, "", "{}") == "{}"


@pytest.mark.parametrize("again", ['{"a":[{}]}', '{ "a": [ {} ] }', '\n{"a":[{}]}'])
def test_repeated_arguments_are_added_once(again: str) -> None:
    assert arguments('{"a":', "[{}]}", again) == '{"a":[{}]}'
    assert arguments('{"a":', "[{}]}", again, again) == '{"a":[{}]}'


def test_different_arguments_lose_nothing() -> None:
    assert arguments('{"a":1}', '{"b":2}') == '{"a":1}{"b":2}'
    assert arguments('{"a":', "{}", "}") == '{"a":{}}'
    assert arguments("[", "[", "]", "]") == "[[]]"


json_objects = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(json_objects, st.lists(st.integers(0, 60), max_size=6))
def test_arguments_in_any_pieces_are_joined_as_sent(value: dict[str, object], cuts: list[int]) -> None:
    text = json.dumps(value)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert arguments(*pieces) == text


def test_other_repetitions_take_linear_time() -> None:
    call = CallArguments(MemoryBound())
    call.add('{"a":"' + "x" * 1_000_000 + '"}')
    started = time.process_time()
    for _ in range(20_000):
        call.add("{}")
    assert time.process_time() - started < 2  # comparing with all arguments each time would take minutes


def test_arguments_count_against_the_memory_bound() -> None:
    call = CallArguments(MemoryBound(100))
    with pytest.raises(AnswerTooLargeError):
        call.add("[" * 101)
