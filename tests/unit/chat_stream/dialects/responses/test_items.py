"""The item that an event of a response belongs to, however the upstream numbers and identifies items."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.dialects.responses.events import is_response_event
from chat_stream.events import ReasoningDelta, TextDelta
from tests.support.dialects.response_events import (
    REASONING,
    Document,
    call,
    decoded,
    ended,
    item,
    message,
    named,
    sent,
    text_delta,
    tool_calls,
    unbroken_text,
)


def test_final_items_are_matched_by_id_although_their_order_has_changed() -> None:
    first, second = message("Hel", id="x"), message("lo", id="y")
    deltas = [text_delta("Hel", item_id="x", output_index=1), text_delta("l", item_id="y", output_index=2)]
    assert unbroken_text(decoded(*deltas, ended(output=[first, second]))) == "Hello"


@pytest.mark.parametrize("place", [{}, {"item_id": None}, {"output_index": None}])
def test_final_item_that_was_never_streamed_is_emitted(place: Document) -> None:
    streamed = text_delta("b", **{"output_index": 1, **place})
    events = decoded(streamed, ended(output=[message("a", id="n"), message("b")]))
    assert sorted(unbroken_text(events)) == ["a", "b"]


def test_final_item_with_a_new_id_is_matched_by_index_if_its_text_begins_alike() -> None:
    output = [message("a", id="x"), message("bcd", id="y")]
    as_parts = [text_delta("b", output_index=1), text_delta("c", output_index=1, content_index=1)]
    assert sorted(unbroken_text(decoded(*as_parts, ended(output=output)))) == ["a", "b", "c", "d"]
    output = [message("a", "b", id="x"), message("c", "d", id="y")]
    second_part = text_delta("d", output_index=1, content_index=1)
    assert sorted(unbroken_text(decoded(second_part, ended(output=output)))) == ["a", "b", "c", "d"]


def test_consecutive_items_at_one_index_are_distinguished() -> None:
    bare = item("added", message(id=None))
    wholes = [item("done", message(text, id=None)) for text in "ab"]
    assert unbroken_text(decoded(bare, wholes[0], bare, wholes[1])) == "ab"


def test_open_items_at_one_index_are_distinguished() -> None:
    added = [item("added", message(id=name)) for name in "xy"]
    assert (
        unbroken_text(decoded(*added, item("done", message("b", id="y")), item("done", message("a", id="x"))))
        == "ba"
    )


@pytest.mark.parametrize(
    ("events", "expected"),
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
def test_item_is_found_by_its_id_or_index_alone(events: list[Document], expected: str) -> None:
    assert unbroken_text(decoded(*events)) == expected


def test_item_is_found_by_an_index_that_is_sent_late() -> None:
    events = decoded(
        text_delta("a", output_index=None),
        text_delta("b"),
        text_delta("x", item_id="n", output_index=1),
        text_delta("c", item_id=None),
        ended(output=[message("abcd"), message("x", id="n")]),
    )
    assert unbroken_text(events) == "abxcd"


def test_items_of_different_kinds_with_the_same_id_and_index_are_distinguished() -> None:
    reasoning = {**REASONING, "content": [], "id": "m"}
    events = decoded(
        item("added", message()),
        text_delta("Hi"),
        item("done", reasoning),
        named("function_call_arguments.delta", item_id="m", output_index=0, delta="{}"),
        item("done", call("{}", id="m")),
        item("done", message("Hi")),
    )
    assert (unbroken_text(events), unbroken_text(events, ReasoningDelta)) == ("Hi", "Plan: none. ")
    assert tool_calls(events) == [("c", "f", "{}")]


def test_item_of_a_kind_is_found_by_its_id_alone() -> None:
    delta = text_delta("Hi", output_index=None)
    events = decoded(
        delta, item("done", {**REASONING, "content": [], "id": "m"}), item("done", message("Hi"))
    )
    assert (unbroken_text(events), unbroken_text(events, ReasoningDelta)) == ("Hi", "Plan: none. ")


def test_calls_with_the_same_item_id_are_distinguished_by_call_id() -> None:
    events = decoded(*(item("done", call("{}", call_id=name)) for name in "xy"))
    assert tool_calls(events) == [("x", "f", "{}"), ("y", "f", "{}")]


def test_part_of_a_message_does_not_belong_to_reasoning_at_its_index() -> None:
    part = {"type": "output_text", "text": "Hi"}
    done = named("content_part.done", item_id="m", output_index=0, content_index=0, part=part)
    assert unbroken_text(decoded(item("done", REASONING), done, item("done", message("Hi")))) == "Hi"


def test_items_without_a_type_are_messages_in_every_event() -> None:
    typeless = {key: value for key, value in message("Hi").items() if key != "type"}
    events = decoded(item("added", {**typeless, "content": []}), text_delta("Hi"), item("done", typeless))
    assert unbroken_text(events) == "Hi"


def test_text_without_id_or_index_is_not_repeated() -> None:
    deltas = [text_delta(text, item_id=None, output_index=None) for text in ("a", "b")]
    wholes = [message("a", id="x"), message("b", id="y")]
    assert unbroken_text(decoded(*deltas, ended(output=wholes))) == "ab"
    assert unbroken_text(decoded(*deltas, ended(output=[message("A", id="x"), message("b", id="y")]))) == "ab"


@st.composite
def outputs(draw: st.DrawFn) -> list[Document]:
    """Items whose texts have no characters in common."""
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


FAMILIES = {  # by type of item: the field with its texts, the family of its events, and two fields of those
    "message": ("content", "output_text", "content_index", "text"),
    "reasoning": ("summary", "reasoning_summary_text", "summary_index", "text"),
    "function_call": ("arguments", "function_call_arguments", "part", "arguments"),
}


def streamed(whole: Document, index: int) -> list[Document]:
    """The events of an item, each text in two deltas."""
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


def with_ids(event: Document, address: str, number: int) -> Document:
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


def remaining(events: list[Document], lost: set[int], address: str) -> list[Document]:
    """The events except the lost ones. A second delta is removed if the first one of its text is lost."""
    if address == "shared index":  # only item events distinguish items at one index
        lost = {number for number in lost if number < len(events) and "item" not in events[number]}
    kept: list[Document] = []
    for number, event in enumerate(events):
        is_second = event["type"].endswith("delta") and events[number - 1]["type"] == event["type"]
        if number not in lost and not (is_second and number - 1 in lost):
            kept.append(event)
    return kept


@given(outputs(), st.sampled_from(ADDRESSES), st.sets(st.integers(0, 36)))
def test_each_text_is_emitted_once_whatever_events_and_ids_are_missing(
    output: list[Document], address: str, lost: set[int]
) -> None:
    events = remaining(
        [event for index, whole in enumerate(output) for event in streamed(whole, index)], lost, address
    )
    events = [with_ids(event, address, number) for number, event in enumerate(events)]
    whole = [{**item, "id": f"end{item['id']}"} for item in output] if "new ids" in address else output
    emitted, expected = decoded(*events, ended(output=whole)), decoded(ended(output=output))
    assert sorted(unbroken_text(emitted)) == sorted(unbroken_text(expected))
    assert sorted(unbroken_text(emitted, ReasoningDelta)) == sorted(unbroken_text(expected, ReasoningDelta))
    assert sorted(map(str, tool_calls(emitted))) == sorted(map(str, tool_calls(expected)))


@given(outputs(), st.sampled_from(ADDRESSES))
def test_empty_final_output_loses_no_text(output: list[Document], address: str) -> None:
    events = [event for index, whole in enumerate(output) for event in streamed(whole, index)]
    events = [with_ids(event, address, number) for number, event in enumerate(events)]
    emitted = decoded(*events, ended())
    expected = decoded(ended(output=output))
    assert unbroken_text(emitted, TextDelta) == unbroken_text(expected, TextDelta)
    assert unbroken_text(emitted, ReasoningDelta) == unbroken_text(expected, ReasoningDelta)
    assert tool_calls(emitted) == tool_calls(expected)


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
def test_response_events_are_distinguished_from_keep_alives(data: object, name: str, expected: bool) -> None:
    assert is_response_event(sent(data, name)) is expected
