"""An upstream that says nothing: whatever becomes of it, the caller's answer has a body."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.recorded_stream import recorded_stream
from tests.support.upstreams.replay_upstream import DONE, Reply, event, usage_event

ROLE = event("", role="assistant")
END = event(finish="stop")
FORMATS = ("text", "sse", "event-source", "ui-message", "json")
SILENT: dict[str, Reply] = {
    "no text": Reply([ROLE, END, usage_event(), DONE]),
    "only usage": Reply([usage_event()]),
    "only an end": Reply([DONE]),
    "only comments": Reply([b": one\n\n", b": two\n\n"]),
    "cut before the text": Reply([ROLE], ends="cut"),
    "cut after comments": Reply([b": one\n\n"], ends="cut"),
    "nothing": Reply([]),
    "204": Reply([], status=204, headers={}),
    "304": Reply([], status=304, headers={}),
}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("silence", SILENT)
def test_a_silent_upstream_never_makes_an_answer_without_a_body(
    relay: RelayCall, silence: str, fmt: str
) -> None:
    got = relay(SILENT[silence], fmt=fmt, upstream_retries=0)
    assert got.data
    assert got.status not in (204, 205, 304)


def test_a_text_without_a_word_is_a_line_feed(relay: RelayCall) -> None:
    got = relay(SILENT["no text"], fmt="text")
    assert (got.status, got.data, got.content) == (200, b"\n", "")
    assert got.transcript["outcome"] == "completed"


def test_a_text_that_breaks_off_before_its_first_word_is_an_error(relay: RelayCall) -> None:
    got = relay(SILENT["cut before the text"], fmt="text")
    assert (got.data, got.transcript["outcome"]) == (b"\n", "truncated")
    assert got.body.error is not None


@pytest.mark.parametrize(("fmt", "gap_s"), [("text", 0.04), ("sse", 0.04), ("json", 0.0)])
def test_the_gap_is_for_answers_that_are_streamed(relay: RelayCall, fmt: Any, gap_s: float) -> None:
    stream = recorded_stream()
    relay(Reply([ROLE, event("Hi"), END, DONE]), fmt=fmt, stream=stream, prelude_gap_ms=40)
    assert stream[0].prelude_gap_s == gap_s


@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_a_gap_longer_than_the_answer_may_take_ends_at_its_deadline(relay: RelayCall, fmt: Any) -> None:
    sent = Reply([event("Hi")], ends="silent")
    got = relay(sent, fmt=fmt, prelude_gap_ms=60_000, remaining_s=3.0, deadline_reserve_s=0.5)
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("truncated", "deadline_exceeded")
    assert (got.content, got.data[:2].strip() != b"") == ("Hi", True)
