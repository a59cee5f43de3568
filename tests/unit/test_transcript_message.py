from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.transcript import Transcript, parse_transcript
from tests.support.sam import PROJECT
from transcript_message import MAX_MESSAGE_BYTES, TranscriptMessage, TranscriptTooLargeError


def transcript_document() -> dict[str, Any]:
    text = (PROJECT / "events" / "transcript.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def transcript(document: dict[str, Any]) -> Transcript:
    return parse_transcript(document)


def of_model(model: str) -> TranscriptMessage:
    document = transcript_document()
    document["request"]["model"] = model
    return TranscriptMessage.of(transcript(document))


def with_content(content: str) -> Transcript:
    document = transcript_document()
    document["response"]["choices"][0]["content"] = content
    return transcript(document)


def test_body_is_the_transcript_as_one_ascii_line_of_compact_json() -> None:
    message = TranscriptMessage.of(transcript(transcript_document()))
    assert message.body.isascii()
    assert "\n" not in message.body
    assert '": ' not in message.body
    assert json.loads(message.body) == transcript_document()


def test_attributes_let_a_consumer_filter_without_reading_the_body() -> None:
    assert TranscriptMessage.of(transcript(transcript_document())).attributes == {
        "outcome": {"DataType": "String", "StringValue": "completed"},
        "model": {"DataType": "String", "StringValue": "gpt-5-mini"},
        "caller": {"DataType": "String", "StringValue": "web"},
        "schema_version": {"DataType": "Number", "StringValue": "1"},
    }


def test_caller_that_is_not_known_makes_no_attribute() -> None:
    document = transcript_document()
    document["caller"] = None
    assert "caller" not in TranscriptMessage.of(transcript(document)).attributes


@given(st.text(st.characters(exclude_categories=()), min_size=1))
def test_no_model_name_keeps_a_transcript_from_its_queue(model: str) -> None:
    value = of_model(model).attributes["model"]["StringValue"]
    assert 1 <= len(value) <= 256
    assert re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", value) is None
    value.encode("utf-8")


def test_message_that_just_fits_is_made_and_one_byte_more_is_a_clear_error() -> None:
    room = MAX_MESSAGE_BYTES - TranscriptMessage.of(with_content("")).size_bytes
    assert TranscriptMessage.of(with_content("a" * room)).size_bytes == MAX_MESSAGE_BYTES
    with pytest.raises(TranscriptTooLargeError, match=rf"{MAX_MESSAGE_BYTES + 1} bytes; SQS takes"):
        TranscriptMessage.of(with_content("a" * (room + 1)))


def test_size_is_counted_as_encoded() -> None:
    plain, escaped = (TranscriptMessage.of(with_content(text)).size_bytes for text in ("a", "é"))
    assert escaped - plain == len("\\u00e9") - 1


def test_too_large_a_transcript_is_named_by_its_id_and_not_quoted() -> None:
    with pytest.raises(TranscriptTooLargeError) as caught:
        TranscriptMessage.of(with_content("secret " * 200_000))
    assert transcript_document()["id"] in str(caught.value)
    assert "secret" not in str(caught.value)
