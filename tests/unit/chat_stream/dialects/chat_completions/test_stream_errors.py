"""Errors in streamed chat completions: how they are recognized, and when they end the answer."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.events import AnswerFailed, ChoiceFinished, StreamDone, TextDelta, UsageReported
from tests.support.dialects.chat_chunks import NO_MESSAGE, decoded, delta


@pytest.mark.parametrize(
    ("chunk", "failure"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, ("m", "t", "c", "p", None)),
        ({"error": {"message": "m", "code": 429}}, ("m", None, "429", None, 429)),
        ({"error": {"error": {"message": "m", "status": 503}}}, ("m", None, None, None, 503)),
        ({"error": "m"}, ("m", None, None, None, None)),
        ({"error": "m", "choices": []}, ("m", None, None, None, None)),
        ({"choices": [{"index": 0, "error": {"message": "m", "code": 502}}]}, ("m", None, "502", None, 502)),
        ({"object": "error", "message": "m", "type": "t", "code": 400}, ("m", "t", "400", None, 400)),
        ({"type": "error", "message": "m", "code": "c"}, ("m", None, "c", None, None)),
        ({"error": {"code": 200}}, (NO_MESSAGE, None, "200", None, None)),
    ],
)  # fmt: skip
def test_error_in_the_stream_is_recognized_in_every_form(
    chunk: dict[str, Any], failure: tuple[Any, ...]
) -> None:
    assert decoded(chunk) == [AnswerFailed(*failure)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"code":400,"details":"bad"}', "bad"),
        ('{"error":{"message":"bad"}}', "bad"),
        ('{"error":"bad"}', "bad"),
        ('"bad"', "bad"),
        ("bad", "bad"),
        ("", NO_MESSAGE),
        ("[1]", NO_MESSAGE),
    ],
)
def test_event_named_error_is_a_failure_whatever_its_data(data: str, message: str) -> None:
    [failure] = decoded(data, event="error")
    assert isinstance(failure, AnswerFailed)
    assert failure.message == message


@pytest.mark.parametrize("error", [{}, {"error": None}])
def test_finish_reason_error_without_a_message_is_a_failure(error: dict[str, Any]) -> None:
    chunk = {**delta({"content": "lo"}, finish_reason="error"), **error}
    assert [type(event) for event in decoded(chunk)] == [TextDelta, ChoiceFinished, AnswerFailed]


def test_finish_reason_error_uses_the_message_of_the_error() -> None:
    chunk = {**delta({}, finish_reason="error"), "error": {"message": "m"}}
    assert decoded(chunk) == [ChoiceFinished(0, "error"), AnswerFailed("m", None, None, None, None)]


@pytest.mark.parametrize("error", [None, {}, "", False, 0])
def test_empty_error_is_ignored(error: object) -> None:
    assert decoded({**delta({"content": "x"}), "error": error}) == [TextDelta(0, "x")]


def test_everything_else_in_an_error_chunk_precedes_the_error() -> None:
    chunk = {**delta({"content": "x"}, finish_reason="error"), "error": {"message": "m"}, "usage": {"a": 1}}
    assert decoded(chunk) == [
        TextDelta(0, "x"),
        ChoiceFinished(0, "error"),
        UsageReported({"a": 1}),
        AnswerFailed("m", None, None, None, None),
    ]


def test_failed_finish_reason_is_a_failure_that_names_it() -> None:
    events = decoded(delta({"content": "a"}, finish_reason="network_error"))
    assert events[:2] == [TextDelta(0, "a"), ChoiceFinished(0, "network_error")]
    assert isinstance(events[2], AnswerFailed)
    assert '"network_error"' in events[2].message


@pytest.mark.parametrize("report", [{"message": "no"}, {"msg": "no"}, {"reason": "no", "id": "1"}])
def test_message_alone_is_a_failure_if_done_follows(report: dict[str, Any]) -> None:
    assert not [event for event in decoded(report) if isinstance(event, AnswerFailed)]
    assert AnswerFailed("no", None, None, None, None) in decoded(report, "[DONE]")
    assert AnswerFailed("no", None, None, None, None) in decoded(delta({"content": "a"}), report, "[DONE]")
    finished = delta({"content": "a"}, finish_reason="stop")
    assert decoded(finished, report, "[DONE]")[-1] == StreamDone()
    assert decoded(report, delta({"content": "a"}), "[DONE]")[-1] == StreamDone()
    assert decoded(delta({"content": "a"}), {**report, "type": "progress"}, "[DONE]")[-1] == StreamDone()


def test_done_without_an_answer_is_a_failure() -> None:
    [failed] = decoded("[DONE]")
    assert isinstance(failed, AnswerFailed)
    assert decoded({"error": {"message": "m"}}, "[DONE]")[-1] == StreamDone()
