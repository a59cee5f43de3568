"""The published schema, and the check against it by the standard library alone."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from chat_stream.events import ChoiceFinished, TextDelta, ToolCallDelta, UsageReported
from chat_stream.transcripts.schema import InvalidTranscriptError, check_transcript, transcript_schema
from chat_stream.transcripts.transcript import Interruption, Transcript, parse_transcript
from tests.support.transcripts import transcript_strategies as drawn
from tests.support.transcripts.transcript_strategies import built

VALIDATOR = Draft202012Validator(transcript_schema())
GOOD = built(
    [
        TextDelta(0, "Hi"),
        ToolCallDelta(0, 0, "a", "f", "{}"),
        ChoiceFinished(0, "stop"),
        UsageReported({"n": 1}),
    ]
).document
FAILED = built([], Interruption("failed", "c", "m")).document


def nodes(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from nodes(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from nodes(part, (*path, index))


def changed(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value at the path, or without it if the value is `...`."""
    if not path:
        return value
    document = copy.deepcopy(document)
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield part
        yield from subschemas(part)


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(transcript_schema())


# Transcripts that were written before these fields existed may still wait in a queue, and stay valid.
ADDED_LATER = ("audio_transcript", "inferred_finish_reason", "media", "omitted_bytes")


def test_every_field_is_described_and_no_known_object_takes_other_fields() -> None:
    parts = list(subschemas(transcript_schema()))
    assert len(parts) > 30
    for part in parts:
        assert part["description"]
        if "properties" in part:
            assert part["additionalProperties"] is False
            assert part["required"] == [name for name in part["properties"] if name not in ADDED_LATER]


@given(drawn.transcripts)
def test_any_built_transcript_is_valid(transcript: Transcript) -> None:
    VALIDATOR.validate(json.loads(transcript.to_json()))


@given(
    st.sampled_from([GOOD, FAILED]).flatmap(
        lambda document: st.tuples(st.just(document), st.sampled_from(list(nodes(document))))
    ),
    st.sampled_from(
        [..., None, True, 0, 1, 2, -1, 1.5, "", "x", "failed", "completed", [], ["x"], {}, {"x": 1}]
    ),
)
def test_parsing_accepts_exactly_what_the_schema_does(
    node: tuple[dict[str, Any], tuple[str | int, ...]], value: Any
) -> None:
    document, path = node
    if value is ... and not path:
        return
    candidate = changed(document, path, value)
    try:
        parse_transcript(candidate)
    except InvalidTranscriptError:
        assert not VALIDATOR.is_valid(candidate)
    else:
        assert VALIDATOR.is_valid(candidate)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), [], "the transcript: should be object, not array"),
        (
            ("outcome",),
            "done",
            "outcome: should be one of completed, incomplete, failed, truncated, abandoned",
        ),
        (("schema_version",), 2, "schema_version: should be 1"),
        (("id",), "", "id: should not be empty"),
        (("reason",), "x", "reason: should be null, not string"),
        (("request", "messages"), ..., "request.messages: is missing"),
        (("extra",), 1, "extra: is not a field of a transcript"),
        (
            ("response", "choices", 0, "finish_reason"),
            5,
            "response.choices[0].finish_reason: should be string or null, not integer",
        ),
        (("timings", "duration_ms"), -1, "timings.duration_ms: should be 0 or more"),
        (("timings", "delta_count"), True, "timings.delta_count: should be integer, not boolean"),
    ],
)
def test_a_violation_names_the_field_and_the_expected_value(
    path: tuple[str | int, ...], value: Any, message: str
) -> None:
    with pytest.raises(InvalidTranscriptError) as fault:
        parse_transcript(changed(GOOD, path, value))
    assert str(fault.value) == message


def test_a_fault_does_not_quote_a_name_that_may_hold_content() -> None:
    with pytest.raises(InvalidTranscriptError) as fault:
        parse_transcript(changed(GOOD, ("request", "what the secret is"), 1))
    assert str(fault.value) == "request.(a name): is not a field of a transcript"


def test_a_fault_does_not_quote_the_value() -> None:
    with pytest.raises(InvalidTranscriptError) as fault:
        parse_transcript(changed(GOOD, ("response", "choices", 0, "content"), ["secret"]))
    assert "secret" not in str(fault.value)


def test_neither_the_depth_nor_the_length_of_an_open_value_matters() -> None:
    messages: list[Any] = [{}] * 1_000_000
    for _ in range(100_000):
        messages = [messages]
    document = changed(GOOD, ("request", "messages"), messages)
    started = time.process_time()
    check_transcript(document)
    with pytest.raises(InvalidTranscriptError, match=r"^extra: is not a field of a transcript$"):
        check_transcript({**document, "extra": messages})
    assert time.process_time() - started < 0.1
