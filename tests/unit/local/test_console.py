"""What the terminal shows of transcripts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    TextDelta,
    UsageReported,
)
from chat_stream.transcripts.content import TranscriptContent, reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript
from local.console import Terminal, clock, coloured, transcript_line
from tests.support.transcripts.transcript_strategies import built

BUCKET = "transcripts"


def answered(text: str, *events: ChatEvent, model: str = "answered") -> Transcript:
    started, finished = AnswerStarted("chatcmpl-1", model), ChoiceFinished(0, "stop")
    return transcript(started, TextDelta(0, text), *events, finished)


def transcript(*events: ChatEvent) -> Transcript:
    request = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "parameters": {}}
    return built(list(events), id="id-1", caller="web", route="/chatCompletion", request=request)


def line_of(shown: Transcript | TranscriptPointer, **objects: bytes) -> str:
    """The line for a message with this body; `objects` are the contents of buckets, by the bucket's name."""
    message = {"Body": shown.to_json().decode()}
    return transcript_line(message, lambda bucket, key: objects[bucket])


def test_an_answer_is_one_line_with_its_figures() -> None:
    usage = UsageReported({"prompt_tokens": 12, "completion_tokens": 97})
    document = answered("Hello", usage).document
    document["timings"] |= {"time_to_first_token_ms": 210, "duration_ms": 2210}
    moment = clock(document["timings"]["started_at"])
    assert line_of(Transcript(document)) == (
        f"[transcript] {moment}  answered  completed  first token 0.21 s  48 tokens/s  12 + 97 tokens  id-1"
    )


def test_a_reason_or_a_model_that_might_be_a_prompt_is_not_shown() -> None:
    failed = transcript(AnswerStarted("i", "the prompt"), AnswerFailed("no", "the prompt", None, None, None))
    assert "  failed (upstream_error)  " in line_of(failed)
    assert "the prompt" not in line_of(failed)


def test_unknown_figures_are_left_out() -> None:
    document = transcript(AnswerFailed("no", "upstream_error", None, None, None)).document
    moment = clock(document["timings"]["started_at"])
    assert line_of(Transcript(document)) == f"[transcript] {moment}  asked  failed (upstream_error)  id-1"


def test_a_pointer_is_shown_as_its_transcript() -> None:
    large = answered("large " * 10)
    body = large.to_json()
    pointer = TranscriptPointer.to(large, body, BUCKET)
    assert line_of(pointer, transcripts=body) == line_of(large)


def test_a_pointer_to_another_object_is_shown_as_an_error() -> None:
    pointer = TranscriptPointer.to(answered("one"), answered("one").to_json(), BUCKET)
    assert "not in the expected form: pointer.sha256" in line_of(pointer, transcripts=b"{}")


@pytest.mark.parametrize("content", ["answer", "none"])
def test_a_transcript_with_part_of_the_conversation_is_shown_too(content: TranscriptContent) -> None:
    assert line_of(reduced(answered("Hello"), content)) == line_of(answered("Hello"))


def printed(capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    terminal = Terminal()
    terminal.print_line(*lines)
    terminal.close()
    return capsys.readouterr().out


def test_an_answer_cannot_send_control_characters_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, line_of(answered("red", model="\x1b[2Jm\nready: http://elsewhere")))
    assert "\x1b" not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("character", ["\x1b", "\r", "\n", "\x9b", "\u202e", "\ud800"])
def test_no_line_sends_control_characters_to_the_terminal_or_ends_its_thread(
    capsys: pytest.CaptureFixture[str], character: str
) -> None:
    shown = printed(capsys, f"[function url] GET /a{character}b\tc", "next")
    assert shown in ("[function url] GET /a b\tc\nnext\n", "[function url] GET /a?b\tc\nnext\n")


def test_a_pipe_gets_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in printed(capsys, line_of(answered("Hello")))


@pytest.mark.parametrize(("no_colour", "has_colours"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_it_is_told_not_to(
    monkeypatch: pytest.MonkeyPatch, no_colour: str, has_colours: bool
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("NO_COLOR", no_colour)
    terminal = Terminal()
    terminal.print_line(line_of(answered("Hello")))
    terminal.close()
    assert ("\x1b[32mcompleted\x1b[0m" in screen.getvalue()) is has_colours


def test_only_the_word_for_the_outcome_has_a_colour() -> None:
    assert coloured("[refused] 14:03:09  401") == "\x1b[33m[refused]\x1b[0m 14:03:09  401"
    assert coloured("[f 1] ERROR it failed") == "[f 1] \x1b[31mERROR\x1b[0m it failed"
    assert coloured("ready: http://127.0.0.1:3000/") == "ready: http://127.0.0.1:3000/"


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"response": 1}', json.dumps("secret"), '{"pointer": 1}'])
def test_a_message_in_another_form_is_reported_and_its_content_is_not_printed(body: str) -> None:
    message: dict[str, Any] = {"Body": body}
    line = transcript_line(message, lambda bucket, key: b"")
    assert line.startswith("[transcript] not in the expected form")
    assert "secret" not in line
