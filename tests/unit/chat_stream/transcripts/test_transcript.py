"""Building transcripts from chat events, and their outcomes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.memory_bound import AnswerTooLargeError
from chat_stream.transcripts.transcript import Interruption, Transcript, parse_transcript
from tests.support.transcripts import transcript_strategies as drawn
from tests.support.transcripts.transcript_strategies import builder_for, built

STOP = ChoiceFinished(0, "stop")
FAILED = AnswerFailed("m", "server_error", "c", "p", None)
CALLER_GONE = Interruption("abandoned", "caller_gone", "The caller went away.")


def test_document_has_the_expected_fields() -> None:
    events: list[ChatEvent] = [
        AnswerStarted("chatcmpl-1", "m-2"),
        ReasoningDelta(0, "hm"),
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        AudioTranscriptDelta(0, "hoi"),
        ToolCallDelta(0, 0, "call_1", "f", '{"a"'),
        ToolCallDelta(0, 0, None, None, ":1}"),
        STOP,
        UsageReported({"total_tokens": 1}),
        UsageReported({"total_tokens": 2}),
        StreamDone(),
    ]
    assert built(events).document == {
        "schema_version": 1,
        "id": "r-1",
        "outcome": "completed",
        "reason": None,
        "caller": "web",
        "route": "/v1/chat/completions",
        "request": {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "parameters": {"stream": True},
        },
        "response": {
            "id": "chatcmpl-1",
            "model": "m-2",
            "usage": {"total_tokens": 2},
            "error": None,
            "choices": [
                {
                    "index": 0,
                    "content": "Hello",
                    "refusal": None,
                    "reasoning": "hm",
                    "audio_transcript": "hoi",
                    "tool_calls": [{"id": "call_1", "name": "f", "arguments": '{"a":1}'}],
                    "finish_reason": "stop",
                    "inferred_finish_reason": None,
                }
            ],
        },
        "timings": {
            "started_at": "2026-11-22T09:30:00.120Z",
            "time_to_first_token_ms": 20,
            "duration_ms": 120,
            "delta_count": 6,
        },
        "upstream": {"attempts": 2, "request_id": "req_1"},
    }


@pytest.mark.parametrize(
    ("events", "interruption", "outcome", "reason", "error_code"),
    [
        ([STOP], None, "completed", None, None),
        ([StreamDone()], None, "completed", None, None),
        ([ChoiceFinished(0, "length", True)], None, "incomplete", "length", None),
        (
            [ChoiceFinished(1, "stop"), ChoiceFinished(0, "content_filter", True)],
            None,
            "incomplete",
            "content_filter",
            None,
        ),
        ([ChoiceFinished(0, "max_tool_calls", True)], None, "incomplete", "max_tool_calls", None),
        ([STOP, ChoiceFinished(1, "length", True)], None, "completed", None, None),
        ([TextDelta(0, "a")], None, "truncated", "upstream_interrupted", "upstream_interrupted"),
        ([], None, "truncated", "upstream_interrupted", "upstream_interrupted"),
        ([FAILED, StreamDone()], None, "failed", "c", "c"),
        ([FAILED], CALLER_GONE, "failed", "c", "c"),
        ([AnswerFailed("m", "t", None, None, None)], None, "failed", "t", None),
        ([AnswerFailed("m", None, None, None, None)], None, "failed", "upstream_error", None),
        ([ChoiceFinished(0, "length", True)], CALLER_GONE, "abandoned", "caller_gone", "caller_gone"),
        ([], Interruption("failed", "upstream_error", "m"), "failed", "upstream_error", "upstream_error"),
    ],
)
def test_outcome_depends_on_how_the_answer_ended(
    events: list[ChatEvent],
    interruption: Interruption | None,
    outcome: str,
    reason: str | None,
    error_code: str | None,
) -> None:
    document = built(events, interruption).document
    assert (document["outcome"], document["reason"]) == (outcome, reason)
    error = document["response"]["error"]
    assert (error is None) == (outcome in ("completed", "incomplete"))
    assert (error or {}).get("code") == error_code


def test_upstream_error_is_kept_with_its_four_fields() -> None:
    error = built([FAILED]).document["response"]["error"]
    assert error == {"message": "m", "type": "server_error", "param": "p", "code": "c"}


def test_partial_text_is_kept_when_the_answer_fails() -> None:
    [choice] = built([TextDelta(0, "Par"), FAILED]).document["response"]["choices"]
    assert (choice["content"], choice["finish_reason"]) == ("Par", None)


@pytest.mark.parametrize(
    ("events", "inferred"),
    [
        ([TextDelta(0, "a"), StreamDone()], "stop"),
        ([ToolCallDelta(0, 0, "c", "f", ""), StreamDone()], "tool_calls"),
        ([TextDelta(0, "a"), STOP], None),
        ([TextDelta(0, "a")], None),
        ([TextDelta(0, "a"), StreamDone(), FAILED], None),
    ],
)
def test_missing_finish_reason_is_inferred_in_a_separate_field(
    events: list[ChatEvent], inferred: str | None
) -> None:
    [choice] = built(events).document["response"]["choices"]
    assert choice["finish_reason"] == ("stop" if STOP in events else None)
    assert choice["inferred_finish_reason"] == inferred


def test_answer_is_terminal_only_if_all_expected_and_all_received_choices_have_finished() -> None:
    builder = builder_for(expected_choices=2)
    assert not builder.is_terminal
    builder.add(STOP, 1)
    assert not builder.is_terminal
    builder.add(TextDelta(2, "x"), 1)
    builder.add(ChoiceFinished(1, "stop"), 1)
    assert not builder.is_terminal
    builder.add(ChoiceFinished(2, "stop"), 1)
    assert builder.is_terminal


@pytest.mark.parametrize("event", [StreamDone(), FAILED])
def test_sentinel_and_error_end_an_answer_with_any_number_of_choices(event: ChatEvent) -> None:
    builder = builder_for(expected_choices=3)
    builder.add(event, 1)
    assert builder.is_terminal
    assert builder.failed == (event if event == FAILED else None)


@pytest.mark.parametrize(
    "delta",
    [TextDelta(0, "a"), RefusalDelta(0, "a"), ReasoningDelta(0, "a"), ToolCallDelta(0, 0, None, None, "")],
)
def test_contradicted_finish_reason_counts_only_if_the_body_is_complete(delta: ChatEvent) -> None:
    builder = builder_for(expected_choices=1)
    for event in (STOP, delta):
        builder.add(event, 1)
    assert (builder.is_terminal, builder.is_whole) == (False, True)
    builder.add(ChoiceFinished(0, "length", True), 1)
    assert (builder.is_terminal, builder.is_whole) == (False, True)
    assert builder.finish(1).document["response"]["choices"][0]["finish_reason"] == "length"


def test_first_error_and_first_finish_reason_are_kept() -> None:
    other = AnswerFailed("other", None, None, None, None)
    document = built([STOP, ChoiceFinished(0, "length", True), FAILED, other]).document
    assert document["response"]["error"]["message"] == "m"
    assert document["response"]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "delta",
    [TextDelta(0, "a"), RefusalDelta(0, "a"), ReasoningDelta(0, "a"), ToolCallDelta(0, 0, "a", None, "")],
)
def test_first_delta_of_any_kind_sets_the_time_to_first_token(delta: ChatEvent) -> None:
    timings = built([AnswerStarted("a", None), UsageReported({}), delta, delta]).document["timings"]
    assert (timings["time_to_first_token_ms"], timings["delta_count"]) == (30, 2)


def test_answer_without_deltas_has_no_time_to_first_token() -> None:
    assert built([STOP]).document["timings"]["time_to_first_token_ms"] is None


def test_started_at_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        builder_for(started_at=datetime(2026, 11, 22))  # noqa: DTZ001, RUF100


def test_number_outside_strict_json_becomes_null() -> None:
    usage = json.loads('{"cost": NaN, "tokens": [Infinity, -Infinity, 1e999, 1]}')
    document = built([UsageReported(usage)]).document
    assert document["response"]["usage"] == {"cost": None, "tokens": [None, None, None, 1]}


def test_lone_surrogate_in_a_request_becomes_a_replacement_character() -> None:
    request = {"model": "m", "messages": ["a\ud83d", "\ud83d\ude00"], "parameters": {}}
    assert built([], request=request).document["request"]["messages"] == ["a\ufffd", "😀"]


def test_deeply_nested_request_is_replaced_by_a_note_and_the_answer_kept() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    request = {"model": "m", "messages": deep, "parameters": {}}
    document = built([TextDelta(0, "Hi"), STOP, UsageReported({"a": 1})], request=request).document
    assert document["request"]["messages"] == ["(nested too deeply to be kept)"]
    assert document["response"]["choices"][0]["content"] == "Hi"


def test_transcript_nested_to_the_limit_can_be_encoded_from_a_deeper_stack() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    full = built([TextDelta(0, "Hi"), STOP]).document
    request = {**full["request"], "messages": [deep]}
    document = json.loads(Transcript({**full, "request": request}).to_json())
    assert document["request"]["messages"] == ["(nested too deeply to be kept)"]
    assert document["response"] == full["response"]


def test_transcript_is_a_copy_of_what_it_was_built_from() -> None:
    request: dict[str, Any] = {"model": "m", "messages": [], "parameters": {}}
    transcript = built([], request=request)
    request["messages"].append("x")
    assert transcript.document["request"]["messages"] == []


@given(st.lists(drawn.events, max_size=12), drawn.breaks, st.integers(1, 3))
def test_any_events_have_the_outcome_of_the_rules(
    events: list[ChatEvent], interruption: Interruption | None, expected_choices: int
) -> None:
    transcript = built(events, interruption, expected_choices=expected_choices)
    seen: set[int] = {getattr(event, "choice", -1) for event in events} - {-1}
    reasons: dict[int, bool] = {}
    contradicted: set[int] = set()
    for event in events:
        if not isinstance(event, ChoiceFinished):
            contradicted |= {getattr(event, "choice", -1)} & reasons.keys()
        elif event.choice not in reasons or event.choice in contradicted:
            reasons[event.choice] = event.is_cut_short
            contradicted.discard(event.choice)
    ended = StreamDone() in events or (bool(seen) and reasons.keys() == seen)
    if any(isinstance(event, AnswerFailed) for event in events):
        expected = "failed"
    elif interruption:
        expected = interruption.outcome
    elif seen and reasons.get(min(seen)):
        expected = "incomplete"
    else:
        expected = "completed" if ended else "truncated"
    assert transcript.outcome == expected


@given(drawn.transcripts)
def test_any_transcript_is_one_line_of_strict_ascii_json_that_parses_to_itself(transcript: Any) -> None:
    line = transcript.to_json()
    assert line.isascii()
    assert b"\n" not in line

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(line, parse_constant=refuse)
    assert document == transcript.document
    json.dumps(document, ensure_ascii=False).encode()  # raises for a lone surrogate
    assert parse_transcript(document) == transcript


def test_image_is_recorded_by_type_and_size_only() -> None:
    urls = [
        "data:image/png;base64,iVBORw0KGgo=",
        "data:image/svg+xml,%3Csvg/%3E",
        "https://example.org/a.gif",
    ]
    types = ["image/png", "image/svg+xml", "image/gif"]
    images = [ImageReceived(0, url, media_type) for url, media_type in zip(urls, types, strict=True)]
    transcript = built([*images, STOP])
    [choice] = transcript.document["response"]["choices"]
    assert choice["media"] == [
        {"type": "image", "media_type": "image/png", "bytes": 8},
        {"type": "image", "media_type": "image/svg+xml", "bytes": None},
        {"type": "image", "media_type": "image/gif", "bytes": None},
    ]
    assert transcript.document["timings"]["time_to_first_token_ms"] == 10
    assert not [url for url in urls if url.encode() in transcript.to_json()]
    parse_transcript(transcript.document)


def test_images_count_against_the_answer_limit() -> None:
    images = [ImageReceived(0, f"https://example.org/{number}", "image/*") for number in range(100)]
    with pytest.raises(AnswerTooLargeError):
        built([*images], max_answer_bytes=10_000)


def test_answer_without_images_has_no_media_field() -> None:
    [choice] = built([TextDelta(0, "a"), STOP]).document["response"]["choices"]
    assert "media" not in choice
