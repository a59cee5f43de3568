"""What the terminal shows of a transcript."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.console import Terminal, transcript_line


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


def printed(capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    terminal = Terminal()
    terminal.print_line(*lines)
    terminal.close()
    return capsys.readouterr().out


def test_an_answer_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    response = {"model": "m\nready: http://elsewhere", "choices": [{"content": "\x1b[2Jred"}]}
    shown = printed(capsys, transcript_line(json.dumps(transcript(response=response))))
    assert "\x1b" not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("character", ["\x1b", "\r", "\n", "\x9b", "\u202e", "\ud800"])
def test_no_line_steers_the_terminal_or_ends_its_thread(
    capsys: pytest.CaptureFixture[str], character: str
) -> None:
    shown = printed(capsys, f"[function url] GET /a{character}b\tc", "next")
    assert shown in ("[function url] GET /a b\tc\nnext\n", "[function url] GET /a?b\tc\nnext\n")


@pytest.mark.parametrize("message", ["", "[]", "{}", '{"response": 1}'])
def test_a_message_in_another_form_is_shown_and_breaks_nothing(message: str) -> None:
    line = transcript_line(message)
    assert line.startswith("[transcript] not in the form expected")
