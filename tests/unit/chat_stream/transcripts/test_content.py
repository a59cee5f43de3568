"""TRANSCRIPT_CONTENT: how much of the conversation a transcript contains."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.transcripts.content import TranscriptContent, reduced
from chat_stream.transcripts.schema import transcript_schema
from chat_stream.transcripts.transcript import Transcript, parse_transcript
from tests.support.transcripts import transcript_strategies as drawn
from tests.support.transcripts.transcript_strategies import built

REQUEST: dict[str, Any] = {
    "model": "gpt-6-luna",
    "messages": [{"role": "user", "content": "asked"}],
    "parameters": {
        "temperature": 0.5,
        "stream": True,
        "seed": None,
        "max_tokens": 5,
        "instructions": "asked",
        "metadata": {"topic": "asked"},
        "tools": [{"function": {"name": "asked"}}],
        "asked in a name": 1,
        "asked": 1,
        "user": 5,
        "top_p": "asked",
    },
}
ANSWER: list[ChatEvent] = [
    AnswerStarted("chatcmpl-1", "gpt-6-luna"),
    TextDelta(0, "answered"),
    RefusalDelta(0, "answered"),
    ReasoningDelta(0, "answered"),
    ToolCallDelta(0, 0, "call_1", "answered", '{"a": "answered"}'),
    UsageReported({"total_tokens": 7}),
]


def whole(*events: Any) -> Transcript:
    return built([*ANSWER, *events], request=REQUEST)


def failing(**fields: Any) -> Transcript:
    error = {"message": "asked", "type": None, "code": None, "param": None, "status": None, **fields}
    return whole(AnswerFailed(**error))


def words_in(transcript: Transcript) -> set[str]:
    return {word for word in ("asked", "answered") if word in transcript.to_json().decode()}


@given(drawn.transcripts)
def test_full_returns_the_transcript_itself(transcript: Transcript) -> None:
    assert reduced(transcript, "full") == transcript


def test_answer_withholds_the_request_and_none_the_whole_conversation() -> None:
    transcript = whole(ChoiceFinished(0, "stop"))
    assert words_in(reduced(transcript, "full")) == {"asked", "answered"}
    assert words_in(reduced(transcript, "answer")) == {"answered"}
    assert words_in(reduced(transcript, "none")) == set()


@pytest.mark.parametrize("content", ["answer", "none"])
def test_withheld_fields_are_null_and_all_others_are_kept(content: TranscriptContent) -> None:
    transcript = whole(ChoiceFinished(0, "stop"))
    document, full = reduced(transcript, content).document, transcript.document
    assert document["request"] == {
        "model": "gpt-6-luna",
        "messages": None,
        "parameters": {"temperature": 0.5, "stream": True, "seed": None, "max_tokens": 5},
    }
    assert document["response"]["usage"] == {"total_tokens": 7}
    if content == "answer":
        assert document["response"] == full["response"]
    else:
        fields = ("content", "refusal", "reasoning", "audio_transcript", "tool_calls")
        assert document["response"]["choices"] == [
            {**full["response"]["choices"][0], **dict.fromkeys(fields)}
        ]
    kept = set(full) - {"request", "response"}
    assert {name: document[name] for name in kept} == {name: full[name] for name in kept}


def test_images_are_part_of_the_answer() -> None:
    transcript = whole(ImageReceived(0, "https://example.org/a.png", "image/png"))
    choices = {
        content: reduced(transcript, content).document["response"]["choices"][0]
        for content in get_args(TranscriptContent)
    }
    assert choices["full"]["media"] == choices["answer"]["media"] != []
    assert "media" not in choices["none"]


@pytest.mark.parametrize("content", ["answer", "none"])
@pytest.mark.parametrize("field", ["message", "type", "code", "param"])
def test_error_that_quotes_the_request_keeps_only_its_codes(content: TranscriptContent, field: str) -> None:
    codes = {"type": "server_error", "code": "overloaded", "param": "messages[0].content"}
    document = reduced(failing(**{**codes, field: "you asked: why?"}), content).document
    expected = {"message": None, **codes, field: None}
    assert document["response"]["error"] == expected
    assert document["reason"] == ("upstream_error" if field == "code" else "overloaded")
    assert "asked" not in json.dumps(document)


@pytest.mark.parametrize("content", ["answer", "none"])
def test_no_field_of_caller_or_upstream_leaks_the_conversation(content: TranscriptContent) -> None:
    secret = "as you asked: why?"
    transcript = built(
        [
            AnswerStarted(secret, secret),
            ChoiceFinished(0, secret),
            UsageReported(
                {"total_tokens": 7, "text": secret, secret: 1, "details": {"n": 1, "t": secret}}, secret
            ),
            AnswerFailed(secret, secret, secret, secret, None),
        ],
        request={"model": secret, "messages": [secret], "parameters": {"stop": secret, secret: 1}},
    )
    transcript.document["upstream"]["request_id"] = secret
    document = reduced(transcript, content).document
    assert "asked" not in json.dumps(document)
    assert document["response"]["usage"] == {"total_tokens": 7, "details": {"n": 1}}
    assert document["reason"] == "upstream_error"


@pytest.mark.parametrize("content", ["answer", "none"])
@pytest.mark.parametrize("code", ["x" * 64, "rate_limit", "a.b-c[0]"])
def test_codes_and_names_are_kept(content: TranscriptContent, code: str) -> None:
    model = "openai/gpt-6:free@2025+x"
    events: list[ChatEvent] = [
        AnswerStarted("chatcmpl-1", model),
        ChoiceFinished(0, code),
        UsageReported({"n": None}, "flex"),
    ]
    request = {**REQUEST, "model": model}
    document = reduced(built([*events, AnswerFailed("m", None, code, None, None)], request=request), content)
    assert document.document["reason"] == code
    assert document.document["response"]["choices"][0]["finish_reason"] == code
    assert document.document["response"]["usage"] == {"n": None}
    assert document.document["response"]["service_tier"] == "flex"
    assert document.document["request"]["model"] == document.document["response"]["model"] == model
    assert reduced(failing(code="x" * 65), content).document["reason"] == "upstream_error"


@given(drawn.transcripts)
def test_reduced_transcripts_are_valid(transcript: Transcript) -> None:
    validator = Draft202012Validator(transcript_schema())
    for content in ("answer", "none"):
        document = reduced(transcript, content).document
        validator.validate(document)
        assert parse_transcript(document).document == document


def test_schema_describes_each_withheld_field_as_null() -> None:
    transcript = failing()
    withheld: set[str] = set()

    def compare(full: Any, left: Any, path: str, schema: dict[str, Any]) -> None:
        if isinstance(left, dict):
            for name in left:
                compare(full[name], left[name], name, schema.get("properties", {}).get(name, {}))
        elif isinstance(left, list):
            for one, other in zip(full, left, strict=True):
                compare(one, other, path, schema["items"])
        elif left is None and full is not None:
            withheld.add(path)
            assert "null" in schema["type"], path
            assert "TRANSCRIPT_CONTENT" in schema["description"], path

    compare(transcript.document, reduced(transcript, "none").document, "", transcript_schema())
    assert withheld == {"messages", "message", "content", "refusal", "reasoning", "tool_calls"}
