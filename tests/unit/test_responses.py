"""What the decoder makes of the Responses API, ordinary and odd."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat_stream.chat_events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.responses import ResponsesDecoder, is_response, is_response_event, response_events
from chat_stream.sse import EventStreamParser, ServerSentEvent
from tests.support.conformance_cases import StreamCase, split, stream_cases
from tests.support.transcript_strategies import built

CASES = stream_cases("responses")
COMPLETED = ChoiceFinished(0, "completed")
DONE = StreamDone()
CANCELLED = AnswerFailed("The upstream cancelled the response.", None, "cancelled", None, None)
FAILED = AnswerFailed("m", None, None, None, None)
NO_MESSAGE = "The upstream reported an error without a message."

Document = dict[str, Any]


def sent(data: object, event: str = "message") -> ServerSentEvent:
    text = data if isinstance(data, str) else json.dumps(data)
    return ServerSentEvent(event=event, data=text, id="", retry=None, raw=b"")


def decoded(*events: object, event: str = "message") -> list[ChatEvent]:
    decoder = ResponsesDecoder()
    return [chat for data in events for chat in decoder.decode(sent(data, event))]


def named(event: str, **fields: Any) -> Document:
    return {"type": f"response.{event}", **fields}


def text_delta(text: str, **fields: Any) -> Document:
    return {**named("output_text.delta", item_id="m", output_index=0, content_index=0, delta=text), **fields}


def ended(ending: str = "completed", output: list[Any] | None = None, **fields: Any) -> Document:
    return named(ending, response={"status": ending, "output": output or [], **fields})


def message(*texts: str, **fields: Any) -> Document:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": "m", "type": "message", "role": "assistant", "content": parts, **fields}


def call(arguments: Any = "", **fields: Any) -> Document:
    return {
        "type": "function_call",
        "id": "fc",
        "call_id": "c",
        "name": "f",
        "arguments": arguments,
        **fields,
    }


def item(step: str, document: Document, index: int | None = 0) -> Document:
    place = {} if index is None else {"output_index": index}
    return named(f"output_item.{step}", item=document, **place)


Spoken = TextDelta | RefusalDelta | ReasoningDelta


def spoken(events: Iterable[ChatEvent], kind: type[Spoken] = TextDelta) -> str:
    return "".join(event.text for event in events if isinstance(event, Spoken) and isinstance(event, kind))


def tool_calls(events: Iterable[ChatEvent]) -> list[tuple[str | None, str | None, str]]:
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            call_id, name, arguments = calls.setdefault(event.index, (None, None, ""))
            assert event.id is None or call_id is None
            assert event.name is None or name is None
            calls[event.index] = (call_id or event.id, name or event.name, arguments + event.arguments)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


def case_events(case: StreamCase, size: int | None) -> list[ChatEvent]:
    parser, decoder = EventStreamParser(), ResponsesDecoder()
    return [
        chat
        for read in split(case.body, size)
        for event in parser.feed(read)
        for chat in decoder.decode(event)
    ]


# -- recorded streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, None])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_stream_says_what_is_expected_of_it(case: StreamCase, size: int | None) -> None:
    events, expected = case_events(case, size), case.expected
    assert hashlib.sha256(spoken(events).encode()).hexdigest() == expected["text_sha256"]
    assert (spoken(events, RefusalDelta) or None) == expected["refusal"]
    assert (spoken(events, ReasoningDelta) or None) == expected["reasoning"]
    assert tool_calls(events) == [
        (call["id"], call["name"], call["arguments"]) for call in expected["tool_calls"]
    ]
    reasons = [event.finish_reason for event in events if isinstance(event, ChoiceFinished)]
    assert reasons == ([expected["finish_reason"]] if expected["finish_reason"] else [])
    usages = [event.usage for event in events if isinstance(event, UsageReported)]
    assert usages == ([expected["usage"]] if expected["usage"] else [])
    assert events[0] == AnswerStarted(expected["response"]["id"], "gpt-test")
    assert events.count(DONE) == (expected["outcome"] in ("completed", "incomplete"))
    failures = [event for event in events if isinstance(event, AnswerFailed)]
    if (expected["error"] or {}).get("kind") == "upstream_error":
        [failure] = failures
        error = expected["error"]
        assert (failure.message, failure.code, failure.type) == (
            error["message"],
            error["code"],
            error["type"],
        )
    else:
        assert failures == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_stream_has_the_outcome_expected_of_it(case: StreamCase) -> None:
    document = built(case_events(case, None)).document
    expected = {"error": "failed"}.get(case.expected["outcome"], case.expected["outcome"])
    assert document["outcome"] == expected


# -- routing -----------------------------------------------------------------------------------------------


def test_type_in_the_data_is_believed_before_the_name_of_the_event() -> None:
    assert decoded(text_delta("a"), event="response.refusal.delta") == [TextDelta(0, "a")]


def test_name_of_the_event_tells_where_the_data_has_no_type() -> None:
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
def test_what_is_no_part_of_the_answer_says_nothing(data: object) -> None:
    assert decoded(data) == []


def test_done_sentinel_does_not_make_a_cut_stream_whole() -> None:
    assert built(decoded(text_delta("a"), "[DONE]")).outcome == "truncated"


def test_id_and_model_are_reported_once_from_the_first_response_that_has_them() -> None:
    responses: list[Document] = [{}, {"id": "", "model": None}, {"id": "r", "model": "m"}, {"id": "s"}]
    events = decoded(*(named("in_progress", response=response) for response in responses))
    assert events == [AnswerStarted("r", "m")]


@pytest.mark.parametrize("known", [{"id": "r"}, {"model": "m"}])
def test_answer_has_started_when_its_id_or_its_model_is_known(known: Document) -> None:
    assert decoded(named("created", response=known)) == [AnswerStarted(known.get("id"), known.get("model"))]


def test_glued_events_are_taken_only_if_every_line_is_one() -> None:
    lines = [json.dumps(text_delta("a")), json.dumps(ended())]
    assert decoded("\n".join([*lines, "[DONE]"])) == [TextDelta(0, "a"), COMPLETED, DONE]
    assert decoded("\n".join([*lines, "{"])) == []
    assert decoded("\n".join([*lines, "5"])) == []


def test_name_error_over_glued_events_is_that_of_the_last() -> None:
    glued = "\n".join([json.dumps(text_delta("a")), '{"message":"m"}'])
    assert decoded(glued, event="error") == [TextDelta(0, "a"), FAILED]


# -- ends and errors ---------------------------------------------------------------------------------------


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
        (
            named("failed", error={"message": "m"}),
            [ChoiceFinished(0, "failed"), FAILED],
        ),
        (ended("completed", error={"message": "m"}), [COMPLETED, FAILED]),
        (ended("cancelled"), [CANCELLED]),
        (named("completed", response={"status": "cancelled"}), [CANCELLED]),
        (named("cancelled", response={"status": "completed"}), [CANCELLED]),
    ],
)
def test_each_end_is_told_as_what_it_is(event: Document, expected: list[ChatEvent]) -> None:
    assert decoded(event) == expected


def test_event_that_calls_an_incomplete_response_completed_is_not_believed() -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    events = decoded(named("completed", response=response))
    assert events == [ChoiceFinished(0, "max_output_tokens", is_cut_short=True), DONE]


def test_first_end_stands_and_an_answer_is_not_told_again_by_a_second_one() -> None:
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
def test_error_is_seen_in_every_form(data: Document, failure: tuple[Any, ...]) -> None:
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
def test_event_named_error_is_an_error_whatever_its_data(data: str, message: str) -> None:
    [failure] = decoded(data, event="error")
    assert isinstance(failure, AnswerFailed)
    assert failure.message == message


def test_class_of_an_error_is_kept_and_the_name_of_its_event_is_none() -> None:
    assert decoded({"type": "t", "message": "m"}, event="error") == [AnswerFailed("m", "t", None, None, None)]
    assert decoded({"type": "error", "message": "m"}, event="error") == [FAILED]


def test_one_event_tells_start_deltas_usage_end_and_error_in_this_order() -> None:
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
def test_usage_that_is_none_is_not_reported(usage: object) -> None:
    assert decoded(ended(usage=usage)) == [COMPLETED, DONE]


# -- gaps --------------------------------------------------------------------------------------------------

PLACE = {"item_id": "m", "output_index": 0, "content_index": 0}
WAYS_TO_BE_DONE = {
    "text": named("output_text.done", **PLACE, text="Hello"),
    "part": named("content_part.done", **PLACE, part=message("Hello")["content"][0]),
    "item": item("done", message("Hello")),
    "response": ended(output=[message("Hello")]),
}


@pytest.mark.parametrize("done", WAYS_TO_BE_DONE.values(), ids=WAYS_TO_BE_DONE)
@pytest.mark.parametrize(
    ("streamed", "heard"),
    [
        ([], "Hello"),
        (["Hel"], "Hello"),
        (["Hel", "lo"], "Hello"),
        (["Hullo"], "Hullo"),
        (["Hello!"], "Hello!"),
    ],
)
def test_gap_is_filled_by_whatever_is_done_and_what_was_said_stands(
    done: Document, streamed: list[str], heard: str
) -> None:
    events = decoded(*map(text_delta, streamed), done)
    assert spoken(events) == heard


def test_text_that_is_told_in_every_way_is_said_once() -> None:
    events = decoded(*WAYS_TO_BE_DONE.values(), *WAYS_TO_BE_DONE.values())
    assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta(0, "Hello")]


def test_empty_output_at_the_end_takes_nothing_back() -> None:
    assert decoded(text_delta("Hi"), ended(output=[])) == [TextDelta(0, "Hi"), COMPLETED, DONE]


SUMMARY = [{"type": "summary_text", "text": "Plan: "}, {"type": "summary_text", "text": "none. "}]
RAW = {"type": "reasoning_text", "text": "Easy."}
REASONING = {"id": "r", "type": "reasoning", "summary": SUMMARY, "content": [RAW]}


@pytest.mark.parametrize(
    "done", [[item("done", REASONING)], [ended(output=[REASONING])], [item("done", REASONING)] * 2]
)
def test_reasoning_that_was_never_streamed_is_told_from_the_whole(done: list[Document]) -> None:
    assert spoken(decoded(*done), ReasoningDelta) == "Plan: none. Easy."


@pytest.mark.parametrize(
    ("done", "heard"),
    [
        (named("reasoning_summary_text.done", output_index=0, summary_index=0, text="Plan: "), "Plan: "),
        (named("reasoning_text.done", output_index=0, content_index=0, text="Easy."), "Easy."),
        (named("reasoning_summary_part.done", output_index=0, summary_index=1, part=SUMMARY[1]), "none. "),
        (named("content_part.done", output_index=0, content_index=0, part=RAW), "Easy."),
    ],
)
def test_reasoning_that_was_never_streamed_is_told_from_its_parts(done: Document, heard: str) -> None:
    key, kind = ("content", "reasoning_text") if heard == "Easy." else ("summary", "summary_text")
    whole = item("done", {"id": "r", "type": "reasoning", key: [{"type": kind, "text": heard}]})
    assert decoded(done, done, whole) == [ReasoningDelta(0, heard)]


def test_refusal_is_filled_like_text_and_stays_apart_from_it() -> None:
    part = {"type": "refusal", "refusal": "I can't."}
    delta = named("refusal.delta", item_id="m", output_index=0, content_index=1, delta="I ")
    done = named("refusal.done", item_id="m", output_index=0, content_index=1, refusal="I can't.")
    whole = message("Hm. ", content=[message("Hm. ")["content"][0], part])
    events = decoded(text_delta("Hm. "), delta, done, item("done", whole), ended(output=[whole]))
    assert (spoken(events), spoken(events, RefusalDelta)) == ("Hm. ", "I can't.")


def test_gap_between_parts_is_filled_part_by_part() -> None:
    events = decoded(text_delta("a"), text_delta("c", content_index=1), item("done", message("ab", "cd")))
    assert events == [TextDelta(0, "a"), TextDelta(0, "c"), TextDelta(0, "b"), TextDelta(0, "d")]


def test_deltas_without_a_number_of_their_part_are_compared_with_the_item_as_a_whole() -> None:
    deltas = [text_delta(text, content_index=None) for text in ("ab", "cd")]
    assert spoken(decoded(*deltas, item("done", message("ab", "cde")))) == "abcde"
    assert spoken(decoded(*deltas, item("done", message("ab", "xy")))) == "abcd"


@pytest.mark.parametrize("whole", ["The user", "The user asks", "The", "Thee", " The user"])
def test_deltas_that_are_each_numbered_as_a_part_are_not_told_again(whole: str) -> None:
    deltas = [text_delta("The", content_index=0), text_delta(" user", content_index=1)]
    done = named("output_text.done", item_id="m", output_index=0, content_index=1, text=whole)
    events = decoded(*deltas, done, item("done", message(whole)), ended(output=[message(whole)]))
    assert spoken(events) == (whole if whole.startswith("The user") else "The user")


@pytest.mark.parametrize("item_id", ["r", None])
def test_text_of_reasoning_that_goes_by_the_name_of_an_output_text_is_reasoning(item_id: str | None) -> None:
    delta = named("reasoning_text.delta", item_id="r", output_index=0, content_index=0, delta="Easy")
    part = {"type": "output_text", "text": "Easy."}
    done = named("content_part.done", item_id=item_id, output_index=0, content_index=0, part=part)
    whole = {"id": "r", "type": "reasoning", "summary": [], "content": [part]}
    events = decoded(item("added", {**whole, "content": []}), delta, done, item("done", whole))
    assert events == [ReasoningDelta(0, "Easy"), ReasoningDelta(0, ".")]


def test_reasoning_that_comes_as_text_and_as_summary_is_told_once() -> None:
    events = decoded(
        *(
            named(f"{name}.delta", item_id="r", output_index=0, delta=text)
            for text in ("The", " user")
            for name in ("reasoning_text", "reasoning_summary_text")
        ),
        named("reasoning_summary_text.done", item_id="r", output_index=0, summary_index=0, text="The user"),
    )
    assert events == [ReasoningDelta(0, "The"), ReasoningDelta(0, " user")]


def test_summary_that_only_begins_like_the_reasoning_is_told_whole() -> None:
    events = decoded(
        named("reasoning_text.delta", item_id="r", output_index=0, content_index=0, delta="The user. "),
        named("reasoning_summary_text.delta", item_id="r", output_index=0, summary_index=0, delta="The "),
        named("reasoning_summary_text.delta", item_id="r", output_index=0, summary_index=0, delta="plan"),
        named("reasoning_summary_text.delta", item_id="r", output_index=0, summary_index=0, delta="."),
    )
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == [
        "The user. ",
        "The plan",
        ".",
    ]


def test_reasoning_that_is_a_part_of_a_message_is_told_once() -> None:
    content = [{"type": "reasoning_text", "text": "Easy."}, {"type": "output_text", "text": "Hi"}]
    events = decoded(
        item("added", message()),
        named("reasoning_text.delta", item_id="m", output_index=0, content_index=0, delta="Easy."),
        text_delta("Hi", content_index=1),
        item("done", message(content=content)),
        ended(output=[message(content=content)]),
    )
    assert events == [ReasoningDelta(0, "Easy."), TextDelta(0, "Hi"), COMPLETED, DONE]


@pytest.mark.parametrize(
    ("document", "heard"),
    [
        ({"content": [{"type": "output_text", "text": "a"}]}, ["a"]),
        ({"type": "message", "content": [{"type": "text", "text": "a"}, {"text": "b"}, "c"]}, ["a"]),
        ({"type": "message", "content": [], "summary": SUMMARY}, []),
        ({"type": "program", "content": [{"type": "output_text", "text": "a"}]}, []),
        ({"text": "a"}, []),
    ],
)
def test_only_messages_and_reasoning_have_parts(document: Document, heard: list[str]) -> None:
    assert decoded(item("done", document)) == [TextDelta(0, text) for text in heard]


# -- surrogates --------------------------------------------------------------------------------------------


def test_surrogate_pair_over_two_deltas_becomes_one_character_in_its_own_part() -> None:
    events = decoded(
        text_delta("a\ud83d"),
        text_delta("\ud83d", output_index=1, item_id="n"),
        text_delta("\ude00b"),
        text_delta("\ude01", output_index=1, item_id="n"),
    )
    assert events == [TextDelta(0, "a"), TextDelta(0, "😀b"), TextDelta(0, "😁")]


@pytest.mark.parametrize(
    "end",
    [
        named("output_text.done", item_id="m", output_index=0, content_index=0, text="x"),
        item("done", message("x")),
        ended(),
        {"type": "error", "message": "m"},
    ],
)
def test_half_pair_that_is_never_completed_becomes_a_replacement_character(end: Document) -> None:
    assert spoken(decoded(text_delta("a\ud83d"), end)) == "a\ufffd"


@pytest.mark.parametrize("done", WAYS_TO_BE_DONE)
def test_half_pair_is_completed_by_the_whole(done: str) -> None:
    whole = json.loads(json.dumps(WAYS_TO_BE_DONE[done]).replace("Hello", "a\\ud83d\\ude00b"))
    assert spoken(decoded(text_delta("a\ud83d"), whole, ended())) == "a😀b"


# -- calls -------------------------------------------------------------------------------------------------


def test_call_is_told_by_its_call_id_and_its_arguments_as_they_come() -> None:
    delta = named("function_call_arguments.delta", item_id="fc", output_index=0)
    assert decoded(
        item("added", call("")),
        {**delta, "delta": '{"a"'},
        {**delta, "delta": ":1}"},
        named("function_call_arguments.done", item_id="fc", output_index=0, arguments='{"a":1}', name="f"),
        item("done", call('{"a":1}')),
        ended(output=[call('{"a":1}')]),
    ) == [
        ToolCallDelta(0, 0, "c", "f", ""),
        ToolCallDelta(0, 0, None, None, '{"a"'),
        ToolCallDelta(0, 0, None, None, ":1}"),
        COMPLETED,
        DONE,
    ]


CALLS = {
    "function_call": (call("{}"), "function_call_arguments", "arguments", ("c", "f", "{}")),
    "custom_tool_call": (
        {"type": "custom_tool_call", "id": "ctc", "call_id": "c", "name": "f", "input": "x y"},
        "custom_tool_call_input",
        "input",
        ("c", "f", "x y"),
    ),
    "mcp_call": (
        {"type": "mcp_call", "id": "mcp", "name": "f", "server_label": "s", "arguments": "{}"},
        "mcp_call_arguments",
        "arguments",
        ("mcp", "f", "{}"),
    ),
}


@pytest.mark.parametrize(("whole", "family", "field", "told"), CALLS.values(), ids=CALLS)
def test_each_kind_of_call_is_told_once_whatever_of_it_is_missing(
    whole: Document, family: str, field: str, told: tuple[str, str, str]
) -> None:
    place = {"item_id": whole["id"], "output_index": 3}
    stream = [
        item("added", {**whole, field: ""}, 3),
        named(f"{family}.delta", **place, delta=whole[field]),
        named(f"{family}.done", **place, **{field: whole[field]}),
        item("done", whole, 3),
    ]
    for missing in range(2 ** len(stream)):
        kept = [event for number, event in enumerate(stream) if not missing & 1 << number]
        assert tool_calls(decoded(*kept, ended(output=[whole]))) == [told]


def test_name_of_a_call_is_taken_from_its_arguments_where_nothing_else_tells_it() -> None:
    done = named("function_call_arguments.done", output_index=0, arguments="{}", name="f")
    assert tool_calls(decoded(done)) == [(None, "f", "{}")]


def test_call_without_a_call_id_has_the_id_of_its_item_once_none_can_follow() -> None:
    nameless = call("{}", call_id=None)
    events = decoded(item("added", nameless), item("done", nameless))
    assert events == [
        ToolCallDelta(0, 0, None, "f", ""),
        ToolCallDelta(0, 0, "fc", None, ""),
        ToolCallDelta(0, 0, None, None, "{}"),
    ]


def test_call_whose_ids_come_with_the_end_has_them() -> None:
    delta = named("function_call_arguments.delta", output_index=0, delta="{}")
    assert tool_calls(decoded(delta, ended(output=[call("{}", call_id=None)]))) == [("fc", "f", "{}")]
    assert tool_calls(decoded(delta, ended(output=[call("{}")]))) == [("c", "f", "{}")]


def test_call_that_was_announced_and_no_more_is_told_at_the_end() -> None:
    events = decoded(item("added", call('{"a":1}', call_id=None)), ended())
    assert tool_calls(events) == [("fc", "f", '{"a":1}')]


def test_object_arguments_are_serialised() -> None:
    [_, event] = decoded(item("done", call({"city": "Tromsø"})))
    assert event == ToolCallDelta(0, 0, None, None, '{"city":"Tromsø"}')


def test_calls_are_numbered_in_the_order_in_which_they_open() -> None:
    first, second = call("1", id="x", call_id="x"), call("2", id="y", call_id="y")
    events = decoded(item("added", first, 7), item("added", second, 2), ended(output=[second, first]))
    assert tool_calls(events) == [("x", "f", "1"), ("y", "f", "2")]


def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    first, second = call("1", id="x", call_id="x"), call("2", id="y", call_id="y")
    delta = named("function_call_arguments.delta", output_index=0)
    events = decoded(
        item("added", {**first, "arguments": ""}),
        item("added", {**second, "arguments": ""}),
        {**delta, "item_id": "x", "delta": "1"},
        {**delta, "item_id": "y", "delta": "2"},
        item("done", first),
        item("done", second),
        ended(output=[first, second]),
    )
    assert tool_calls(events) == [("x", "f", "1"), ("y", "f", "2")]


def test_call_whose_ids_are_invented_anew_at_the_end_is_the_same_call() -> None:
    events = decoded(item("done", call("{}")), ended(output=[call("{}", id="other", call_id="other")]))
    assert tool_calls(events) == [("c", "f", "{}")]


def test_call_whose_ids_are_invented_anew_at_the_end_is_the_same_call_at_another_place_too() -> None:
    whole = call("{}", id="other", call_id="other")
    events = decoded(item("done", REASONING), item("done", call("{}"), 1), ended(output=[whole]))
    assert tool_calls(events) == [("c", "f", "{}")]


@pytest.mark.parametrize("fields", [{"arguments": "[]"}, {"name": "g"}])
def test_other_call_at_the_end_is_another_call(fields: Document) -> None:
    other = {**call("{}", id="other", call_id="other"), **fields}
    events = decoded(item("done", call("{}")), ended(output=[other]))
    assert tool_calls(events) == [("c", "f", "{}"), ("other", other["name"], other["arguments"])]


def test_call_of_which_only_a_piece_came_is_not_taken_for_another_one_at_the_end() -> None:
    delta = named("function_call_arguments.delta", item_id="lost", output_index=2, delta="g")
    assert tool_calls(decoded(delta, ended(output=[call("{}")]))) == [("lost", None, "g"), ("c", "f", "{}")]


def test_call_whose_call_id_is_missing_at_the_end_is_the_same_call() -> None:
    events = decoded(item("done", call("{ }")), ended(output=[call("{}", id=None, call_id=None)]))
    assert tool_calls(events) == [("c", "f", "{ }")]


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"type": "custom_tool_call", "arguments": "", "input": "x"}, "x"),
        ({"type": "custom_tool_call", "arguments": "x"}, "x"),
        ({"type": "function_call", "arguments": "x", "input": ""}, "x"),
        ({"type": "function_call", "input": "x"}, "x"),
    ],
)
def test_arguments_are_found_in_either_field(fields: Document, arguments: str) -> None:
    events = decoded(item("done", {"call_id": "c", "name": "f", **fields}))
    assert tool_calls(events) == [("c", "f", arguments)]


def test_call_that_shares_its_index_with_reasoning_is_not_lost() -> None:
    reasoning = {**REASONING, "content": []}
    events = decoded(item("added", reasoning), item("done", reasoning), item("done", call("{}")))
    assert (spoken(events, ReasoningDelta), tool_calls(events)) == ("Plan: none. ", [("c", "f", "{}")])


# -- any stream --------------------------------------------------------------------------------------------


def test_items_at_the_end_are_known_by_id_although_their_places_have_changed() -> None:
    first, second = message("Hel", id="x"), message("lo", id="y")
    deltas = [text_delta("Hel", item_id="x", output_index=1), text_delta("l", item_id="y", output_index=2)]
    assert spoken(decoded(*deltas, ended(output=[first, second]))) == "Hello"


@pytest.mark.parametrize("place", [{}, {"item_id": None}, {"output_index": None}])
def test_item_that_was_never_streamed_is_told_beside_one_that_was(place: Document) -> None:
    streamed = text_delta("b", **{"output_index": 1, **place})
    events = decoded(streamed, ended(output=[message("a", id="n"), message("b")]))
    assert sorted(spoken(events)) == ["a", "b"]


def test_item_of_new_id_is_known_by_its_place_if_it_begins_with_what_was_said() -> None:
    output = [message("a", id="x"), message("bcd", id="y")]
    as_parts = [text_delta("b", output_index=1), text_delta("c", output_index=1, content_index=1)]
    assert sorted(spoken(decoded(*as_parts, ended(output=output)))) == ["a", "b", "c", "d"]
    output = [message("a", "b", id="x"), message("c", "d", id="y")]
    second_part = text_delta("d", output_index=1, content_index=1)
    assert sorted(spoken(decoded(second_part, ended(output=output)))) == ["a", "b", "c", "d"]


def test_items_that_follow_each_other_at_one_index_are_told_apart() -> None:
    bare = item("added", message(id=None))
    wholes = [item("done", message(text, id=None)) for text in "ab"]
    assert spoken(decoded(bare, wholes[0], bare, wholes[1])) == "ab"


def test_items_that_are_open_at_one_index_at_once_are_told_apart() -> None:
    added = [item("added", message(id=name)) for name in "xy"]
    assert (
        spoken(decoded(*added, item("done", message("b", id="y")), item("done", message("a", id="x"))))
        == "ba"
    )


@pytest.mark.parametrize(
    ("events", "heard"),
    [
        ([item("done", message(text, id=None), None) for text in "ab"], "ab"),
        ([text_delta("a", output_index=None), item("done", message("ab"))], "ab"),
        ([text_delta("a", output_index=None, item_id=None), item("done", message("ab"))], "ab"),
        ([text_delta("a"), item("done", message("ab", id=None))], "ab"),
        ([text_delta("a"), item("done", message("ab"), None)], "ab"),
        ([text_delta("a"), item("added", message()), item("done", message("ab"))], "ab"),
        ([text_delta("a"), item("done", message("ab"), 1)], "aab"),
        ([text_delta("a", output_index=None), item("done", message("ab", id="n"))], "aab"),
        ([text_delta("a", output_index=None), item("done", message("ab", id="n"), None)], "aab"),
        (
            [text_delta("a", item_id=None, output_index=None), item("done", message("ab", id=None), None)],
            "ab",
        ),
        ([item("done", message(text, id=None)) for text in "aa"], "a"),
        ([item("done", message(text), None) for text in "aa"], "a"),
    ],
)
def test_item_is_known_by_whatever_of_its_id_and_index_is_given(events: list[Document], heard: str) -> None:
    assert spoken(decoded(*events)) == heard


def test_item_whose_index_is_told_late_is_known_by_it_from_then_on() -> None:
    events = decoded(
        text_delta("a", output_index=None),
        text_delta("b"),
        text_delta("x", item_id="n", output_index=1),
        text_delta("c", item_id=None),
        ended(output=[message("abcd"), message("x", id="n")]),
    )
    assert spoken(events) == "abxcd"


def test_items_of_different_kinds_are_told_apart_although_id_and_index_are_the_same() -> None:
    reasoning = {**REASONING, "content": [], "id": "m"}
    events = decoded(
        item("added", message()),
        text_delta("Hi"),
        item("done", reasoning),
        named("function_call_arguments.delta", item_id="m", output_index=0, delta="{}"),
        item("done", call("{}", id="m")),
        item("done", message("Hi")),
    )
    assert (spoken(events), spoken(events, ReasoningDelta)) == ("Hi", "Plan: none. ")
    assert tool_calls(events) == [("c", "f", "{}")]


def test_kind_of_an_item_is_told_by_its_id_alone_too() -> None:
    delta = text_delta("Hi", output_index=None)
    events = decoded(
        delta, item("done", {**REASONING, "content": [], "id": "m"}), item("done", message("Hi"))
    )
    assert (spoken(events), spoken(events, ReasoningDelta)) == ("Hi", "Plan: none. ")


def test_calls_whose_items_have_the_same_id_are_told_apart_by_their_call_ids() -> None:
    events = decoded(*(item("done", call("{}", call_id=name)) for name in "xy"))
    assert tool_calls(events) == [("x", "f", "{}"), ("y", "f", "{}")]


def test_part_of_a_message_is_none_of_reasoning_at_the_same_index() -> None:
    part = {"type": "output_text", "text": "Hi"}
    done = named("content_part.done", item_id="m", output_index=0, content_index=0, part=part)
    assert spoken(decoded(item("done", REASONING), done, item("done", message("Hi")))) == "Hi"


def test_items_without_a_type_are_messages_from_the_first_to_the_last_event() -> None:
    typeless = {key: value for key, value in message("Hi").items() if key != "type"}
    events = decoded(item("added", {**typeless, "content": []}), text_delta("Hi"), item("done", typeless))
    assert spoken(events) == "Hi"


def test_text_without_any_address_is_not_told_again() -> None:
    deltas = [text_delta(text, item_id=None, output_index=None) for text in ("a", "b")]
    wholes = [message("a", id="x"), message("b", id="y")]
    assert spoken(decoded(*deltas, ended(output=wholes))) == "ab"
    assert spoken(decoded(*deltas, ended(output=[message("A", id="x"), message("b", id="y")]))) == "ab"


@st.composite
def outputs(draw: st.DrawFn) -> list[Document]:
    """Items of whose texts no two have a character in common."""
    kinds = draw(st.lists(st.sampled_from(["message", "reasoning", "call"]), max_size=4))
    characters = iter(string.ascii_letters)
    output: list[Document] = []
    for number, kind in enumerate(kinds):
        texts = [next(characters) + next(characters) for _ in range(draw(st.integers(1, 2)))]
        if kind == "message":
            output.append(message(*texts, id=f"m{number}"))
        elif kind == "call":
            output.append(call(texts[0], id=f"f{number}", call_id=f"c{number}", name=f"n{number}"))
        else:
            summary = [{"type": "summary_text", "text": text} for text in texts]
            output.append({"type": "reasoning", "id": f"r{number}", "summary": summary})
    return output


FAMILIES = {  # where an item's texts are, and the events that tell them
    "message": ("content", "output_text", "content_index", "text"),
    "reasoning": ("summary", "reasoning_summary_text", "summary_index", "text"),
    "function_call": ("arguments", "function_call_arguments", "part", "arguments"),
}


def streamed(whole: Document, index: int) -> list[Document]:
    """The events that tell of the item, each text in two deltas."""
    key, family, part_index, field = FAMILIES[whole["type"]]
    bare = {**whole, key: type(whole[key])()}
    texts = [whole[key]] if isinstance(whole[key], str) else [part["text"] for part in whole[key]]
    events = [item("added", bare, index)]
    for part, text in enumerate(texts):
        place = {"item_id": whole["id"], "output_index": index, part_index: part}
        events += [named(f"{family}.delta", **place, delta=half) for half in text]
        events.append(named(f"{family}.done", **place, **{field: text}))
    return [*events, item("done", whole, index)]


ADDRESSES = ["all", "no id", "no index", "new ids with every event", "new ids at the end", "shared index"]


def addressed(event: Document, address: str, number: int) -> Document:
    event = dict(event)
    if address == "no index":
        event.pop("output_index", None)
    elif address == "shared index":
        event["output_index"] = 0
    elif address in ("no id", "new ids with every event"):
        event["item_id"] = None if address == "no id" else f"new{number}"
        if "item" in event:
            event["item"] = {**event["item"], "id": event.pop("item_id")}
    return event


def without(events: list[Document], lost: set[int], address: str) -> list[Document]:
    """Some events fewer. Where the first half of a text is lost, so is the second: such a gap stays open."""
    if address == "shared index":  # only what is said of an item itself tells it from its neighbour
        lost = {number for number in lost if number < len(events) and "item" not in events[number]}
    kept: list[Document] = []
    for number, event in enumerate(events):
        is_second = event["type"].endswith("delta") and events[number - 1]["type"] == event["type"]
        if number not in lost and not (is_second and number - 1 in lost):
            kept.append(event)
    return kept


@given(outputs(), st.sampled_from(ADDRESSES), st.sets(st.integers(0, 36)))
def test_each_text_is_told_once_whatever_events_are_lost_and_however_they_are_addressed(
    output: list[Document], address: str, lost: set[int]
) -> None:
    events = without(
        [event for index, whole in enumerate(output) for event in streamed(whole, index)], lost, address
    )
    events = [addressed(event, address, number) for number, event in enumerate(events)]
    whole = [{**item, "id": f"end{item['id']}"} for item in output] if "new ids" in address else output
    told, expected = decoded(*events, ended(output=whole)), decoded(ended(output=output))
    assert sorted(spoken(told)) == sorted(spoken(expected))
    assert sorted(spoken(told, ReasoningDelta)) == sorted(spoken(expected, ReasoningDelta))
    assert sorted(map(str, tool_calls(told))) == sorted(map(str, tool_calls(expected)))


@given(outputs(), st.sampled_from(ADDRESSES))
def test_stream_whose_end_has_an_empty_output_loses_nothing(output: list[Document], address: str) -> None:
    events = [event for index, whole in enumerate(output) for event in streamed(whole, index)]
    events = [addressed(event, address, number) for number, event in enumerate(events)]
    told = decoded(*events, ended())
    said = decoded(ended(output=output))
    assert spoken(told, TextDelta) == spoken(said, TextDelta)
    assert spoken(told, ReasoningDelta) == spoken(said, ReasoningDelta)
    assert tool_calls(told) == tool_calls(said)


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (named("some_future_event"), "message", True),
        ({"delta": "a"}, "response.output_text.delta", True),
        ({"type": "keepalive"}, "response.keepalive", False),
        ({"type": "keepalive"}, "message", False),
        ("response.", "message", False),
        ("[" * 100_000, "message", False),
    ],
)
def test_event_of_a_response_is_told_from_a_keep_alive(data: object, name: str, expected: bool) -> None:
    assert is_response_event(sent(data, name)) is expected


# -- whole responses ---------------------------------------------------------------------------------------


def test_whole_response_says_what_its_stream_would() -> None:
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
def test_whole_response_ends_as_its_status_tells(document: Document, expected: list[ChatEvent]) -> None:
    assert response_events(document) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [({"object": "response"}, True), ({"output": []}, True), ({"output": None}, False), ({}, False)],
)
def test_response_is_known_by_its_object_or_its_output(document: Document, expected: bool) -> None:
    assert is_response(document) is expected


# -- anything at all ---------------------------------------------------------------------------------------

KEYS = [
    "type",
    "id",
    "item_id",
    "call_id",
    "name",
    "content",
    "summary",
    "text",
    "delta",
    "arguments",
    "part",
]
KEYS += ["output_index", "content_index", "response", "output", "status", "error", "item", "message", "usage"]
FAMILY_NAMES = ["output_item", "content_part", "output_text", "refusal", "reasoning_text"]
FAMILY_NAMES += ["reasoning_summary_part", "reasoning_summary_text", "function_call_arguments"]
NAMES = [f"{family}.{step}" for family in FAMILY_NAMES for step in ("added", "delta", "done")]
NAMES += ["created", "completed", "failed"]
types = st.sampled_from(["message", "reasoning", "function_call", "output_text", "refusal", "summary_text"])
scalars = st.none() | st.integers(-1, 1) | st.floats() | st.text(st.characters(), max_size=3) | types
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=5,
)
part_values = st.fixed_dictionaries({"type": types | values, "text": values})
items = st.fixed_dictionaries(
    {"type": types | values},
    optional={
        "content": st.lists(part_values, max_size=2) | values,
        **dict.fromkeys(("id", "call_id"), values),
    },
)
documents = st.fixed_dictionaries(
    {"output": st.lists(items | values, max_size=3) | values},
    optional=dict.fromkeys(("id", "model", "status", "error", "usage", "incomplete_details"), values),
)
any_events = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{name}" for name in NAMES]) | values},
    optional={
        "item": items | values,
        "response": documents | values,
        "part": part_values | values,
        **dict.fromkeys(("output_index", "item_id", "content_index", "delta", "text", "error"), values),
    },
)


@given(
    st.lists(any_events | values | st.text(max_size=20), max_size=6),
    st.sampled_from(["message", "error", "x"]),
)
@example(["[" * 100_000, '{"response":' * 50_000], "message")
@example(["[" * 100_000], "error")
def test_no_data_at_all_makes_the_decoder_raise(data: list[Any], name: str) -> None:
    events = decoded(*data, event=name)
    for event in events:
        if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta):
            assert event.text
            event.text.encode()  # well-formed, or this raises
        if isinstance(event, ToolCallDelta):
            event.arguments.encode()
    assert sum(isinstance(event, ChoiceFinished) for event in events) <= 1


@given(documents)
def test_no_document_makes_response_events_raise(document: Document) -> None:
    events = response_events(document)
    assert DONE not in events or events[-1] == DONE
