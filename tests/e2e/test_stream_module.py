"""stream.js, as the relay serves it: the vectors of the standard, the streams of providers, ways to stop."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.conformance_cases import (
    SPLIT_SIZES,
    SseVector,
    StreamCase,
    split,
    sse_vectors,
    stream_cases,
)
from tests.support.local_stack import LocalStack, free_ports
from tests.support.node_programs import run_node_program
from tests.support.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event
from tests.support.stream_case_replies import case_reply
from tests.support.transcript_queue import TranscriptQueue

VECTORS = sse_vectors()
FORMATS: Mapping[str, tuple[str, ...]] = {
    "chat": ("sse", "event-source", "text", "ui-message"),
    "responses": ("responses",),
}
PATHS = {
    "sse": "/v1/chat/completions",
    "event-source": "/chatCompletion",
    "text": "/chatCompletion",
    "ui-message": "/api/chat",
    "responses": "/v1/responses",
}
UI_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
Job = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What the module told of an answer; `called` are the calls of onDelta."""

    deltas: list[str]
    called: list[tuple[str, str]]
    error: Mapping[str, Any] | None
    whole: bool
    text: str
    usage: Mapping[str, Any] | None
    finishReason: str | None  # noqa: N815 - the module's own name
    requestId: str | None  # noqa: N815
    status: int | None
    isAborted: bool  # noqa: N815


def job(stack: LocalStack, fmt: str, model: str, **more: Any) -> Job:
    """A question in this format."""
    if fmt == "responses":
        asked: dict[str, Any] = {"body": {"input": "hi", "model": model}}
    elif fmt == "ui-message":
        message = {"role": "user", "parts": [{"type": "text", "text": "hi"}]}
        asked = {"messages": [message], "model": model}
    else:
        asked = {"messages": [{"role": "user", "content": "hi"}], "model": model}
    if fmt == "text":
        asked["headers"] = {"accept": "text/plain"}
    return {"url": f"{stack.url}{PATHS[fmt]}", "options": asked, **more}


def read(stack: LocalStack, *jobs: Job) -> list[Seen]:
    return [Seen(**one) for one in run_node_program("stream_module.mjs", f"{stack.url}/stream.js", jobs=jobs)]


# -- the parser ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parsed(stack: LocalStack) -> Callable[[SseVector, int | None], dict[str, Any]]:
    keys = [(vector.name, size) for vector in VECTORS for size in SPLIT_SIZES]
    jobs = [
        {"feed": [base64.b64encode(piece).decode() for piece in split(vector.body, size)]}
        for vector in VECTORS
        for size in SPLIT_SIZES
    ]
    seen = dict(
        zip(keys, run_node_program("stream_module.mjs", f"{stack.url}/stream.js", jobs=jobs), strict=True)
    )
    return lambda vector, size: dict(seen[vector.name, size])


@pytest.mark.parametrize("size", SPLIT_SIZES)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_vector_gives_the_events_of_the_standard(
    parsed: Callable[[SseVector, int | None], dict[str, Any]], vector: SseVector, size: int | None
) -> None:
    seen = parsed(vector, size)
    events = [(event["type"], event["data"], event["id"]) for event in seen["events"]]
    assert events == [(event["event"], event["data"], event["id"]) for event in vector.expected]
    assert seen["lastEventId"] == vector.last_event_id
    assert seen["reconnectionTimeMs"] == vector.reconnection_time_ms
    if size == 1:  # each event came from the very byte that completes it
        assert [event["number"] + 1 for event in seen["events"]] == vector.deliver_by_offset


# -- the streams of providers ----------------------------------------------------------------------------

CASES = [(case, fmt) for case in stream_cases() for fmt in FORMATS[case.expected["api"]]]


@pytest.fixture(scope="module")
def answers(stack: LocalStack, replay: ReplayUpstream) -> Mapping[tuple[str, str], Seen]:
    jobs = []
    for case, fmt in CASES:
        model = f"stream-module-{case.name}-{fmt}"
        replay.answer(model, case_reply(case, None))
        jobs.append(job(stack, fmt, model))
        if fmt != "responses":
            jobs[-1]["options"]["body"] = {"n": max(len(case.expected["choices"]), 1)}
    seen = read(stack, *jobs)
    return {(case.name, fmt): one for (case, fmt), one in zip(CASES, seen, strict=True)}


