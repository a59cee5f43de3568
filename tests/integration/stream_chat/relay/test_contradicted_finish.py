"""A finish_reason that later deltas contradict: some upstreams put one on every chunk."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clients.ui_message_client import Client, parts_in
from tests.support.runtime.relaying import RelayCall, Relayed
from tests.support.upstreams.replay_upstream import DONE, Reply, event

FORMATS = ["text", "sse", "event-source", "ui-message", "json"]
BREAKS = ["cut", "reset", "silent", "deadline", "malformed", "unframed"]
# Each format for one way to break off, and each way in one format: neither depends on the other.
BROKEN = [*((fmt, "cut") for fmt in FORMATS), *(("sse", how) for how in BREAKS[1:])]


def chunk_of(delta: dict[str, Any], finish: str | None = "stop", index: int = 0) -> bytes:
    return event(choices=[{"index": index, "delta": delta, "finish_reason": finish}])


def call(arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": arguments}}]}


CONTRADICTIONS: dict[str, list[bytes]] = {
    "text": [chunk_of({"content": "Par"}), chunk_of({"content": "tial"})],
    "text after one finish": [chunk_of({}), event("Partial")],
    "arguments": [chunk_of(call("{}")), chunk_of(call('{"city":'))],
    "another call": [
        chunk_of(call("{}")),
        chunk_of({"tool_calls": [{"index": 1, "id": "d", "function": {"name": "g", "arguments": ""}}]}, None),
    ],
    "reasoning": [chunk_of({"content": "Par"}), chunk_of({"reasoning_content": "hm"}, None)],
    "a refusal": [chunk_of({"content": "Par"}), chunk_of({"refusal": "No"}, None)],
}


def broken(relay: RelayCall, pieces: list[bytes], how: Any, fmt: str, **values: Any) -> Relayed:
    """Relay an answer that breaks off after these events."""
    if how == "deadline":
        return relay(Reply(pieces, ends="silent"), fmt=fmt, remaining_s=2.5, deadline_reserve_s=0.5, **values)
    if how == "malformed":  # the chunked coding is invalid
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        whole = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return relay(Reply([whole + b"no size\r\n"], headers=headers, ends="unframed"), fmt=fmt, **values)
    return relay(Reply(pieces, ends=how), fmt=fmt, idle_timeout_s=1.0, **values)


def is_told(got: Relayed, fmt: str) -> bool:
    """Whether a caller sees that the answer is broken."""
    if fmt == "json":
        return got.status >= 500
    if fmt == "ui-message":
        client = Client(parts_in(got.data))
        return client.error is not None and client.finish is None
    if fmt == "text":
        return got.body.error is not None or got.status >= 500
    return b"[DONE]" not in got.data and b'"error"' in got.data


@pytest.mark.parametrize(("fmt", "how"), BROKEN)
def test_an_answer_that_breaks_off_after_a_contradicted_finish_is_incomplete(
    relay: RelayCall, how: str, fmt: str
) -> None:
    got = broken(relay, CONTRADICTIONS["text"], how, fmt)
    assert got.transcript["outcome"] == "truncated"
    assert is_told(got, fmt)


@pytest.mark.parametrize("fmt", ["sse", "ui-message"])
@pytest.mark.parametrize("pieces", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_any_content_after_a_finish_reason_contradicts_it(
    relay: RelayCall, pieces: list[bytes], fmt: str
) -> None:
    got = broken(relay, pieces, "cut", fmt)
    assert got.transcript["outcome"] == "truncated"
    assert is_told(got, fmt)


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_once_contradicted_finish_reasons_no_longer_count_in_that_answer(relay: RelayCall, how: str) -> None:
    got = broken(relay, [*CONTRADICTIONS["text"], chunk_of({}, "stop")], how, "sse")
    assert got.transcript["outcome"] == "truncated"


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("end", [[], [DONE]])
def test_a_contradicted_finish_with_a_sentinel_or_a_clean_end_is_a_complete_answer(
    relay: RelayCall, end: list[bytes], fmt: str
) -> None:
    got = relay(Reply([*CONTRADICTIONS["text"], *end]), fmt=fmt)
    assert (got.transcript["outcome"], got.content) == ("completed", "Partial")
    assert not is_told(got, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_sentinel_ends_a_contradicted_answer_whose_connection_breaks(relay: RelayCall, fmt: str) -> None:
    got = broken(relay, [*CONTRADICTIONS["text"], DONE], "reset", fmt)
    assert got.transcript["outcome"] == "completed"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_break_after_an_uncontradicted_finish_is_a_normal_end(relay: RelayCall, fmt: str) -> None:
    got = broken(relay, [event("Whole"), chunk_of({"role": "assistant", "content": ""})], "reset", fmt)
    assert (got.transcript["outcome"], got.content) == ("completed", "Whole")
    assert not is_told(got, fmt)


def test_a_choice_contradicts_only_itself(relay: RelayCall) -> None:
    pieces = [chunk_of({"content": "One"}), chunk_of({"content": "Two"}, index=1)]
    assert broken(relay, pieces, "reset", "sse", n=2).transcript["outcome"] == "completed"
    pieces = [*pieces, chunk_of({"content": " more"}, index=1)]
    assert broken(relay, pieces, "reset", "sse", n=2).transcript["outcome"] == "truncated"


def test_the_last_finish_reason_of_a_contradicted_choice_is_its_finish_reason(relay: RelayCall) -> None:
    got = relay(
        Reply([*CONTRADICTIONS["text"], chunk_of({"content": "."}, "length"), DONE]), fmt="ui-message"
    )
    assert got.transcript["outcome"] == "incomplete"
    assert got.transcript["response"]["choices"][0]["finish_reason"] == "length"
    [finish] = [part for part in parts_in(got.data) if part["type"] == "finish"]
    assert finish["finishReason"] == "length"


def test_text_under_a_finish_reason_on_every_chunk_is_one_part_of_the_message(relay: RelayCall) -> None:
    got = relay(Reply([*CONTRADICTIONS["text"], DONE]), fmt="ui-message")
    assert [part["type"] for part in parts_in(got.data)].count("text-start") == 1


def test_a_tool_runs_with_arguments_that_arrived_after_a_finish_reason(relay: RelayCall) -> None:
    pieces = [chunk_of(call("")), chunk_of(call('{"city":')), chunk_of(call('"Rome"}')), DONE]
    [tool] = Client(parts_in(relay(Reply(pieces), fmt="ui-message").data)).tools.values()
    assert tool["input"] == {"city": "Rome"}


def test_one_choice_of_two_is_a_complete_answer_if_the_body_ends_normally(relay: RelayCall) -> None:
    got = relay(Reply([event("One"), event(finish="stop")]), n=2)
    assert (got.transcript["outcome"], got.data, got.body.error) == ("completed", b"One", None)
