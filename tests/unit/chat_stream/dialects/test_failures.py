"""JSON objects that report a failure, what is read from them, and objects that only resemble a report."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from chat_stream.dialects.failures import failure_of, parse_failure, status_named
from chat_stream.events import AnswerFailed, StreamDone
from chat_stream.sse import EventStreamParser

FAILURES: list[tuple[dict[str, Any], str, str | None, int | None]] = [
    ({"detail": "model overloaded"}, "model overloaded", None, None),
    ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required", None, None),
    ({"detail": {"message": "too many", "code": "rate_limit_exceeded"}},
     "too many", "rate_limit_exceeded", None),
    ({"code": "Throttling", "message": "Requests rate limit exceeded"},
     "Requests rate limit exceeded", "Throttling", None),
    ({"code": "X", "message": "m", "request_id": "r1"}, "m", "X", None),
    ({"code": 10013, "msg": "refused", "data": None, "sid": "1"}, "refused", "10013", None),
    ({"code": -1, "msg": "broken"}, "broken", "-1", None),
    ({"code": 500, "message": "oops"}, "oops", "500", 500),
    ({"success": False, "errors": [{"code": 3040, "message": "Capacity"}]}, "Capacity", "3040", None),
    ({"success": False, "message": "m", "result": None}, "m", None, None),
    ({"errors": [{"message": "m"}]}, "m", None, None),
    ({"errors": ["one", "two"]}, '["one", "two"]', None, None),
    ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
     "insufficient balance", "1008", 402),
    (
        {"id": "1", "choices": None, "object": "chat.completion", "usage": {"total_tokens": 0},
         "base_resp": {"status_code": 1002, "status_msg": "rate limit"}},
        "rate limit", "1002", 429,
    ),
    ({"error": True, "message": "context too long"}, "context too long", None, None),
    ({"error": True, "msg": "m", "code": 400}, "m", "400", 400),
    ({"error": "words"}, "words", None, None),
    ({"error": {"message": "m"}, "status": 429}, "m", None, 429),
    ({"error": {"message": "m", "code": "429"}}, "m", "429", 429),
    ({"error": {"message": "m"}, "code": "insufficient_quota"}, "m", "insufficient_quota", None),
    ({"error": {"error": {"message": "deep"}}}, "deep", None, None),
    ({"status": "error", "message": "m"}, "m", None, None),
    ({"status": "failed", "reason": "m"}, "m", None, None),
    (
        {"timestamp": "2026-01-01T00:00:00Z", "status": 503, "error": "Service Unavailable", "path": "/v1"},
        "Service Unavailable", None, 503,
    ),
    ({"statusCode": 429, "message": "Rate limit is exceeded."}, "Rate limit is exceeded.", None, 429),
    ({"type": "error", "message": "m"}, "m", None, None),
    ({"type": "exception", "message": "m"}, "m", None, None),
    ({"type": "server_error", "message": "m", "param": None, "code": None}, "m", None, None),
    ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "m", "400", 400),
    ({"type": "about:blank", "title": "Too Many", "status": 429, "detail": "slow"}, "slow", None, 429),
    ({"error_code": 336100, "error_msg": "try again"}, "try again", "336100", None),
    ({"__type": "ThrottlingException", "message": "m"}, "m", "ThrottlingException", None),
    ({"fault": {"faultstring": "quota", "detail": {"errorcode": "x"}}}, "quota", None, None),
    ({"status": "RESOURCE_EXHAUSTED", "message": "m"}, "m", None, 429),
    ({"choices": [], "code": "Arrearage", "message": "m"}, "m", "Arrearage", None),
]  # fmt: skip

NOT_FILTERED = {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}
CHOICE = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
EMPTY: list[Any] = [None, {}, "", False, [], 0]
GOOD: list[dict[str, Any]] = [
    {"choices": [{**CHOICE, "content_filter_results": NOT_FILTERED}]},
    {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": NOT_FILTERED}]},
    *({"choices": [CHOICE], "error": value} for value in EMPTY),
    *({"error": value} for value in (*EMPTY, "none")),
    {"choices": [CHOICE], "error": {"code": None, "message": None}},
    {"choices": [CHOICE], "error": {"code": 0, "message": "success"}},
    {"choices": [CHOICE], "code": 500, "message": "m", "detail": "d", "status": "error"},
    {"choices": [CHOICE], "base_resp": {"status_code": 0, "status_msg": "success"}},
    {"choices": [], "usage": {"total_tokens": 1}, "base_resp": {"status_code": 0, "status_msg": ""}},
    {"choices": [], "usage": {"total_tokens": 1}, "code": 0, "message": "success"},
    {"code": 200, "msg": "OK", "data": {}},
    {"code": "0", "message": "anything"},
    {"code": "success", "message": "m"},
    {"code": 20000, "message": "m", "data": {"text": "x"}},
    {"status": "running", "message": "still at work"},
    {"status": "running", "message": "m", "code": 5},
    {"status": "processing", "detail": "step 2"},
    {"message": "hello"},
    {"message": "m", "progress": 0.5},
    {"type": "ping"},
    {"type": "ping", "message": "m", "code": 7},
    {"type": "progress", "message": "m", "code": "WORKING"},
    {"type": "codex.rate_limits", "rate_limits": {"limit_reached": True}, "code": None, "detail": "x"},
    {"type": "tool_result", "status": "failed", "success": False, "detail": "x"},
    {"type": "tool_error", "message": "the tool failed"},
    {"level": "warning", "code": "W1", "message": "deprecated"},
    {"status": 200, "message": "m"},
    {"success": True, "message": "m", "errors": []},
    {},
]


DIALECTS = (CHAT_COMPLETIONS, responses_dialect())


@pytest.mark.parametrize("document", GOOD, ids=json.dumps)
def test_object_that_only_resembles_a_failure_is_none(document: dict[str, Any]) -> None:
    assert failure_of(document) is None
    (event,) = EventStreamParser().feed(b"data: %b\n\n" % json.dumps(document).encode())
    for dialect in DIALECTS:
        chat_events = dialect.decoder(1).decode(event)
        assert not [chat_event for chat_event in chat_events if isinstance(chat_event, AnswerFailed)]


@pytest.mark.parametrize(("document", "message", "code", "status"), FAILURES, ids=json.dumps)
def test_failure_is_reported_by_decoders_and_documents_of_each_dialect(
    document: dict[str, Any], message: str, code: str | None, status: int | None
) -> None:
    failed = failure_of(document)
    assert failed is not None
    assert (failed.message, failed.code, failed.status) == (message, code, status)
    (event,) = EventStreamParser().feed(b"data: %b\n\n" % json.dumps(document).encode())
    for dialect in DIALECTS:
        for chat_events in (dialect.decoder(1).decode(event), dialect.document_events(document, 1)):
            (failed,) = [one for one in chat_events if isinstance(one, AnswerFailed)]
            assert failed.message == message
            assert StreamDone() not in chat_events


@pytest.mark.parametrize("name", ["error", "Error", "exception", "failure", "fatal"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.path)
def test_event_name_alone_can_mark_a_failure(dialect: Dialect, name: str) -> None:
    (event,) = EventStreamParser().feed(b'event: %b\ndata: {"foo": 1, "message": "m"}\n\n' % name.encode())
    assert dialect.decoder(1).decode(event) == [AnswerFailed("m", None, None, None, None)]


@pytest.mark.parametrize("name", ["ping", "progress", "keep-alive"])
def test_message_of_an_event_with_a_harmless_name_is_not_a_failure(name: str) -> None:
    assert failure_of({"code": 7, "message": "m"}, name) is None
    assert failure_of({"error": {"message": "m"}}, name) is not None


def test_minimax_base_resp_beside_choices_is_a_failure() -> None:
    document = {"choices": [CHOICE], "base_resp": {"status_code": 1027, "status_msg": "sensitive"}}
    assert failure_of(document) is not None


def test_failure_in_a_list_is_read() -> None:
    assert parse_failure([{"error": {"message": "m", "status": "INVALID_ARGUMENT"}}]).message == "m"


def test_endless_nesting_is_read_in_linear_time() -> None:
    document: dict[str, Any] = {"message": "m"}
    for _ in range(500):
        document = {"error": document}
    assert parse_failure(document).status is None


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("context_length_exceeded", 400),
        ("rate_limit_exceeded", 429),
        ("RateLimitError", 429),
        ("insufficient_quota", 429),
        ("model_not_found", 404),
        ("invalid_api_key", 401),
        ("server_error", 500),
        ("overloaded_error", 503),
        ("content_policy_violation", 400),
        ("RESOURCE_EXHAUSTED", 429),
        ("INVALID_ARGUMENT", 400),
        ("UNAVAILABLE", 503),
        ("Throttling.RateQuota", 429),
        ("com.amazon.coral.service#ThrottlingException", 429),
        ("429", 429),
        ("200", None),
        ("c", None),
        ("", None),
        (None, None),
    ],
)
def test_well_known_name_determines_the_status(name: str | None, status: int | None) -> None:
    assert status_named(name) == status


@pytest.mark.parametrize(
    "around", ['{"detail":%s}', '{"error":%s}', '{"error":{"message":%s}}', '{"errors":[%s]}']
)
def test_failure_is_read_at_every_depth_that_can_be_parsed(around: str) -> None:
    """This covers depths at which a document can still be parsed but no longer written."""
    end = bisect_left(range(20_000), True, key=lambda depth: nested(around, depth) is None)
    for depth in range(end - 60, end + 20):
        if document := nested(around, depth):
            assert failure_of(document)


def nested(around: str, depth: int) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(around % ('{"a":' * depth + "1" + "}" * depth))
    except RecursionError:
        return None
    return document
