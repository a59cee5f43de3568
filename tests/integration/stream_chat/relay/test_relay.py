"""Successful answers through the relay: what the caller gets while the upstream writes; the transcript."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import pytest

from product import PRODUCT
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.recorded_stream import recorded_stream
from tests.support.upstreams.replay_upstream import (
    DONE,
    ReplayUpstream,
    Reply,
    answer,
    completion,
    event,
    usage_event,
)


def test_text_arrives_and_the_transcript_is_completed(relay: RelayCall) -> None:
    got = relay(Reply(answer("Hello ", "wörld")))
    assert (got.status, got.data.decode()) == (200, "Hello wörld")
    assert got.body.error is None
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("completed", None)
    assert got.content == "Hello wörld"
    assert got.transcript["response"]["usage"]["total_tokens"] == 3
    assert got.transcript["id"] == "r-1"
    assert got.transcript["upstream"]["attempts"] == 1


def test_each_delta_is_written_while_the_upstream_is_still_writing(
    relay: RelayCall, replay: ReplayUpstream
) -> None:
    stream = recorded_stream()
    gates = [threading.Event() for _ in range(3)]
    pieces: list[Any] = []
    for number, gate in enumerate(gates):
        pieces += [event(f"word{number} "), gate]

    def open_gates() -> None:
        for number, gate in enumerate(gates, start=1):
            stream[1].wait_for_pieces(number)  # the next event is sent only when this one has arrived
            gate.set()

    opener = threading.Thread(target=open_gates)
    opener.start()
    got = relay(Reply([*pieces, event(finish="stop"), DONE]), stream=stream)
    opener.join()
    assert [piece.decode() for piece in got.body.pieces] == ["word0 ", "word1 ", "word2 "]


def test_an_answer_without_streaming_is_the_upstreams_document_unchanged(relay: RelayCall) -> None:
    document = json.dumps(completion("Hello", vendor={"x": [1.0, "é"]}), indent=1).encode()
    got = relay(Reply.json(document), fmt="json")
    assert got.data == document
    assert got.body.prelude is not None
    assert got.body.prelude["headers"]["content-type"] == "application/json"
    assert got.transcript["outcome"] == "completed"
    assert got.content == "Hello"


def test_an_upstream_that_never_closes_after_done_is_not_waited_for_long(relay: RelayCall) -> None:
    started_at = time.monotonic()
    got = relay(Reply(answer("One"), ends="silent"))
    assert got.transcript["outcome"] == "completed"
    assert time.monotonic() - started_at < 20  # the idle limit is longer


@pytest.mark.parametrize("fmt", ["text", "sse", "json"])
def test_data_after_done_does_not_delay_the_end(relay: RelayCall, fmt: str) -> None:
    got = relay(Reply([*answer("Hi"), 0.1, usage_event()], ends="silent"), fmt=fmt, idle_timeout_s=60.0)
    assert got.transcript["outcome"] == "completed"
    assert got.transcript["timings"]["duration_ms"] < 20_000


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_an_invocation_without_a_deadline_is_relayed(relay: RelayCall, fmt: str) -> None:
    reply = Reply(answer("One")) if fmt == "text" else Reply.json(completion("One"))
    assert relay(reply, fmt=fmt, remaining_s=sys.maxsize / 1000).content == "One"


def test_work_that_must_not_delay_the_first_byte_begins_after_it(relay: RelayCall) -> None:
    stream = recorded_stream()
    seen: list[int] = []
    relay(Reply(answer("One")), stream=stream, on_answer=lambda: seen.append(len(stream[1].pieces)))
    assert seen[0] >= 1


def test_the_transcript_names_the_relay_and_its_version(relay: RelayCall) -> None:
    assert relay(Reply(answer("One"))).transcript["producer"] == PRODUCT
