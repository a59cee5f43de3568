"""stream.js, as the relay serves it, with every vector of the standard and every stream of a provider."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.clients.node_programs import run_node_program
from tests.support.clients.stream_module import FORMATS, Seen, job, read
from tests.support.clients.ui_message_client import UI_REASONS
from tests.support.conformance_cases import (
    SPLIT_SIZES,
    SseVector,
    StreamCase,
    choices_of,
    split,
    sse_vectors,
    stream_cases,
)
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream
from tests.support.upstreams.stream_case_replies import case_reply

VECTORS = sse_vectors()


# -- the parser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parsed(relay: ServedRelay) -> Callable[[SseVector, int | None], dict[str, Any]]:
    keys = [(vector.name, size) for vector in VECTORS for size in SPLIT_SIZES]
    jobs = [
        {"feed": [base64.b64encode(piece).decode() for piece in split(vector.body, size)]}
        for vector in VECTORS
        for size in SPLIT_SIZES
    ]
    seen = dict(
        zip(keys, run_node_program("stream_module.mjs", f"{relay.url}/stream.js", jobs=jobs), strict=True)
    )
    return lambda vector, size: dict(seen[vector.name, size])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_each_vector_is_parsed_into_the_events_of_the_standard(
    parsed: Callable[[SseVector, int | None], dict[str, Any]], vector: SseVector
) -> None:
    for size in SPLIT_SIZES:
        seen = parsed(vector, size)
        events = [(event["type"], event["data"], event["id"]) for event in seen["events"]]
        assert events == [(event["event"], event["data"], event["id"]) for event in vector.expected]
        assert seen["lastEventId"] == vector.last_event_id
        assert seen["reconnectionTimeMs"] == vector.reconnection_time_ms
    each_byte = parsed(vector, 1)  # each event is delivered at the byte that completes it
    assert [event["number"] + 1 for event in each_byte["events"]] == vector.deliver_by_offset


# -- the streams of providers ----------------------------------------------------------------------------

CASES = [(case, fmt) for case in stream_cases() for fmt in FORMATS[case.expected["api"]]]


@pytest.fixture(scope="module")
def answers(relay: ServedRelay, replay: ReplayUpstream) -> Mapping[tuple[str, str], Seen]:
    jobs = []
    for case, fmt in CASES:
        model = f"stream-module-{case.name}-{fmt}"
        replay.answer(model, case_reply(case, None))
        jobs.append(job(relay, fmt, model))
        if fmt != "responses":
            jobs[-1]["options"]["body"] = {"n": choices_of(case)}
    seen = read(relay, *jobs)
    return {(case.name, fmt): one for (case, fmt), one in zip(CASES, seen, strict=True)}


def finish_reason(expected: Mapping[str, Any], fmt: str) -> str | None:
    """The expected finish reason in this format."""
    reason = expected["finish_reason"]
    if fmt == "responses":
        return "stop" if reason == "completed" else str(reason)
    if fmt == "ui-message" and reason is not None:
        return UI_REASONS.get(reason, "other")
    return None if reason is None else str(reason)


@pytest.mark.parametrize(("case", "fmt"), CASES, ids=[f"{case.name}-{fmt}" for case, fmt in CASES])
def test_a_providers_stream_ends_as_expected(
    answers: Mapping[tuple[str, str], Seen], case: StreamCase, fmt: str
) -> None:
    seen, expected = answers[case.name, fmt], case.expected
    is_whole = expected["outcome"] in ("completed", "incomplete")
    assert (seen.error is None, seen.whole) == (is_whole, is_whole), seen.error
    text = seen.text
    assert "".join(seen.deltas) == text
    assert [one for one, _ in seen.called] == seen.deltas
    assert not seen.called or seen.called[-1][1] == text
    if fmt == "text" and text == "\n":  # no answer is streamed with an empty body
        text = ""
    shown = text.encode()  # before an error, text that arrived with it may be missing, but none is invented
    if is_whole:
        refusal = (expected["refusal"] or "").encode()
        assert shown.endswith(refusal)  # without it an empty answer would look like a success
        assert hashlib.sha256(shown.removesuffix(refusal)).hexdigest() == expected["text_sha256"]
        assert seen.finishReason == (None if fmt == "text" else finish_reason(expected, fmt))
        assert (seen.usage is not None) is (fmt != "text" and expected["usage"] is not None)
    elif expected["text"] is not None:
        assert expected["text"].startswith(text)
    if seen.error is not None:
        assert seen.error["name"] == "StreamError"
        assert seen.error["code"]
        assert seen.error["message"]
        assert seen.error["text"] == text
        assert seen.error["requestId"] == seen.requestId
    assert seen.requestId
