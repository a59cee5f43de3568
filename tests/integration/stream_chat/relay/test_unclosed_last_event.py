"""A last event without its blank line counts only if the body is whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.stream_chat.relay.test_contradicted_finish import BROKEN, FORMATS, broken, is_told
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.replay_upstream import DONE, Reply, event, usage_event

LASTS = {"finish": event(".", finish="stop"), "sentinel": DONE}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("last", LASTS)
def test_an_unclosed_last_event_of_a_whole_body_counts(relay: RelayCall, last: str, fmt: str) -> None:
    got = relay(Reply([event("Hello"), LASTS[last].rstrip()]), fmt=fmt)
    assert got.transcript["outcome"] == "completed"
    assert not is_told(got, fmt)


@pytest.mark.parametrize(
    ("fmt", "how", "last"), [(*way, "finish") for way in BROKEN] + [("sse", "cut", "sentinel")]
)
def test_an_unclosed_last_event_of_a_broken_body_is_ignored(
    relay: RelayCall, how: Any, last: str, fmt: str
) -> None:
    got = broken(relay, [event("Hello"), LASTS[last].rstrip()], how, fmt)
    assert got.transcript["outcome"] == "truncated"
    assert is_told(got, fmt)


@pytest.mark.parametrize("how", ["cut", "reset", "unframed"])
def test_usage_that_breaks_off_after_the_answers_end_is_ignored(relay: RelayCall, how: Any) -> None:
    got = broken(relay, [event("Hello", finish="stop"), usage_event().rstrip()], how, "sse")
    assert (got.transcript["outcome"], got.transcript["response"]["usage"]) == ("completed", None)
    whole = relay(Reply([event("Hello", finish="stop"), usage_event().rstrip()]), fmt="sse")
    assert whole.transcript["response"]["usage"]["total_tokens"]


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_error_as_the_only_event_of_a_whole_body_has_its_status(relay: RelayCall, fmt: str) -> None:
    error = b'data: {"error":{"message":"Slow down.","type":"rate_limit_error","code":"rate_limit_exceeded"}}'
    got = relay(Reply([error]), fmt=fmt)
    assert (got.status, got.transcript["outcome"]) == (429, "failed")
    assert b"Slow down." in got.data


@pytest.mark.parametrize("data", [b'data: {"choices":[', b"data: Hello", b": comment", b"event: done"])
def test_an_incomplete_event_is_not_an_answer(relay: RelayCall, data: bytes) -> None:
    got = relay(Reply([event("Hello"), data]), fmt="sse")
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("truncated", "upstream_interrupted")
