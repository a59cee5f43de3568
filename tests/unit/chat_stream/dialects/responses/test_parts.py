"""The parts of a response: each text is emitted once and without gaps, and so is each call."""

from __future__ import annotations

import json

import pytest

from chat_stream.events import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from tests.support.dialects.response_events import (
    COMPLETED,
    DONE,
    RAW,
    REASONING,
    SUMMARY,
    Document,
    call,
    decoded,
    ended,
    item,
    message,
    named,
    text_delta,
    text_of,
    tool_calls,
)

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
    ("streamed", "expected"),
    [
        ([], "Hello"),
        (["Hel"], "Hello"),
        (["Hel", "lo"], "Hello"),
        (["Hullo"], "Hullo"),
        (["Hello!"], "Hello!"),
    ],
)
def test_gap_is_filled_from_any_done_event_and_emitted_text_stands(
    done: Document, streamed: list[str], expected: str
) -> None:
    events = decoded(*map(text_delta, streamed), done)
    assert text_of(events) == expected


def test_text_repeated_by_every_done_event_is_emitted_once() -> None:
    events = decoded(*WAYS_TO_BE_DONE.values(), *WAYS_TO_BE_DONE.values())
    assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta(0, "Hello")]


def test_empty_final_output_changes_nothing() -> None:
    assert decoded(text_delta("Hi"), ended(output=[])) == [TextDelta(0, "Hi"), COMPLETED, DONE]


@pytest.mark.parametrize(
    "done", [[item("done", REASONING)], [ended(output=[REASONING])], [item("done", REASONING)] * 2]
)
def test_reasoning_without_deltas_is_read_from_the_complete_item(done: list[Document]) -> None:
    assert text_of(decoded(*done), ReasoningDelta) == "Plan: none. Easy."


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (named("reasoning_summary_text.done", output_index=0, summary_index=0, text="Plan: "), "Plan: "),
        (named("reasoning_text.done", output_index=0, content_index=0, text="Easy."), "Easy."),
        (named("reasoning_summary_part.done", output_index=0, summary_index=1, part=SUMMARY[1]), "none. "),
        (named("content_part.done", output_index=0, content_index=0, part=RAW), "Easy."),
    ],
)
def test_reasoning_without_deltas_is_read_from_its_parts(done: Document, expected: str) -> None:
    key, kind = ("content", "reasoning_text") if expected == "Easy." else ("summary", "summary_text")
    whole = item("done", {"id": "r", "type": "reasoning", key: [{"type": kind, "text": expected}]})
    assert decoded(done, done, whole) == [ReasoningDelta(0, expected)]


def test_refusal_is_completed_like_text_and_kept_separate() -> None:
    part = {"type": "refusal", "refusal": "I can't."}
    delta = named("refusal.delta", item_id="m", output_index=0, content_index=1, delta="I ")
    done = named("refusal.done", item_id="m", output_index=0, content_index=1, refusal="I can't.")
    whole = message("Hm. ", content=[message("Hm. ")["content"][0], part])
    events = decoded(text_delta("Hm. "), delta, done, item("done", whole), ended(output=[whole]))
    assert (text_of(events), text_of(events, RefusalDelta)) == ("Hm. ", "I can't.")


def test_gap_between_parts_is_filled_part_by_part() -> None:
    events = decoded(text_delta("a"), text_delta("c", content_index=1), item("done", message("ab", "cd")))
    assert events == [TextDelta(0, "a"), TextDelta(0, "c"), TextDelta(0, "b"), TextDelta(0, "d")]


def test_deltas_without_a_part_index_are_compared_with_the_whole_item() -> None:
    deltas = [text_delta(text, content_index=None) for text in ("ab", "cd")]
    assert text_of(decoded(*deltas, item("done", message("ab", "cde")))) == "abcde"
    assert text_of(decoded(*deltas, item("done", message("ab", "xy")))) == "abcd"


@pytest.mark.parametrize("whole", ["The user", "The user asks", "The", "Thee", " The user"])
def test_deltas_with_a_part_index_each_are_not_repeated(whole: str) -> None:
    deltas = [text_delta("The", content_index=0), text_delta(" user", content_index=1)]
    done = named("output_text.done", item_id="m", output_index=0, content_index=1, text=whole)
    events = decoded(*deltas, done, item("done", message(whole)), ended(output=[message(whole)]))
    assert text_of(events) == (whole if whole.startswith("The user") else "The user")


@pytest.mark.parametrize("item_id", ["r", None])
def test_output_text_in_a_reasoning_item_is_reasoning(item_id: str | None) -> None:
    delta = named("reasoning_text.delta", item_id="r", output_index=0, content_index=0, delta="Easy")
    part = {"type": "output_text", "text": "Easy."}
    done = named("content_part.done", item_id=item_id, output_index=0, content_index=0, part=part)
    whole = {"id": "r", "type": "reasoning", "summary": [], "content": [part]}
    events = decoded(item("added", {**whole, "content": []}), delta, done, item("done", whole))
    assert events == [ReasoningDelta(0, "Easy"), ReasoningDelta(0, ".")]


def test_reasoning_sent_as_text_and_as_summary_is_emitted_once() -> None:
    events = decoded(
        *(
            named(f"{name}.delta", item_id="r", output_index=0, delta=text)
            for text in ("The", " user")
            for name in ("reasoning_text", "reasoning_summary_text")
        ),
        named("reasoning_summary_text.done", item_id="r", output_index=0, summary_index=0, text="The user"),
    )
    assert events == [ReasoningDelta(0, "The"), ReasoningDelta(0, " user")]


