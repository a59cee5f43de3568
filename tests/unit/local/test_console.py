"""What the terminal shows of transcripts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chat_stream.events import AnswerFailed, AnswerStarted, ChatEvent, ChoiceFinished, TextDelta
from chat_stream.transcripts.content import TranscriptContent, reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript
from local.console import Terminal, transcript_line
from tests.support.transcripts.transcript_strategies import built

BUCKET = "transcripts"


def answered(text: str, model: str = "answered") -> Transcript:
    return transcript(AnswerStarted("chatcmpl-1", model), TextDelta(0, text), ChoiceFinished(0, "stop"))


def transcript(*events: ChatEvent) -> Transcript:
    request = {"model": "asked", "messages": [{"role": "user", "content": "hi"}], "parameters": {}}
    return built(list(events), id="id-1", caller="web", route="/chatCompletion", request=request)


def line_of(shown: Transcript | TranscriptPointer, **objects: bytes) -> str:
    """The line for a message with this body; `objects` are the contents of buckets, by the bucket's name."""
    message = {"Body": shown.to_json().decode()}
    return transcript_line(message, lambda bucket, key: objects[bucket])


def test_a_transcript_is_summed_up_in_one_line() -> None:
    assert line_of(answered("Hello  there,\nfriend")) == (
        "[transcript] id-1  completed  answered  /chatCompletion  caller=web  40 ms  20 characters"
        '  "Hello there, friend"'
    )


def test_a_failed_answer_is_shown_with_its_reason_and_the_requested_model() -> None:
    failed = transcript(AnswerFailed("no", "upstream_error", None, None, None))
    assert line_of(failed).startswith("[transcript] id-1  failed (upstream_error)  asked  ")
    assert line_of(failed).endswith('  0 characters  ""')


def test_a_long_answer_is_cut_between_words() -> None:
    line = line_of(answered("word " * 100))
    assert line.endswith('word …"')
    assert len(line) < 200


def test_a_pointer_is_shown_as_its_transcript() -> None:
    large = answered("large " * 10)
    body = large.to_json()
    pointer = TranscriptPointer.to(large, body, BUCKET)
    assert line_of(pointer, transcripts=body) == line_of(large)


def test_a_pointer_to_another_object_is_shown_as_an_error() -> None:
    pointer = TranscriptPointer.to(answered("one"), answered("one").to_json(), BUCKET)
    assert "not in the expected form: pointer.sha256" in line_of(pointer, transcripts=b"{}")


@pytest.mark.parametrize(
    ("content", "end"),
    [("answer", '5 characters  "Hello"'), ("none", "(the transcript leaves the text out)")],
)
def test_a_transcript_with_part_of_the_conversation_is_shown_too(
    content: TranscriptContent, end: str
) -> None:
    line = line_of(reduced(answered("Hello"), content))
    assert line.startswith("[transcript] id-1  completed  answered  ")
    assert line.endswith(f"  {end}")


def printed(capsys: pytest.CaptureFixture[str], *lines: str) -> str:
    terminal = Terminal()
    terminal.print_line(*lines)
    terminal.close()
    return capsys.readouterr().out


def test_an_answer_cannot_send_control_characters_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, line_of(answered("\x1b[2Jred", model="m\nready: http://elsewhere")))
    assert "\x1b" not in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("character", ["\x1b", "\r", "\n", "\x9b", "\u202e", "\ud800"])
def test_no_line_sends_control_characters_to_the_terminal_or_ends_its_thread(
    capsys: pytest.CaptureFixture[str], character: str
) -> None:
    shown = printed(capsys, f"[function url] GET /a{character}b\tc", "next")
    assert shown in ("[function url] GET /a b\tc\nnext\n", "[function url] GET /a?b\tc\nnext\n")


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"response": 1}', json.dumps("secret"), '{"pointer": 1}'])
def test_a_message_in_another_form_is_reported_and_its_content_is_not_printed(body: str) -> None:
    message: dict[str, Any] = {"Body": body}
    line = transcript_line(message, lambda bucket, key: b"")
    assert line.startswith("[transcript] not in the expected form")
    assert "secret" not in line
