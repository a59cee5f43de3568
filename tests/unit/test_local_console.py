"""What the terminal shows of a transcript."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.console import transcript_line


def transcript(**changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "content": "Hello  there,\nfriend"}
    basis = {
        "id": "id-1",
        "outcome": "completed",
        "reason": None,
        "caller": "web",
        "route": "/chatCompletion",
        "request": {"model": "asked"},
        "response": {"model": "answered", "choices": [choice]},
        "timings": {"duration_ms": 12},
    }
    return basis | changes


def test_a_transcript_is_one_line_with_what_matters() -> None:
    line = transcript_line(json.dumps(transcript()))
    assert line == (
        "[transcript] id-1  completed  answered  /chatCompletion  caller=web  12 ms  20 characters"
        '  "Hello there, friend"'
    )


def test_an_answer_that_failed_shows_its_reason_and_the_model_asked_for() -> None:
    failed = transcript(outcome="failed", reason="upstream_error", response={"model": None, "choices": []})
    assert "failed (upstream_error)  asked" in transcript_line(json.dumps(failed))


def test_a_long_answer_is_cut_between_words() -> None:
    response = {"model": "m", "choices": [{"content": "word " * 100}]}
    line = transcript_line(json.dumps(transcript(response=response)))
    assert line.endswith('word …"')
    assert len(line) < 200


def test_an_answer_cannot_steer_the_terminal() -> None:
    response = {"model": "m", "choices": [{"content": "\x1b[2Jred"}]}
    assert "\x1b" not in transcript_line(json.dumps(transcript(response=response)))


@pytest.mark.parametrize("message", ["", "[]", "{}", '{"response": 1}', "\x1b["])
def test_a_message_in_another_form_is_shown_and_breaks_nothing(message: str) -> None:
    line = transcript_line(message)
    assert line.startswith("[transcript] not in the form expected")
    assert "\x1b" not in line