def finish_reason(expected: Mapping[str, Any], fmt: str) -> str | None:
    """As this format says it."""
    reason = expected["finish_reason"]
    if fmt == "responses":
        return "stop" if reason == "completed" else str(reason)
    if fmt == "ui-message" and reason is not None:
        return UI_REASONS.get(reason, "other")
    return None if reason is None else str(reason)


@pytest.mark.parametrize(("case", "fmt"), CASES, ids=[f"{case.name}-{fmt}" for case, fmt in CASES])
def test_a_providers_stream_is_told_as_it_ended(
    answers: Mapping[tuple[str, str], Seen], case: StreamCase, fmt: str
) -> None:
    seen, expected = answers[case.name, fmt], case.expected
    is_whole = expected["outcome"] in ("completed", "incomplete")
    assert (seen.error is None, seen.whole) == (is_whole, is_whole), seen.error
    text = seen.text
    assert "".join(seen.deltas) == text
    assert [one for one, _ in seen.called] == seen.deltas
    assert not seen.called or seen.called[-1][1] == text
    shown = text.encode()  # of text before an error, what came with it may be missing, and is never invented
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


@pytest.mark.parametrize(
    ("fmt", "usage", "finish_reason"),
    [
        ("sse", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "stop"),
        ("event-source", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "stop"),
        ("ui-message", {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "stop"),
        ("text", None, None),
    ],
)
def test_a_whole_answer_tells_its_text_usage_and_end(
    stack: LocalStack,
    replay: ReplayUpstream,
    model: str,
    fmt: str,
    usage: dict[str, int] | None,
    finish_reason: str | None,
) -> None:
    replay.answer(model, Reply(answer("Hel", "lo")))
    (seen,) = read(stack, job(stack, fmt, model))
    assert (seen.text, seen.error, seen.whole, seen.status) == ("Hello", None, True, 200)
    assert {name: (seen.usage or {}).get(name) for name in usage or {}} == (usage or {})
    assert (seen.usage is None, seen.finishReason) == (usage is None, finish_reason)


def test_halves_of_a_character_are_one_delta(stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    wave = [event("a\ud83d"), event("\udc4b!"), event(finish="stop"), DONE]
    replay.answer(model, Reply(wave))
    (seen,) = read(stack, job(stack, "sse", model))
    assert seen.deltas == ["a", "👋!"]


def test_a_question_may_stand_in_the_address(stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hel", "lo")))
    url = f"{stack.url}/chatCompletion?message=hi&model={model}"
    (seen,) = read(stack, {"url": url, "options": {"method": "GET"}})
    assert (seen.text, seen.error) == ("Hello", None)


# -- what goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS["chat"])
def test_a_refused_request_says_why(stack: LocalStack, model: str, fmt: str) -> None:
    asked = job(stack, fmt, model)
    asked["options"] |= {"messages": [], "body": {"messages": []}}
    (seen,) = read(stack, asked)
    assert seen.error is not None
    told = {name: seen.error[name] for name in ("name", "status", "code", "param", "text")}
    expected = {
        "name": "StreamError",
        "status": 400,
        "code": "invalid_value",
        "param": "messages",
        "text": "",
    }
    assert told == expected


def test_how_long_to_wait_is_told(stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    replay.answer(model, Reply.json(error, 429, retry_after="11"))
    (seen,) = read(stack, job(stack, "sse", model))
    assert seen.error is not None
    assert [seen.error[name] for name in ("status", "code", "retryAfterS")] == [
        429,
        "rate_limit_exceeded",
        11,
    ]


@pytest.mark.parametrize(
    ("fmt", "code"),
    [
        ("sse", "upstream_interrupted"),
        ("event-source", "upstream_interrupted"),
        ("ui-message", "upstream_error"),  # an error part has a text, and nothing else
        ("text", "interrupted"),  # and text has not even that
    ],
)
def test_a_cut_is_an_error_that_keeps_the_text(
    stack: LocalStack, replay: ReplayUpstream, model: str, fmt: str, code: str
) -> None:
    replay.answer(model, Reply([event("Hel"), event("lo")], ends="cut"))
    (seen,) = read(stack, job(stack, fmt, model))
    assert seen.error is not None
    assert (seen.error["code"], seen.error["status"], seen.error["text"]) == (code, 200, "Hello")
    assert (seen.text, "".join(seen.deltas), seen.whole) == ("Hello", "Hello", False)


def test_what_cannot_be_reached_or_is_no_stream_is_told_from_here(stack: LocalStack) -> None:
    port = free_ports(1)
    nobody, health = read(
        stack,
        {"url": f"http://127.0.0.1:{port}/chatCompletion", "options": {"messages": []}},
        {"url": f"{stack.url}/health", "options": {"method": "GET"}},
    )
    assert nobody.error is not None
    assert (nobody.error["code"], nobody.error["status"]) == ("unreachable", None)
    assert health.error is not None
    assert (health.error["code"], health.error["status"]) == ("not_a_stream", 200)
    assert "application/json" in health.error["message"]


def test_what_stands_before_the_relay_is_heard_in_its_own_words(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply.json({"Message": "Forbidden. See the documentation."}, 403))
    asked = job(stack, "sse", model) | {
        "url": f"{replay.url}/chat/completions"
    }  # no relay: as AWS itself answers
    (seen,) = read(stack, asked)
    assert seen.error is not None
    assert (seen.error["code"], seen.error["message"]) == ("http_403", "Forbidden. See the documentation.")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"message": "slow down", "code": 429}, "429", "slow down"),
        (
            {"message": {"text": "m"}, "code": {"toString": 1}, "type": "t"},
            "t",
            "The upstream has reported an error.",
        ),
        ({"message": "", "code": "", "type": ""}, "upstream_error", "The upstream has reported an error."),
    ],
)
def test_an_error_of_any_shape_is_told_in_texts(
    stack: LocalStack, replay: ReplayUpstream, model: str, error: dict[str, Any], code: str, message: str
) -> None:
    reported = f"data: {json.dumps({'error': error})}\n\n".encode()
    replay.answer(model, Reply([event("Half"), 0.1, reported]))
    (seen,) = read(stack, job(stack, "sse", model))
    assert seen.error is not None
    assert (seen.error["code"], seen.error["message"], seen.text) == (code, message, "Half")


