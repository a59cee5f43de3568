"""Events that are not HTTP requests: their kind is reported and logged, and nothing of their content."""

from __future__ import annotations

from typing import Any

import pytest

from public.other_events import event_kind


@pytest.mark.parametrize(
    "event",
    [{"Records": []}, {"Records": [None]}, {"Records": [{"eventSource": []}]}, {"Records": {}},
     {"requestContext": None}, {"requestContext": "elb"}, {"source": ["serverless-plugin-warmup"]}],
)  # fmt: skip
def test_an_event_of_an_odd_shape_has_a_kind_too(event: Any) -> None:
    assert event_kind(event) in ("records", "unknown object")
