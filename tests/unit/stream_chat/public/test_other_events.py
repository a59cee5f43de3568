"""Events that are not HTTP requests: their kind is reported and logged, and nothing of their content."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from public.other_events import acknowledged, event_kind
from request.http_request import is_http_request
from tests.support.other_events import OTHER_EVENTS, SECRET


@pytest.mark.parametrize(("kind", "event"), OTHER_EVENTS)
def test_each_kind_is_not_an_http_request_and_has_a_name(kind: str, event: Any) -> None:
    assert not is_http_request(event)
    assert event_kind(event) == kind


@pytest.mark.parametrize(("kind", "event"), OTHER_EVENTS)
def test_each_event_is_answered_200_and_logged_once_by_its_kind(
    kind: str, event: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = acknowledged(event)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {"status": "ok", "event": kind}
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"not an HTTP request: {kind}")
    ]
    assert SECRET not in answer.body.decode() + caplog.text


@pytest.mark.parametrize(
    "event",
    [{"Records": []}, {"Records": [None]}, {"Records": [{"eventSource": []}]}, {"Records": {}},
     {"requestContext": None}, {"requestContext": "elb"}, {"source": ["serverless-plugin-warmup"]}],
)  # fmt: skip
def test_an_event_of_an_odd_shape_has_a_kind_too(event: Any) -> None:
    assert event_kind(event) in ("records", "unknown object")
