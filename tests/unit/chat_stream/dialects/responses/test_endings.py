"""The events that end a response, by their names or by the status of the response in them."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.events import AnswerStarted, ChatEvent, ChoiceFinished, UsageReported
from tests.support.dialects.response_events import (
    CANCELLED,
    COMPLETED,
    DONE,
    FAILED,
    Document,
    decoded,
    named,
)

RESPONSE = {"id": "r", "object": "response", "model": "m", "output": [], "usage": {"total_tokens": 1}}
STARTED = AnswerStarted("r", "m")
USED = UsageReported({"total_tokens": 1})


def endings_of(event: Document, name: str = "message") -> list[ChatEvent]:
    return [expected for expected in decoded(event, event=name) if expected not in (STARTED, USED)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", [COMPLETED, DONE]),
        ("incomplete", [ChoiceFinished(0, "incomplete", is_cut_short=True), DONE]),
        ("failed", [ChoiceFinished(0, "failed"), FAILED]),
        ("cancelled", [CANCELLED]),
        ("canceled", [CANCELLED]),
        ("in_progress", []),
        ("queued", []),
        ("some_future_status", []),
        (5, []),
    ],
)
def test_status_decides_the_ending_of_an_event_by_another_name(status: Any, expected: list[Any]) -> None:
    response = {**RESPONSE, "status": status, "error": {"message": "m"} if status == "failed" else None}
    for name in ("response.done", "done", "response.finished", "other.end"):
        assert endings_of({"type": name, "response": response}) == expected
        assert endings_of({"response": response}, name) == expected
    assert endings_of({"response": response}) == expected
    assert endings_of(response) == expected
    assert endings_of({"type": "response.done", **response}) == expected
    assert endings_of({"sequence_number": 5, **response}, "done") == expected


@pytest.mark.parametrize("name", ["created", "queued", "in_progress"])
def test_progress_event_ends_nothing_whatever_its_status(name: str) -> None:
    response = {**RESPONSE, "status": "completed"}
    assert endings_of(named(name, response=response)) == []
    assert endings_of(named(name, **response)) == []


def test_usage_and_id_are_read_from_an_ending_by_another_name() -> None:
    response = {**RESPONSE, "status": "completed"}
    ends = [STARTED, USED, COMPLETED, DONE]
    assert decoded({"type": "response.done", "response": response}) == ends
    assert decoded({"type": "response.completed", **response}) == ends
    usage = response.pop("usage")
    assert decoded({"type": "response.done", "response": response, "usage": usage}) == ends


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (named("done"), [COMPLETED, DONE]),
        (named("done", response={"usage": {}}), [COMPLETED, DONE]),
        (named("done", error={"message": "m"}), [ChoiceFinished(0, "failed"), FAILED]),
        (named("failed", message="m"), [ChoiceFinished(0, "failed"), FAILED]),
        ({"type": "done"}, []),
        ({"type": "codex.rate_limits", "rate_limits": {"limit_reached": True}}, []),
        ({"type": "other", "status": "completed"}, []),
    ],
)
def test_name_decides_the_ending_of_an_event_without_a_status(
    event: Document, expected: list[ChatEvent]
) -> None:
    assert endings_of(event) == expected
