"""The messages of a response are separated by a blank line."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.dialects.responses.events import response_events
from chat_stream.events import ReasoningDelta, RefusalDelta
from tests.support.dialects.response_events import (
    REASONING,
    SUMMARY,
    Document,
    call,
    decoded,
    ended,
    item,
    message,
    text_delta,
    text_of,
)


def announced(text: str, name: str, index: int, **fields: Any) -> list[Document]:
    whole = message(text, id=name, **fields)
    deltas = [text_delta(character, item_id=name, output_index=index) for character in text]
    return [item("added", {**whole, "content": []}, index), *deltas, item("done", whole, index)]


PHASES = [
    *announced("ab", "x", 0, phase="commentary"),
    item("done", call("{}"), 1),
    *announced("cd", "y", 2, phase="final_answer"),
]


@pytest.mark.parametrize("lost", ["deltas", "added", "done", "nothing"])
def test_messages_are_separated_by_a_blank_line_whatever_events_are_lost(lost: str) -> None:
    kept = [event for event in PHASES if lost not in event["type"] and f"{lost}s" != event["type"]]
    if lost == "deltas":
        kept = [event for event in PHASES if not event["type"].endswith("delta")]
    output = [message("ab", id="x"), call("{}"), message("cd", id="y")]
    if lost != "added":  # an item that was never announced may continue another one
        assert text_of(decoded(*kept, ended(output=output))) == "ab\n\ncd"
    assert text_of(decoded(ended(output=output))) == "ab\n\ncd"
    assert text_of(response_events({"status": "completed", "output": output})) == "ab\n\ncd"


def test_deltas_with_a_new_item_id_each_are_one_text() -> None:
    deltas = [text_delta(text, item_id=text, output_index=None) for text in "abcd"]
    assert text_of(decoded(*deltas, ended(output=[message("abcde")]))) == "abcde"


def test_parts_of_one_message_are_one_text() -> None:
    assert text_of(decoded(item("done", message("a", "b")))) == "ab"


def test_no_break_precedes_a_refusal_after_text_or_text_after_reasoning() -> None:
    refusal = message(content=[{"type": "refusal", "refusal": "No."}], id="n")
    events = decoded(item("done", REASONING), item("done", message("a"), 1), item("done", refusal, 2))
    assert (text_of(events), text_of(events, RefusalDelta)) == ("a", "No.")


def test_reasoning_items_are_separated_by_a_blank_line() -> None:
    wholes = [{**REASONING, "id": name, "content": [], "summary": SUMMARY[:1]} for name in "xy"]
    events = decoded(item("done", wholes[0]), item("done", message("a"), 1), item("done", wholes[1], 2))
    assert text_of(events, ReasoningDelta) == "Plan: \n\nPlan: "
