"""The record of each answer and each refusal: its fields, its level, and what never gets into it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from chat_stream.events import AnswerFailed, AnswerStarted, ChoiceFinished, TextDelta, UsageReported
from chat_stream.transcripts.transcript import Transcript, UpstreamTrace
from errors import RelayError, RequestError
from lambda_stream.environment.log_format import JsonFormatter
from observability.request_log import log_answer, log_refusal
from observability.request_trace import RequestTrace
from product import VERSION
from routing import route_name
from tests.support.documentation import PAGES, tables
from tests.support.transcripts.transcript_strategies import built

INJECTION = 'x\n{"level": "ERROR", "message": "forged"}'
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def answered(*events: Any, model: str = "gpt-6-luna", **changes: Any) -> Transcript:
    request = {"model": model, "messages": [{"role": "user", "content": "the prompt"}], "parameters": {}}
    started = AnswerStarted("chatcmpl-1", "gpt-6-luna-2026-05-01")
    transcript = built(
        [started, TextDelta(0, "the answer"), *events], caller="web", route="/chatCompletion", request=request
    )
    return Transcript({**transcript.document, **changes})


def record_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The one record as a line of JSON, as it is deployed."""
    (record,) = caplog.records
    line = JsonFormatter().format(record)
    assert line.count("\n") == 1
    fields: dict[str, Any] = json.loads(line)
    return fields


def refusal(trace: RequestTrace, error: RelayError, caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    with caplog.at_level(logging.DEBUG):
        log_refusal(error, trace)
    return record_of(caplog)


def documented(place: int) -> set[str]:
    """The fields in the first column of a table of docs/logs.md."""
    rows = tables(PAGES["docs/logs.md"])[place][2:]
    return {name.strip("` ") for row in rows for name in row[0].split(",")}


COMMON = {"timestamp", "level", "message", "logger"}


def test_an_answers_record_has_exactly_the_documented_fields(caplog: pytest.LogCaptureFixture) -> None:
    transcript = answered(UsageReported(USAGE), ChoiceFinished(0, "length", True), cost={"usd": 0.5})
    document = json.loads(json.dumps(transcript.document))
    document["traceparent"] = TRACEPARENT
    document["upstream"] = UpstreamTrace(2, "req_1")._asdict()
    document["timings"]["duration_ms"] = 5000
    with caplog.at_level(logging.INFO):
        log_answer(Transcript(document))
    fields = record_of(caplog)
    assert fields.keys() - COMMON == documented(0) - {"requestId"}  # which the runtime adds
    assert (fields["input_tokens"], fields["cost_usd"], fields["upstream_request_id"]) == (9, 0.5, "req_1")
    assert fields["version"] == VERSION


def test_an_answers_record_says_nothing_of_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    failed = AnswerFailed("the prompt is bad", "the prompt", None, None, None)
    transcript = answered(failed, model=f"the prompt {INJECTION}")
    transcript.document["upstream"]["request_id"] = "the prompt"
    with caplog.at_level(logging.INFO):
        log_answer(transcript)
    fields = record_of(caplog)
    assert fields["outcome"] == "failed"
    assert not any("the prompt" in str(value) or "the answer" in str(value) for value in fields.values())


def test_a_refusals_record_has_exactly_the_documented_fields(caplog: pytest.LogCaptureFixture) -> None:
    trace = RequestTrace()
    trace.route, trace.caller, trace.traceparent = "/v1/chat/completions", "web", TRACEPARENT
    fields = refusal(trace, RequestError(429, "requests_per_minute_exceeded", "Too many."), caplog)
    assert fields.keys() - COMMON == documented(1) - {"requestId"}
    assert (fields["status"], fields["code"]) == (429, "requests_per_minute_exceeded")
    assert fields["message"] == "/v1/chat/completions refused: 429 requests_per_minute_exceeded"


def test_an_error_that_quotes_the_request_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fields = refusal(RequestTrace(), RelayError(400, INJECTION, f"bad: {INJECTION}"), caplog)
    assert "forged" not in json.dumps(fields)
    assert "code" not in fields


@pytest.mark.parametrize("path", [f"/{INJECTION}", "/wp-login.php", "/v1/" + "a" * 100_000, "/\x1b[2J"])
def test_an_unknown_path_is_logged_as_other(path: str) -> None:
    assert route_name(path) == "other"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/responses", "/v1/responses"),
        (f"/api/chat/{INJECTION}/stream", "/api/chat/{id}/stream"),
        (f"/v1/models/{INJECTION}", "/v1/models/{id}"),
        ("/", "/"),
    ],
)
def test_a_known_path_is_logged_as_its_route(path: str, route: str) -> None:
    assert route_name(path) == route


@pytest.mark.parametrize(("status", "level"), [(400, "INFO"), (401, "INFO"), (429, "INFO"), (503, "WARNING")])
def test_the_log_level_turns_off_the_records_of_bad_requests(
    status: int, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal(RequestTrace(), RequestError(status, "some_code", "No."), caplog)["level"] == level
