"""TRANSCRIPT_ROUTES: which queue gets what, and the errors for a malformed value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.transcripts.transcript import Transcript, parse_transcript
from settings_reading.readers import SettingsError
from tests.support.project import PROJECT
from transcript_routes import Condition, Route, parse_routes

ONE, TWO = "https://sqs.eu-central-1.amazonaws.com/1/one", "https://sqs.eu-central-1.amazonaws.com/1/two.fifo"
DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))


def transcript(
    outcome: str = "completed", model: str | None = "gpt-6-luna", caller: str | None = "web"
) -> Transcript:
    reason = None if outcome == "completed" else "because"
    request = {**DOCUMENT["request"], "model": model}
    changed = {"outcome": outcome, "reason": reason, "caller": caller, "request": request}
    return parse_transcript({**DOCUMENT, **changed})


@pytest.mark.parametrize(
    "text", [f"{ONE},{TWO}", f" {ONE} ,\n{TWO}, ", json.dumps([ONE, TWO]), json.dumps({ONE: {}, TWO: {}})]
)
def test_a_plain_list_of_urls_sends_everything_to_every_queue(text: str) -> None:
    assert parse_routes(text) == (Route(ONE), Route(TWO))
    assert all(route.admits(transcript()) for route in parse_routes(text))


@pytest.mark.parametrize(
    ("conditions", "admitted"),
    [
        ({}, True),
        ({"outcome": "completed"}, True),
        ({"outcome": ["failed", "truncated"]}, False),
        ({"model": "gpt-6*"}, True),
        ({"model": "*luna"}, True),
        ({"model": "gpt"}, False),
        ({"model": ["gpt-6.1-sol", "gpt-6-luna"]}, True),
        ({"caller": "web"}, True),
        ({"caller": "we."}, False),
        ({"caller": ["app-*", "w*b"]}, True),
        ({"caller": None}, False),
        ({"outcome": "completed", "caller": "web", "model": "*"}, True),
        ({"outcome": "completed", "caller": "app"}, False),
    ],
)
def test_a_queue_gets_the_transcripts_that_meet_every_condition(
    conditions: dict[str, Any], admitted: bool
) -> None:
    (route,) = parse_routes(json.dumps({ONE: conditions}))
    assert route.admits(transcript()) is admitted


def test_null_matches_transcripts_without_a_model_or_caller() -> None:
    (route,) = parse_routes(json.dumps({ONE: {"model": [None, "a*"]}}))
    assert route.admits(transcript(model=None))
    assert route.admits(transcript(model="abc"))
    assert not route.admits(transcript(model="none"))
    (only_null,) = parse_routes(json.dumps({ONE: {"caller": [None]}}))
    assert not only_null.admits(transcript(caller=""))
    assert not Route(ONE, (Condition("caller", ("*",)),)).admits(transcript(caller=None))


@given(st.text(), st.text())
def test_only_the_asterisk_is_special_in_a_pattern(pattern: str, value: str) -> None:
    literal = pattern.replace("*", "")
    assert Condition("model", (literal,)).met_by(value) is (literal == value)
    assert Condition("model", (f"{literal}*",)).met_by(literal + value)
    assert Condition("model", (f"*{literal}",)).met_by(value + literal)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name at least one SQS queue URL"),
        (" , ", "must name at least one SQS queue URL"),
        ("{}", "must name at least one SQS queue URL"),
        ("[]", "must name at least one SQS queue URL"),
        ("transcripts", "'transcripts' is not an SQS queue URL"),
        ("https://sqs.example", "'https://sqs.example' is not an SQS queue URL"),
        (f'{{"{ONE}": {{}}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (f'{{"{ONE}": {{}}, "{ONE}": {{}}}}', "is listed twice"),
        (f"{ONE},{ONE}", "is listed twice"),
        ("[1]", "1 is not an SQS queue URL"),
        (f'{{"{ONE}": null}}', f"{ONE}: should be an object of conditions"),
        (
            f'{{"{ONE}": {{"Outcome": "failed"}}}}',
            f"{ONE}: Outcome is not a condition; there are outcome, model",
        ),
        (f'{{"{ONE}": {{"outcome": "done"}}}}', f"{ONE}: outcome should be one of completed, incomplete, "),
        (f'{{"{ONE}": {{"outcome": "fail*"}}}}', "not 'fail*'"),
        (f'{{"{ONE}": {{"caller": 5}}}}', f"{ONE}: caller should be a string or a list of strings"),
        (f'{{"{ONE}": {{"caller": []}}}}', f"{ONE}: caller should be a string or a list of strings"),
    ],
)
def test_a_malformed_route_is_an_error_that_says_where_and_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as fault:
        parse_routes(text)
    assert str(fault.value).startswith("TRANSCRIPT_ROUTES")
    assert message in str(fault.value)