# -- streams that no relay would send --------------------------------------------------------------------


def direct(replay: ReplayUpstream, model: str, **options: Any) -> Job:
    """A question to the upstream itself."""
    asked = {"messages": [{"role": "user", "content": "hi"}], "model": model, **options}
    return {"url": f"{replay.url}/chat/completions", "options": asked}


def read_direct(stack: LocalStack, replay: ReplayUpstream, model: str, reply: Reply, **options: Any) -> Seen:
    replay.answer(model, reply)
    (seen,) = read(stack, direct(replay, model, **options))
    return seen


def test_a_stream_that_ends_well_without_a_terminal_signal_was_cut(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    seen = read_direct(stack, replay, model, Reply([event("Half")]))
    assert seen.error is not None
    assert (seen.error["code"], seen.text, seen.whole) == ("interrupted", "Half", False)


@pytest.mark.parametrize("last", [event(finish="stop"), DONE])
def test_what_breaks_off_after_the_end_was_whole(
    stack: LocalStack, replay: ReplayUpstream, model: str, last: bytes
) -> None:
    seen = read_direct(stack, replay, model, Reply([event("Whole."), last, 0.1], ends="cut"))
    assert (seen.error, seen.text, seen.whole) == (None, "Whole.", True)


def test_the_first_finish_reason_and_the_last_usage_stand(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    usages = [event(choices=[], usage={"completion_tokens": number}) for number in (1, 2)]
    pieces: list[Piece] = [event("a"), event(finish="length"), event(finish="stop"), *usages, DONE]
    seen = read_direct(stack, replay, model, Reply(pieces))
    assert (seen.finishReason, seen.usage) == ("length", {"completion_tokens": 2})


def test_a_content_in_parts_is_read(stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    delta = {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, {"type": "other"}]}
    chunk = event(choices=[{"index": 0, "delta": delta}])
    assert read_direct(stack, replay, model, Reply([chunk, event(finish="stop"), DONE])).text == "Hello"


def test_half_a_character_at_the_end_is_shown_as_missing(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    seen = read_direct(stack, replay, model, Reply([event("a\ud83d"), event(finish="stop"), DONE]))
    assert seen.deltas == ["a", "\ufffd"]


def test_an_error_that_is_a_text_is_its_message(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    seen = read_direct(stack, replay, model, Reply([event("a"), b'data: {"error": "no more"}\n\n']))
    assert seen.error is not None
    assert (seen.error["message"], seen.error["code"]) == ("no more", "upstream_error")


def test_after_an_error_the_connection_is_closed(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    error = b'data: {"error": {"message": "m", "type": "t", "code": "c"}}\n\n'
    seen = read_direct(stack, replay, model, Reply([event("a"), error], ends="silent"))
    assert seen.error is not None
    assert [seen.error[name] for name in ("message", "type", "code")] == ["m", "t", "c"]
    assert replay.exchanges(model)[0].over.wait(10)
    assert replay.exchanges(model)[0].left_at is not None


def test_text_is_text_however_its_characters_are_cut(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    text = "\ufeffGrüße 👋 and"
    pieces: list[Piece] = [piece for byte in text.encode() for piece in (bytes([byte]), 0.005)]
    reply = Reply([*pieces, b"\xf0\x9f"], 200, {"content-type": "text/plain; charset=utf-8"})
    seen = read_direct(stack, replay, model, reply)
    assert (seen.text, seen.error) == (f"{text}\ufffd", None)


def test_what_the_caller_says_of_the_stream_is_sent_but_that_it_is_one(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    own = {"stream_options": {"include_usage": False}, "stream": False, "temperature": 0.2}
    assert read_direct(stack, replay, model, Reply(answer("Hello")), body=own).text == "Hello"
    sent = replay.exchanges(model)[0].body
    assert {name: sent[name] for name in own} == {**own, "stream": True}


# -- stopping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["signal", "break", "method"])
@pytest.mark.parametrize("fmt", FORMATS["chat"])
def test_to_stop_closes_the_connection(
    stack: LocalStack,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    model: str,
    fmt: str,
    by: str,
) -> None:
    pieces: list[Piece] = [piece for number in range(200) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(pieces))
    (seen,) = read(stack, job(stack, fmt, model, stop=2, by=by))
    assert len(seen.deltas) < 20
    assert seen.text.startswith("word0 word1 ")
    assert (seen.isAborted, seen.whole) == (True, False)
    assert (seen.error or {}).get("name") == (None if by == "break" else "AbortError")
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(5)
    assert exchange.left_at is not None
    assert transcripts.get(str(seen.requestId))["outcome"] == "abandoned"


def test_who_stops_at_once_has_asked_nothing(stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hello")))
    jobs = [
        job(stack, "sse", model, stop=0, by=by, pending=pending)
        for by in ("signal", "method")
        for pending in (False, True)  # headers that never come are waited for no longer
    ]
    assert [(one.error or {})["name"] for one in read(stack, *jobs)] == ["AbortError"] * 4
    assert replay.exchanges(model) == []


def test_a_signal_that_was_given_before_says_why(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello")))
    (seen,) = read(stack, job(stack, "sse", model, by="given before"))
    assert (seen.error or {})["message"] == "changed my mind"
    assert replay.exchanges(model) == []


def test_to_leave_an_iterator_that_waits_closes_the_connection(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply([event("Half")], ends="silent"))
    began = time.monotonic()
    (seen,) = read(stack, job(stack, "sse", model, stop=1, by="return"))
    assert (seen.text, seen.isAborted) == ("Half", True)
    assert time.monotonic() - began < 2.5  # before the relay itself would end it
    assert replay.exchanges(model)[0].over.wait(5)


def test_who_stops_within_a_read_is_called_no_more(
    stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    words = b"".join(event(f"word{number} ") for number in range(10))
    replay.answer(model, Reply([words, event(finish="stop"), DONE]))
    (seen,) = read(stack, job(stack, "sse", model, stop=1, by="onDelta"))
    assert [delta for delta, _ in seen.called] == ["word0 "]
    assert (seen.text, seen.isAborted) == ("word0 ", True)
