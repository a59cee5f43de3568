"""Decoding streamed chat completions: deltas, endings, and any data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given

from chat_stream.dialects.chat_completions.events import completion_chunks, completion_events
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChoiceFinished,
    ReasoningDelta,
    ReasoningField,
    RefusalDelta,
    StreamDone,
    TextDelta,
)
from tests.support.dialects.chat_chunks import any_name, any_stream, chunks, decoded, delta


def test_id_and_model_are_reported_once_from_the_first_chunk_that_has_them() -> None:
    events = decoded({"id": "", "model": ""}, {"id": "a", "model": "m"}, {"id": "b", "model": "n"})
    assert events == [AnswerStarted("a", "m")]


@pytest.mark.parametrize(
    "choice", [{}, {"delta": None}, {"delta": {}}, {"delta": {"content": None}}, {"delta": 5}]
)
def test_missing_null_or_empty_delta_has_no_chat_events(choice: dict[str, Any]) -> None:
    assert decoded({"choices": [choice]}, {"choices": []}, {"choices": None}, {}) == []


def test_message_is_read_if_no_delta_has_sent_anything() -> None:
    message = {"content": "Hello"}
    empties: list[dict[str, Any]] = [
        {},
        {"delta": None},
        {"delta": {}},
        {"delta": {"role": "assistant", "content": ""}},
    ]
    for empty in empties:
        assert decoded({"choices": [{**empty, "message": message}]}) == [TextDelta(0, "Hello")]
    assert decoded({"choices": [{"delta": {"content": "Hell"}, "message": message}]}) == [
        TextDelta(0, "Hell")
    ]


def test_only_the_first_non_empty_finish_reason_counts() -> None:
    reasons = ["", None, "stop", None, "length", ""]
    assert decoded(*(delta({}, finish_reason=reason) for reason in reasons)) == [ChoiceFinished(0, "stop")]


def test_end_of_one_choice_does_not_end_another() -> None:
    events = decoded(
        delta({}, 1, finish_reason="stop"), delta({"content": "x"}), delta({}, finish_reason="stop")
    )
    assert events == [ChoiceFinished(1, "stop"), TextDelta(0, "x"), ChoiceFinished(0, "stop")]


def test_content_in_parts_is_sorted_into_text_refusal_and_reasoning() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
        "b",
        {"type": "refusal", "refusal": "no"},
        {"type": "image_url", "image_url": {}},
    ]
    events = decoded(delta({"content": content}))
    assert events == [
        *(ReasoningDelta(0, "hm"), TextDelta(0, "a"), TextDelta(0, "b"), RefusalDelta(0, "no")),
        ReasoningField(0, "content"),
    ]


def test_audio_transcript_is_a_channel_of_its_own_and_sound_is_ignored() -> None:
    audio = {"transcript": "Hel", "data": "AAEC"}
    assert decoded(delta({"content": None, "audio": audio})) == [AudioTranscriptDelta(0, "Hel")]


@pytest.mark.parametrize(
    "reason", ["length", "content_filter", "model_length", "insufficient_system_resource"]
)
def test_finish_reason_for_a_limit_or_filter_is_cut_short(reason: str) -> None:
    assert decoded(delta({}, finish_reason=reason)) == [ChoiceFinished(0, reason, is_cut_short=True)]


def test_split_surrogate_pair_is_joined_within_its_channel() -> None:
    events = decoded(
        delta({"content": "a\ud83d"}),
        delta({"reasoning": "\ude00"}),
        delta({"content": "\ud83d"}, 1),
        delta({"content": "\ude00b"}),
        delta({"content": "\ude01"}, 1),
    )
    assert events == [
        *(TextDelta(0, "a"), ReasoningDelta(0, "\ufffd"), ReasoningField(0, "reasoning")),
        *(TextDelta(0, "😀b"), TextDelta(1, "😁")),
    ]


@pytest.mark.parametrize("end", [delta({}, finish_reason="stop"), "[DONE]", {"error": "m"}])
def test_half_pair_that_is_never_completed_becomes_a_replacement_character(end: object) -> None:
    assert decoded(delta({"content": "a\ud83d"}), end)[:2] == [TextDelta(0, "a"), TextDelta(0, "\ufffd")]


def test_events_separated_by_one_newline_count_only_if_every_line_is_valid() -> None:
    lines = [json.dumps(delta({"content": text})) for text in "ab"]
    assert decoded("\n".join(lines)) == [TextDelta(0, "a"), TextDelta(0, "b")]
    assert decoded("\n".join([*lines, "[DONE]"])) == [TextDelta(0, "a"), TextDelta(0, "b"), StreamDone()]
    assert decoded("\n".join([*lines, '{"choices":'])) == []
    assert decoded("\n".join([*lines, "5"])) == []


@pytest.mark.parametrize(
    "data", ["", " ", "null", "5", '"x"', "[]", "{", "<html>", "[" * 100_000, "9" * 5000]
)
def test_data_that_is_not_a_json_object_has_no_chat_events(data: str) -> None:
    assert decoded(data) == []


@given(any_stream, any_name)
@example(["[" * 100_000, '{"choices":' * 50_000], "message")
@example(["[" * 100_000], "error")
def test_no_data_makes_the_decoder_raise(chunks: list[Any], name: str) -> None:
    for event in decoded(*chunks, event=name):
        if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta):
            assert event.text
            event.text.encode()  # raises if it is not well-formed


@given(chunks)
def test_completion_events_end_with_stream_done_or_a_failure(completion: dict[str, Any]) -> None:
    assert isinstance(completion_events(completion)[-1], StreamDone | AnswerFailed)


@given(chunks)
def test_no_completion_makes_chunking_raise(completion: dict[str, Any]) -> None:
    for chunk in completion_chunks(completion):
        assert chunk["object"] == "chat.completion.chunk"
