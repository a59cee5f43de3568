"""An answer has a bound: memory and work after the deadline do not grow with what an upstream sends."""

from __future__ import annotations

import json
import sys

import pytest

from chat_stream.dialects.dialect import responses_dialect
from tests.support.clients.ui_message_client import Client, parts_in
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.endless_answers import CHAT_SHAPES, RESPONSE_SHAPES, chunk, cost_of
from tests.support.upstreams.replay_upstream import Reply, completion, event

MAX_PEAK_MB = 200
MAX_LATE_S = 2.0  # a tenth of it is processor time; the deadline's reserve is 3 s
DEADLINE_S = 3.0

FORMATS = ["text", "sse", "ui-message", "json"]
COSTS = [(name, "sse") for name in CHAT_SHAPES]
COSTS += [(name, "json") for name in ("short deltas", "calls", "lists in an unknown field", "audio")]
COSTS += [(name, "ui-message") for name in ("arguments", "one event with one wide character")]
COSTS += [(name, fmt) for name in RESPONSE_SHAPES for fmt in ("responses-sse", "responses-document")]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("name", "fmt"), COSTS)
def test_any_answer_takes_less_than_200_mb_and_ends_in_time(name: str, fmt: str) -> None:
    cost = cost_of({**CHAT_SHAPES, **RESPONSE_SHAPES}[name], fmt, DEADLINE_S)
    assert cost.peak_mb < MAX_PEAK_MB
    assert cost.late_s < MAX_LATE_S
    assert cost.transcript["outcome"] == "truncated"


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_answer_that_reaches_the_bound_ends_as_at_the_deadline(relay: RelayCall, fmt: str) -> None:
    reply = Reply([event("a" * 600), event("b" * 600)], ends="silent")
    got = relay(reply, fmt=fmt, max_answer_bytes=2048)
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("truncated", "upstream_too_large")
    assert got.content == "a" * 600 + "b" * 424  # the rest is for the state of a choice
    assert got.transcript["response"]["omitted_bytes"] == 176
    if fmt == "json":
        assert (got.status, got.error["code"]) == (502, "upstream_too_large")
    elif fmt == "text":
        assert (got.data, got.body.error is not None) == (b"a" * 600, True)
    elif fmt == "sse":
        assert got.data.startswith(event("a" * 600))
        assert json.loads(got.data.split(b"data: ")[-1])["error"]["code"] == "upstream_too_large"
    else:
        client = Client(parts_in(got.data))
        assert (client.text, client.finish) == ("a" * 600, None)
        assert client.error is not None


def test_events_before_the_bound_in_the_same_read_reach_the_caller(relay: RelayCall) -> None:
    got = relay(Reply([(event("a" * 600), event("b" * 600))], ends="silent"), max_answer_bytes=2048)
    assert got.data == b"a" * 600


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "x" * 2000},
        {"refusal": "x" * 2000},
        {"tool_calls": [{"index": 0, "function": {"arguments": "x" * 2000}}]},
        {"tool_calls": [{"index": 0, "id": "x" * 2000}]},
        {"tool_calls": [{"index": number, "id": f"c{number}"} for number in range(3)]},
        {"audio": {"transcript": "x" * 2000}},
    ],
)
def test_every_kind_of_content_counts(relay: RelayCall, delta: dict[str, object]) -> None:
    got = relay(Reply([chunk(delta)], ends="silent"), fmt="sse", max_answer_bytes=2048)
    assert got.transcript["reason"] == "upstream_too_large"


def test_all_choices_count_together(relay: RelayCall) -> None:
    pieces = [chunk({"content": "x" * 600}, index=number) for number in (0, 1)]
    assert (
        relay(Reply(pieces, ends="silent"), n=2, max_answer_bytes=3000).transcript["outcome"] == "truncated"
    )


def test_a_bound_within_a_character_leaves_the_character_out(relay: RelayCall) -> None:
    got = relay(Reply([event("é" * 1000)]), max_answer_bytes=2049)
    assert (got.content, got.transcript["response"]["omitted_bytes"]) == ("é" * 512, 976)


def test_an_answer_without_streaming_over_the_bound_is_refused_and_its_beginning_kept(
    relay: RelayCall,
) -> None:
    got = relay(Reply.json(completion("x" * 3000)), fmt="json", max_answer_bytes=2048)
    assert (got.status, got.error["code"]) == (502, "upstream_too_large")
    assert got.content == "x" * 1024


def test_a_response_over_the_bound_ends_in_its_error_event(relay: RelayCall) -> None:
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x" * 2000}
    reply = Reply([b"data: " + json.dumps(delta).encode() + b"\n\n"], ends="silent")
    got = relay(reply, fmt="responses-sse", dialect=responses_dialect(), max_answer_bytes=2048)
    assert json.loads(got.data.split(b"data: ")[-1])["error"]["code"] == "upstream_too_large"


def test_an_answer_below_the_bound_is_complete(relay: RelayCall) -> None:
    got = relay(Reply([event("x" * 1000), event(finish="stop")]), max_answer_bytes=2048)
    assert got.transcript["outcome"] == "completed"
    assert "omitted_bytes" not in got.transcript["response"]
