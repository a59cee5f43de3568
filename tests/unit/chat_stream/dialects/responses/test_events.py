"""Decoding the Responses API: events, endings and errors, complete responses, and any data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat_stream.dialects.responses.endings import is_response
from chat_stream.dialects.responses.events import ResponsesDecoder, response_events
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from tests.support.dialects.response_documents import documents, items, parts, values
from tests.support.dialects.response_events import (
    CANCELLED,
    COMPLETED,
    DONE,
    FAILED,
    NO_MESSAGE,
    REASONING,
    Document,
    call,
    decoded,
    ended,
    message,
    named,
    sent,
    text_delta,
)
from tests.support.transcripts.transcript_strategies import built

# -- routing -----------------------------------------------------------------------------------------------


def test_type_in_the_data_overrides_the_event_name() -> None:
    assert decoded(text_delta("a"), event="response.refusal.delta") == [TextDelta(0, "a")]


def test_event_name_counts_if_the_data_has_no_type() -> None:
    untyped = {"output_index": 0, "content_index": 0, "delta": "a"}
    assert decoded(untyped, event="response.output_text.delta") == [TextDelta(0, "a")]


@pytest.mark.parametrize(
    "data",
    [
        {"type": "keepalive"},
        named("web_search_call.in_progress", item_id="ws", output_index=0),
        named("some_future_event", delta="a", text="a", item={"type": "message"}),
        named("output_text.annotation.added", annotation={}),
        named("steer.failed", error={"message": "The input could not be added."}),
        named("output_text.delta"),
        named("output_text.begun", text="a"),
        text_delta({"text": "a"}),  # type: ignore[arg-type]
        named(
            "output_item.moved", item={"type": "message", "content": [{"type": "output_text", "text": "a"}]}
        ),
        {"type": "other.added", "item": {"type": "function_call", "name": "f"}},
        named("output_item.added", item=None),
        named("in_progress", response=None),
        "[DONE]",
        "",
        "5",
        "[]",
        "<html>",
        "[" * 100_000,
    ],
)
def test_data_that_is_not_part_of_the_answer_has_no_chat_events(data: object) -> None:
    assert decoded(data) == []


def test_done_sentinel_does_not_complete_a_cut_stream() -> None:
    assert built(decoded(text_delta("a"), "[DONE]")).outcome == "truncated"


def test_id_and_model_are_reported_once_from_the_first_response_that_has_them() -> None:
    responses: list[Document] = [{}, {"id": "", "model": None}, {"id": "r", "model": "m"}, {"id": "s"}]
    events = decoded(*(named("in_progress", response=response) for response in responses))
    assert events == [AnswerStarted("r", "m")]


@pytest.mark.parametrize("known", [{"id": "r"}, {"model": "m"}])
def test_answer_starts_when_its_id_or_model_is_known(known: Document) -> None:
    assert decoded(named("created", response=known)) == [AnswerStarted(known.get("id"), known.get("model"))]


def test_events_separated_by_one_newline_count_only_if_every_line_is_valid() -> None:
    lines = [json.dumps(text_delta("a")), json.dumps(ended())]
    assert decoded("\n".join([*lines, "[DONE]"])) == [TextDelta(0, "a"), COMPLETED, DONE]
    assert decoded("\n".join([*lines, "{"])) == []
    assert decoded("\n".join([*lines, "5"])) == []


def test_event_name_of_events_separated_by_one_newline_is_that_of_the_last() -> None:
    glued = "\n".join([json.dumps(text_delta("a")), '{"message":"m"}'])
    assert decoded(glued, event="error") == [TextDelta(0, "a"), FAILED]


# -- endings and errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ended("completed"), [COMPLETED, DONE]),
        (named("completed"), [COMPLETED, DONE]),
        (named("completed", response={"status": "in_progress"}), [COMPLETED, DONE]),
        (ended("incomplete"), [ChoiceFinished(0, "incomplete", is_cut_short=True), DONE]),
        (
            ended("incomplete", incomplete_details={"reason": "content_filter"}),
            [ChoiceFinished(0, "content_filter", is_cut_short=True), DONE],
        ),
        (
            ended("failed", error={"code": "server_error", "message": "m"}),
            [ChoiceFinished(0, "failed"), AnswerFailed("m", None, "server_error", None, None)],
        ),
        (ended("failed"), [ChoiceFinished(0, "failed"), AnswerFailed(NO_MESSAGE, None, None, None, None)]),
        (named("failed", error={"message": "m"}), [ChoiceFinished(0, "failed"), FAILED]),
        (ended("completed", error={"message": "m"}), [COMPLETED, FAILED]),
        (ended("cancelled"), [CANCELLED]),
        (named("completed", response={"status": "cancelled"}), [CANCELLED]),
        (named("cancelled", response={"status": "completed"}), [CANCELLED]),
    ],
)
def test_each_ending_has_its_chat_events(event: Document, expected: list[ChatEvent]) -> None:
    assert decoded(event) == expected


def test_worse_ending_of_name_and_status_counts() -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    events = decoded(named("completed", response=response))
    assert events == [ChoiceFinished(0, "max_output_tokens", is_cut_short=True), DONE]


def test_second_ending_does_not_repeat_the_answer() -> None:
    decoder = ResponsesDecoder()
    first = decoder.decode(sent(ended("incomplete", [message("Hi")])))
    assert first == [TextDelta(0, "Hi"), ChoiceFinished(0, "incomplete", is_cut_short=True), DONE]
    assert decoder.decode(sent(ended("completed", [message("Hi")]))) == [DONE]


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        ({"type": "error", "message": "m", "code": "c", "param": "p"}, ("m", None, "c", "p", None)),
        (
            {"type": "error", "error": {"message": "m", "type": "t", "code": 429}},
            ("m", "t", "429", None, 429),
        ),
        ({"type": "error", "code": "c", "error": {"message": "m"}}, ("m", None, None, None, None)),
        ({"type": "error"}, (NO_MESSAGE, None, None, None, None)),
        ({"error": {"message": "m", "type": "t", "code": "c"}}, ("m", "t", "c", None, None)),
        ({"error": "m"}, ("m", None, None, None, None)),
        ({"type": "server_error", "error": {"message": "m"}}, ("m", None, None, None, None)),
    ],
)
def test_error_is_recognized_in_every_form(data: Document, failure: tuple[Any, ...]) -> None:
    assert decoded(data) == [AnswerFailed(*failure)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"type":"invalid_request_error","message":"bad"}', "bad"),
        ('{"error":{"message":"bad"}}', "bad"),
        ("bad", "bad"),
        ("", NO_MESSAGE),
    ],
)
def test_event_named_error_is_a_failure_whatever_its_data(data: str, message: str) -> None:
    [failure] = decoded(data, event="error")
    assert isinstance(failure, AnswerFailed)
    assert failure.message == message


def test_type_of_an_error_is_kept_but_not_that_of_its_event() -> None:
    assert decoded({"type": "t", "message": "m"}, event="error") == [AnswerFailed("m", "t", None, None, None)]
    assert decoded({"type": "error", "message": "m"}, event="error") == [FAILED]


def test_chat_events_of_one_event_are_start_deltas_usage_end_and_error() -> None:
    usage = {"total_tokens": 1}
    response = {"id": "r", "model": "m", "output": [message("Hi")], "usage": usage, "error": {"message": "m"}}
    assert decoded(named("failed", response=response)) == [
        AnswerStarted("r", "m"),
        TextDelta(0, "Hi"),
        UsageReported(usage),
        ChoiceFinished(0, "failed"),
        FAILED,
    ]


@pytest.mark.parametrize("usage", [None, {}, [], 5])
def test_invalid_usage_is_not_reported(usage: object) -> None:
    assert decoded(ended(usage=usage)) == [COMPLETED, DONE]


# -- complete responses ------------------------------------------------------------------------------------


def test_complete_response_has_the_chat_events_of_its_stream() -> None:
    usage = {"total_tokens": 3}
    document = {
        "id": "r",
        "object": "response",
        "model": "m",
        "status": "completed",
        "error": None,
        "output": [REASONING, message("Hi ", "there"), {"type": "web_search_call", "id": "ws"}, call("{}")],
        "usage": usage,
    }
    assert response_events(document) == [
        AnswerStarted("r", "m"),
        ReasoningDelta(0, "Plan: "),
        ReasoningDelta(0, "none. "),
        ReasoningDelta(0, "Easy."),
        TextDelta(0, "Hi "),
        TextDelta(0, "there"),
        ToolCallDelta(0, 0, "c", "f", ""),
        ToolCallDelta(0, 0, None, None, "{}"),
        UsageReported(usage),
        COMPLETED,
        DONE,
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            [ChoiceFinished(0, "max_output_tokens", is_cut_short=True), DONE],
        ),
        ({"status": "failed", "error": {"message": "m"}}, [ChoiceFinished(0, "failed"), FAILED]),
        ({"status": "cancelled"}, [CANCELLED]),
        ({"status": "queued", "usage": {"a": 1}}, []),
        ({"status": "in_progress", "output": [message("Hi")]}, [TextDelta(0, "Hi")]),
        ({"output": [message("Hi")]}, [TextDelta(0, "Hi"), ChoiceFinished(0, "completed"), DONE]),
        ({"status": {}}, []),
        ({"status": "in_progress", "error": {"message": "m"}}, [FAILED]),
        ({"error": {"message": "m"}}, [FAILED]),
        ({}, []),
    ],
)
def test_complete_response_ends_as_its_status_says(document: Document, expected: list[ChatEvent]) -> None:
    assert response_events(document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [({"object": "response"}, True), ({"output": []}, True), ({"output": None}, False), ({}, False)],
)
def test_response_is_recognized_by_its_object_or_output(document: Document, expected: bool) -> None:
    assert is_response(document) is expected


# -- any data ----------------------------------------------------------------------------------------------

FAMILY_NAMES = ["output_item", "content_part", "output_text", "refusal", "reasoning_text"]
FAMILY_NAMES += ["reasoning_summary_part", "reasoning_summary_text", "function_call_arguments"]
NAMES = [f"{family}.{step}" for family in FAMILY_NAMES for step in ("added", "delta", "done")]
NAMES += ["created", "completed", "failed"]
any_events = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in NAMES]) | values},
    optional={
        "item": items | values,
        "response": documents | values,
        "part": parts | values,
        **dict.fromkeys(("output_index", "item_id", "content_index", "delta", "text", "error"), values),
    },
)


@given(
    st.lists(any_events | values | st.text(max_size=20), max_size=6),
    st.sampled_from(["message", "error", "x"]),
)
@example(["[" * 100_000, '{"response":' * 50_000], "message")
@example(["[" * 100_000], "error")
def test_no_data_makes_the_decoder_raise(data: list[Any], name: str) -> None:
    events = decoded(*data, event=name)
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta):
            assert event.text
            event.text.encode()  # raises if it is not well-formed
        if isinstance(event, ToolCallDelta):
            event.arguments.encode()
    assert sum(isinstance(event, ChoiceFinished) for event in events) <= 1
