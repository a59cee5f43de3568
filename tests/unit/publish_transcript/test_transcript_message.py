from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript, parse_transcript
from tests.support.project import PROJECT
from transcript_message import MAX_MESSAGE_BYTES, TranscriptMessage

any_text = st.text(st.characters(exclude_categories=()), min_size=1)


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


def test_the_body_is_the_transcript_as_one_ascii_line_of_compact_json() -> None:
    message = TranscriptMessage.of(transcript(transcript_document()))
    assert message.body.isascii()
    assert "\n" not in message.body
    assert '": ' not in message.body
    assert json.loads(message.body) == transcript_document()


def test_the_attributes_let_a_consumer_filter_without_reading_the_body() -> None:
    expected = {
        "outcome": {"DataType": "String", "StringValue": "completed"},
        "model": {"DataType": "String", "StringValue": "gpt-6-luna"},
        "caller": {"DataType": "String", "StringValue": "web"},
        "schema_version": {"DataType": "Number", "StringValue": "1"},
    }
    sent = transcript(transcript_document())
    pointer = TranscriptPointer.to(sent, sent.to_json(), "b")
    assert TranscriptMessage.of(sent).attributes == expected
    assert TranscriptMessage.of(sent, pointer).attributes == expected


def test_a_pointer_replaces_the_transcript_in_the_body() -> None:
    sent = with_content("a" * MAX_MESSAGE_BYTES)
    pointer = TranscriptPointer.to(sent, sent.to_json(), "b")
    message = TranscriptMessage.of(sent, pointer)
    assert TranscriptPointer.in_document(json.loads(message.body)) == pointer
    assert message.fits


def test_an_unknown_caller_is_not_an_attribute() -> None:
    document = transcript_document()
    document["caller"] = None
    message = TranscriptMessage.of(transcript(document))
    assert "caller" not in message.attributes
    assert message.group_id == "-"


@given(any_text)
def test_any_model_name_becomes_an_attribute_that_sqs_accepts(model: str) -> None:
    value = of_model(model).attributes["model"]["StringValue"]
    assert 1 <= len(value) <= 256
    assert re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", value) is None
    value.encode("utf-8")


@pytest.mark.parametrize(
    ("caller", "kept"), [("web", True), ("auth0|12", True), ("a b", False), ("é", False)]
)
def test_a_fifo_message_is_grouped_by_caller_and_deduplicated_by_id(caller: str, kept: bool) -> None:
    document = {**transcript_document(), "caller": caller}
    message = TranscriptMessage.of(transcript(document))
    assert (message.group_id == caller) is kept
    assert message.deduplication_id == document["id"]


@given(any_text, any_text)
def test_any_caller_and_id_become_fifo_ids_that_sqs_accepts(caller: str, transcript_id: str) -> None:
    message = TranscriptMessage.of(
        transcript({**transcript_document(), "caller": caller, "id": transcript_id})
    )
    for value in (message.group_id, message.deduplication_id):
        assert re.fullmatch("[!-~]{1,128}", value)


@given(any_text, any_text)
def test_different_callers_are_different_groups(one: str, other: str) -> None:
    sent = [transcript({**transcript_document(), "caller": caller}) for caller in (one, other)]
    groups = {TranscriptMessage.of(transcript).group_id for transcript in sent}
    assert len(groups) == len({transcript.document["caller"] for transcript in sent})


def test_a_message_of_the_maximum_size_fits_and_one_byte_more_does_not() -> None:
    room = MAX_MESSAGE_BYTES - TranscriptMessage.of(with_content("")).size_bytes
    fitting, larger = (TranscriptMessage.of(with_content("a" * (room + more))) for more in (0, 1))
    assert (fitting.size_bytes, fitting.fits) == (MAX_MESSAGE_BYTES, True)
    assert (larger.size_bytes, larger.fits) == (MAX_MESSAGE_BYTES + 1, False)


def test_the_size_counts_the_body_and_each_attributes_name_type_and_value() -> None:
    message = TranscriptMessage.of(transcript(transcript_document()))
    outcome = len("outcome" + "String" + "completed")
    model, caller = len("model" + "String" + "gpt-6-luna"), len("caller" + "String" + "web")
    version = len("schema_version" + "Number" + "1")
    assert message.size_bytes - len(message.body) == outcome + model + caller + version == 79
    accented = of_model("é")
    assert accented.size_bytes - len(accented.body) == 79 - len("gpt-6-luna") + len("é".encode())


def test_a_long_model_name_is_cut_in_the_attribute_but_whole_in_the_body() -> None:
    message = of_model("m" * 300)
    assert message.attributes["model"]["StringValue"] == "m" * 256
    assert "m" * 300 in message.body


def test_the_size_is_that_of_the_encoded_text() -> None:
    plain, escaped = (TranscriptMessage.of(with_content(text)).size_bytes for text in ("a", "é"))
    assert escaped - plain == len("\\u00e9") - 1
