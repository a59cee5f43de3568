"""Reading transcripts and pointers to them, as a consumer does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chat_stream.events import ChoiceFinished, TextDelta
from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.pointer import TranscriptPointer, object_name
from chat_stream.transcripts.schema import InvalidTranscriptError, pointer_schema
from chat_stream.transcripts.transcript import Transcript
from tests.support.project import PROJECT
from tests.support.transcripts import transcript_strategies as drawn
from tests.support.transcripts.transcript_strategies import built

any_text = st.text(st.characters(exclude_categories=()), min_size=1)
SAMPLE = built([TextDelta(0, "said"), ChoiceFinished(0, "stop")])


class Bucket(dict[tuple[str, str], bytes]):
    """A stand-in for S3."""

    def store(self, transcript: Transcript) -> TranscriptPointer:
        pointer = TranscriptPointer.to(transcript, transcript.to_json(), "the-bucket")
        self[pointer.bucket, pointer.key] = transcript.to_json()
        return pointer

    def fetch(self, bucket: str, key: str) -> bytes:
        return self[bucket, key]


def no_fetch(bucket: str, key: str) -> bytes:
    raise AssertionError("nothing to fetch")


def with_pointer(**changes: Any) -> str:
    document = json.loads(Bucket().store(SAMPLE).to_json())
    place = {name: value for name, value in {**document["pointer"], **changes}.items() if value is not ...}
    return json.dumps({**document, "pointer": place})


@given(drawn.transcripts)
def test_any_transcript_is_read_from_the_message_or_through_a_pointer(transcript: Transcript) -> None:
    bucket = Bucket()
    assert read_transcript({"body": transcript.to_json().decode()}, no_fetch) == transcript
    pointer = bucket.store(transcript).to_json().decode()
    assert read_transcript({"body": pointer}, bucket.fetch) == transcript  # a record from Lambda
    assert read_transcript({"Body": pointer}, bucket.fetch) == transcript  # a message of ReceiveMessage


@given(drawn.transcripts)
def test_pointer_is_valid_by_its_schema_and_one_line_of_ascii(transcript: Transcript) -> None:
    line = Bucket().store(transcript).to_json()
    Draft202012Validator(pointer_schema()).validate(json.loads(line))
    assert line.isascii()
    assert b"\n" not in line


def test_pointer_schema_is_valid() -> None:
    Draft202012Validator.check_schema(pointer_schema())


def test_same_transcript_always_has_the_same_key() -> None:
    first, second = (TranscriptPointer.to(SAMPLE, SAMPLE.to_json(), "b") for _ in range(2))
    assert first == second
    assert first.key == f"2026-11-22/{SAMPLE.id}-{first.sha256[:16]}.json"
    assert TranscriptPointer.to(SAMPLE, SAMPLE.to_json() + b" ", "b").key != first.key


@given(any_text)
def test_object_name_is_safe_for_any_id(transcript_id: str) -> None:
    name = object_name(transcript_id)
    assert re.fullmatch("[A-Za-z0-9_.-]{1,128}", name)
    assert name.strip(".")


def test_id_that_names_a_folder_is_not_used_as_object_name() -> None:
    assert {object_name(".."), object_name(".")}.isdisjoint({".", ".."})


@given(any_text, any_text)
def test_different_ids_have_different_object_names(one: str, other: str) -> None:
    assert (object_name(one) == object_name(other)) is (one == other)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("said", "the message: should be a JSON document"),
        (5, "the message: should be a JSON document"),
        ("[" * 100_000, "the message: should be a JSON document"),
        ("[]", "the transcript: should be object, not array"),
        ("null", "the transcript: should be object, not null"),
        ('{"said": 1}', "schema_version: is missing"),
        ('{"pointer": {}}', "schema_version: is missing"),
        (with_pointer(bucket=5), "pointer.bucket: should be string, not integer"),
        (with_pointer(key=""), "pointer.key: should not be empty"),
        (with_pointer(sha256=...), "pointer.sha256: is missing"),
        (with_pointer(size_bytes=0), "pointer.size_bytes: should be 1 or more"),
        (with_pointer(region="eu"), "pointer.region: is not a field of a transcript"),
    ],
)
def test_invalid_message_is_refused_by_field_name_without_quoting_it(body: Any, message: str) -> None:
    with pytest.raises(InvalidTranscriptError) as fault:
        read_transcript({"body": body}, no_fetch)
    assert str(fault.value) == message


@pytest.mark.parametrize("stored", [b"", SAMPLE.to_json()[:-1], SAMPLE.to_json().replace(b"said", b"lied")])
def test_object_other_than_the_stored_one_is_refused(stored: bytes) -> None:
    bucket = Bucket()
    pointer = bucket.store(SAMPLE)
    with pytest.raises(InvalidTranscriptError, match=r"pointer\.sha256: .* is not the one that was stored"):
        read_transcript({"body": pointer.to_json().decode()}, lambda *_: stored)


def test_object_with_another_transcript_id_is_refused() -> None:
    body = SAMPLE.to_json()
    pointer = TranscriptPointer.to(built([], id="r-2"), body, "b")
    with pytest.raises(InvalidTranscriptError, match="is the transcript of another answer"):
        read_transcript({"body": pointer.to_json().decode()}, lambda *_: body)


def test_object_that_is_not_json_is_refused_by_key_without_quoting_it() -> None:
    pointer = TranscriptPointer.to(SAMPLE, b"said", "b")
    with pytest.raises(InvalidTranscriptError) as fault:
        read_transcript({"body": pointer.to_json().decode()}, lambda *_: b"said")
    assert str(fault.value) == f"the object {pointer.key}: should be a JSON document"


def test_exceptions_of_fetch_reach_the_consumer() -> None:
    pointer = Bucket().store(SAMPLE).to_json().decode()
    with pytest.raises(KeyError):
        read_transcript({"body": pointer}, Bucket().fetch)


def test_the_package_exports_the_reader_and_imports_it_lazily() -> None:
    program = (
        "import sys, chat_stream.transcripts.transcript as _; name = 'chat_stream.transcripts.reader';"
        "before = name in sys.modules; from chat_stream.transcripts import read_transcript;"
        "print(before, name in sys.modules, read_transcript.__module__)"
    )
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(PROJECT / "shared")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "chat_stream.transcripts.reader"]


def test_the_package_exports_nothing_else() -> None:
    with pytest.raises(ImportError, match="cannot import name 'reader_of'"):
        from chat_stream.transcripts import reader_of  # type: ignore[attr-defined]  # noqa: F401