def test_summary_that_only_begins_like_the_reasoning_is_emitted() -> None:
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


def test_reasoning_part_of_a_message_is_emitted_once() -> None:
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
    ("document", "expected"),
    [
        ({"content": [{"type": "output_text", "text": "a"}]}, ["a"]),
        ({"type": "message", "content": [{"type": "text", "text": "a"}, {"text": "b"}, "c"]}, ["a"]),
        ({"type": "message", "content": [], "summary": SUMMARY}, []),
        ({"type": "program", "content": [{"type": "output_text", "text": "a"}]}, []),
        ({"text": "a"}, []),
    ],
)
def test_only_messages_and_reasoning_have_parts(document: Document, expected: list[str]) -> None:
    assert decoded(item("done", document)) == [TextDelta(0, text) for text in expected]


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
    assert text_of(decoded(text_delta("a\ud83d"), end)) == "a\ufffd"


@pytest.mark.parametrize("done", WAYS_TO_BE_DONE)
def test_half_pair_is_completed_by_the_complete_text(done: str) -> None:
    whole = json.loads(json.dumps(WAYS_TO_BE_DONE[done]).replace("Hello", "a\\ud83d\\ude00b"))
    assert text_of(decoded(text_delta("a\ud83d"), whole, ended())) == "a😀b"


# -- calls -------------------------------------------------------------------------------------------------


def test_call_is_emitted_with_its_call_id_and_streamed_arguments() -> None:
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


@pytest.mark.parametrize(("whole", "family", "field", "emitted"), CALLS.values(), ids=CALLS)
def test_each_kind_of_call_is_emitted_once_whatever_events_are_lost(
    whole: Document, family: str, field: str, emitted: tuple[str, str, str]
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
        assert tool_calls(decoded(*kept, ended(output=[whole]))) == [emitted]


def test_name_of_a_call_is_read_from_its_arguments_event_if_missing_elsewhere() -> None:
    done = named("function_call_arguments.done", output_index=0, arguments="{}", name="f")
    assert tool_calls(decoded(done)) == [(None, "f", "{}")]


def test_call_without_a_call_id_gets_its_item_id_once_it_is_complete() -> None:
    nameless = call("{}", call_id=None)
    events = decoded(item("added", nameless), item("done", nameless))
    assert events == [
        ToolCallDelta(0, 0, None, "f", ""),
        ToolCallDelta(0, 0, "fc", None, ""),
        ToolCallDelta(0, 0, None, None, "{}"),
    ]


def test_ids_of_a_call_may_follow_with_the_final_output() -> None:
    delta = named("function_call_arguments.delta", output_index=0, delta="{}")
    assert tool_calls(decoded(delta, ended(output=[call("{}", call_id=None)]))) == [("fc", "f", "{}")]
    assert tool_calls(decoded(delta, ended(output=[call("{}")]))) == [("c", "f", "{}")]


def test_call_that_was_only_announced_is_emitted_at_the_end() -> None:
    events = decoded(item("added", call('{"a":1}', call_id=None)), ended())
    assert tool_calls(events) == [("fc", "f", '{"a":1}')]


def test_object_arguments_are_serialised() -> None:
    [_, event] = decoded(item("done", call({"city": "Tromsø"})))
    assert event == ToolCallDelta(0, 0, None, None, '{"city":"Tromsø"}')


def test_calls_are_numbered_in_the_order_in_which_they_open() -> None:
    first, second = call("1", id="x", call_id="x"), call("2", id="y", call_id="y")
    events = decoded(item("added", first, 7), item("added", second, 2), ended(output=[second, first]))
    assert tool_calls(events) == [("x", "f", "1"), ("y", "f", "2")]


def test_calls_that_share_an_index_are_distinguished_by_id() -> None:
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


def test_call_with_new_ids_in_the_final_output_is_the_same_call() -> None:
    events = decoded(item("done", call("{}")), ended(output=[call("{}", id="other", call_id="other")]))
    assert tool_calls(events) == [("c", "f", "{}")]


def test_call_with_new_ids_at_another_index_is_the_same_call() -> None:
    whole = call("{}", id="other", call_id="other")
    events = decoded(item("done", REASONING), item("done", call("{}"), 1), ended(output=[whole]))
    assert tool_calls(events) == [("c", "f", "{}")]


@pytest.mark.parametrize("fields", [{"arguments": "[]"}, {"name": "g"}])
def test_different_call_in_the_final_output_is_another_call(fields: Document) -> None:
    other = {**call("{}", id="other", call_id="other"), **fields}
    events = decoded(item("done", call("{}")), ended(output=[other]))
    assert tool_calls(events) == [("c", "f", "{}"), ("other", other["name"], other["arguments"])]


def test_partly_streamed_call_is_not_matched_with_a_different_call() -> None:
    delta = named("function_call_arguments.delta", item_id="lost", output_index=2, delta="g")
    assert tool_calls(decoded(delta, ended(output=[call("{}")]))) == [("lost", None, "g"), ("c", "f", "{}")]


def test_call_without_a_call_id_in_the_final_output_is_the_same_call() -> None:
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
def test_arguments_are_read_from_either_field(fields: Document, arguments: str) -> None:
    events = decoded(item("done", {"call_id": "c", "name": "f", **fields}))
    assert tool_calls(events) == [("c", "f", arguments)]


def test_call_that_shares_its_index_with_reasoning_is_not_lost() -> None:
    reasoning = {**REASONING, "content": []}
    events = decoded(item("added", reasoning), item("done", reasoning), item("done", call("{}")))
    assert (text_of(events, ReasoningDelta), tool_calls(events)) == ("Plan: none. ", [("c", "f", "{}")])
