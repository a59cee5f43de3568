"""Assembling completions from chunks: recorded streams, completions cut at random, and any data."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from chat_stream.dialects.chat_completions.assembly import CompletionAssembler
from chat_stream.dialects.chat_completions.events import (
    ChatCompletionDecoder,
    completion_chunks,
    completion_events,
)
from chat_stream.events import (
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ProviderField,
    ReasoningField,
    SourceCited,
    StreamDone,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.json_values import strict
from tests.support.conformance_cases import StreamCase, choices_of, events_of, stream_cases
from tests.support.dialects.chat_chunks import any_name, any_stream
from tests.support.dialects.whole_completions import assembled, completions, cut_into_chunks, sent

GOOD_CASES = [
    case
    for case in stream_cases("chat")
    if case.expected["outcome"] in ("completed", "incomplete")
    and case.expected["http"]["content_type"].startswith("text/event-stream")
]


def of_case(case: StreamCase) -> dict[str, Any]:
    assembler = CompletionAssembler(choices_of(case))
    for event in events_of(case):
        assembler.add(event)
    return assembler.document()


@pytest.mark.parametrize("case", GOOD_CASES, ids=lambda case: case.name)
def test_openai_client_accepts_the_completion_of_a_recorded_stream(case: StreamCase) -> None:
    document = of_case(case)
    for choice in document["choices"]:
        # The client accepts OpenAI's own finish reasons only; those of other providers are kept as sent.
        if choice["finish_reason"] not in ("length", "tool_calls", "content_filter", "function_call"):
            choice["finish_reason"] = "stop"
    completion = ChatCompletion.model_validate(document)
    assert completion.model_dump(exclude_unset=True)["choices"] == document["choices"]


@given(completions())
def test_chunks_of_a_completion_are_assembled_into_that_completion(completion: dict[str, Any]) -> None:
    assert assembled(*completion_chunks(completion), "[DONE]") == completion


@given(completions(), st.randoms(use_true_random=False))
def test_completion_is_the_same_however_it_is_cut_into_chunks(
    completion: dict[str, Any], chance: random.Random
) -> None:
    assert assembled(*cut_into_chunks(completion, chance), "[DONE]") == completion


def content_of(events: list[ChatEvent]) -> dict[Any, Any]:
    """The content of the events, with the texts of each channel joined."""
    found: dict[Any, Any] = defaultdict(str)
    for event in events:
        match event:
            case ToolCallDelta(choice, index, call_id, name, arguments):
                found[choice, index, "id"] += call_id or ""
                found[choice, index, "name"] += name or ""
                found[choice, index, "arguments"] += arguments
            case UsageReported():
                found[UsageReported] = event
            case ChoiceFinished(choice):
                found[ChoiceFinished, choice] = event
            case AnswerStarted(answer_id):  # the decoder reports the model of the first chunk only
                found[AnswerStarted] = answer_id
            case StreamDone():
                found[StreamDone] = event
            case ImageReceived(choice, url) | SourceCited(choice, url):
                found[type(event), choice] += url
            case ProviderField(choice, call, name):  # its value may be sent in pieces
                found[ProviderField, choice, call] = name
            case ReasoningField():  # with two such fields, the first to be sent is reported
                pass
            case _:
                found[type(event), event.choice] += event.text  # type: ignore[union-attr]
    return found


@given(completions(), st.randoms(use_true_random=False))
def test_completion_has_the_chat_events_of_its_stream(
    completion: dict[str, Any], chance: random.Random
) -> None:
    chunks = [*cut_into_chunks(completion, chance), "[DONE]"]
    decoder = ChatCompletionDecoder(3)
    streamed = [event for chunk in chunks for event in decoder.decode(sent(chunk))]
    assert content_of(completion_events(assembled(*chunks), 3)) == content_of(streamed)


@pytest.mark.parametrize("case", GOOD_CASES, ids=lambda case: case.name)
def test_completion_has_the_chat_events_of_its_recorded_stream(case: StreamCase) -> None:
    choices = choices_of(case)
    decoder = ChatCompletionDecoder(choices)
    streamed = [event for read in events_of(case) for event in decoder.decode(read)]
    assert content_of(completion_events(of_case(case), choices)) == content_of([*streamed, StreamDone()])


def test_numbers_outside_strict_json_become_null() -> None:
    document = assembled('{"choices":[],"x":[NaN,Infinity,-Infinity,1e999,1.5]}')
    assert document["x"] == [None, None, None, None, 1.5]


def test_events_separated_by_one_newline_count_only_if_every_line_is_valid() -> None:
    lines = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in "ab"]
    assert assembled("\n".join([*lines, "[DONE]"]))["choices"][0]["message"]["content"] == "ab"
    for broken in ('{"choices":', "5", "null"):
        assert assembled("\n".join([*lines, broken]))["choices"] == []


def test_document_is_available_at_any_time_and_is_a_copy() -> None:
    assembler = CompletionAssembler()
    chunk = {"choices": [{"delta": {"content": "a", "annotations": [1]}}], "x": [1]}
    assembler.add(sent(chunk))
    document = assembler.document()
    document["x"].append(2)
    document["choices"][0]["message"]["annotations"].append(2)
    assembler.add(sent({"choices": [{"delta": {"content": "b"}}]}))
    again = assembler.document()
    assert (again["x"], again["choices"][0]["message"]["annotations"]) == ([1], [1])
    assert again["choices"][0]["message"]["content"] == "ab"


@pytest.mark.parametrize("depth", [70, 300, 480, 900, 990, 100_000])
@pytest.mark.parametrize("wrapped", ["%s", '{"choices":[{"delta":{"content":[%s],"x":%s}}]}'])
@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"x":', "}"), ('{"type":"thinking","thinking":[', "]}")]
)
def test_deeply_nested_chunk_does_not_stop_the_assembler(
    depth: int, wrapped: str, opening: str, closing: str
) -> None:
    inner = '{"x":' + opening * depth + "5" + closing * depth + "}"
    document = assembled(wrapped.replace("%s", inner), {"choices": [{"index": 1}]})
    assert document["choices"][-1]["index"] == 1
    json.dumps(document)


def test_nesting_that_cannot_be_written_is_cut_and_all_else_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def strict_at_the_second_time(document: dict[str, Any]) -> dict[str, Any]:
        tried.append(document)
        if len(tried) == 1:  # the depth limit differs between Python versions
            raise RecursionError
        return strict(document)

    assembler = CompletionAssembler(2)
    assembler.add(sent('{"choices":[{"delta":{"content":"a"}}]}'))
    assembler.add(sent(f'{{"choices":[],"x":{"[" * 600}{"]" * 600},"y":{"[" * 50}5{"]" * 50}}}'))
    thoughts = '{"type":"thinking","thinking":[' * 200 + "]}" * 200
    assembler.add(sent(f'{{"choices":[{{"index":1,"delta":{{"content":[{thoughts}]}}}}]}}'))
    with monkeypatch.context() as patch:
        patch.setattr("chat_stream.dialects.chat_completions.assembly.strict", strict_at_the_second_time)
        document = assembler.document()
    assert document["choices"][0]["message"]["content"] == "a"
    assert json.dumps(document["y"]) == "[" * 50 + "5" + "]" * 50
    assert json.dumps(document["x"]) == "[" * 63 + "null" + "]" * 63
    assert json.dumps(assembler.document()["x"]) == "[" * 600 + "]" * 600


@given(any_stream, any_name)
@example(["[" * 100_000, '{"choices":' * 50_000, "9" * 5000], "message")
def test_no_data_makes_the_assembler_raise(stream: list[Any], name: str) -> None:
    document = assembled(*stream, event=name)
    assert (document["object"], type(document["choices"])) == ("chat.completion", list)
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # raises if not strict or well-formed


def test_stream_without_content_is_a_completion_without_choices() -> None:
    assert assembled("", " ", "[DONE]", "{}", "[]", "<html>") == {"object": "chat.completion", "choices": []}
