"""Callers get the answer while it is being written; the transcript reaches the queues."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chat_stream.sse import EventStreamParser
from product import VERSION
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import (
    DONE,
    ReplayUpstream,
    Reply,
    answer,
    completion,
    event,
    usage_event,
)

MESSAGES = [{"role": "user", "content": "Wie geht's? 👋"}]


def joined(pieces: list[Any]) -> bytes:
    return b"".join(piece for piece in pieces if isinstance(piece, bytes))


def test_a_question_in_the_query_is_answered_as_text(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("Gut, ", "dànke ", "👍")))
    response = caller.get("/chatCompletion", params={"message": "Wie geht's? 👋", "model": model})
    assert (response.status_code, response.text) == (200, "Gut, dànke 👍")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert replay.exchanges(model)[0].body["messages"] == MESSAGES
    transcript = transcripts.get(response.headers["x-relay-request-id"])
    assert transcript["outcome"] == "completed"
    assert transcript["route"] == "/chatCompletion"
    assert transcript["request"] == {"model": model, "messages": MESSAGES, "parameters": {}}
    assert transcript["response"]["choices"][0]["content"] == "Gut, dànke 👍"
    assert transcript["response"]["usage"]["total_tokens"] == 3
    assert transcript["timings"]["time_to_first_token_ms"] <= transcript["timings"]["duration_ms"]


def test_a_posted_conversation_is_answered_as_text(
    caller: httpx.Client, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Gut.")))
    body = {"model": model, "messages": MESSAGES, "temperature": 0.2}
    response = caller.post("/chatCompletion", json=body)
    assert response.text == "Gut."
    assert replay.exchanges(model)[0].body["temperature"] == 0.2


@pytest.mark.parametrize(("encoding", "compressed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_answered_like_any_other(
    caller: httpx.Client,
    replay: ReplayUpstream,
    model: str,
    encoding: str,
    compressed: Callable[[bytes], bytes],
) -> None:
    replay.answer(model, Reply(answer("Gut.")))
    body = json.dumps({"model": model, "messages": MESSAGES, "x": "y" * 5000}).encode()
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = caller.post("/chatCompletion", content=compressed(body), headers=headers)
    assert (response.status_code, response.text) == (200, "Gut.")
    [exchange] = replay.exchanges(model)
    assert exchange.body["messages"] == MESSAGES
    assert "content-encoding" not in exchange.headers


def test_a_request_in_another_content_coding_is_refused_with_those_that_are_accepted(
    caller: httpx.Client,
) -> None:
    headers = {"content-type": "application/json", "content-encoding": "zstd"}
    response = caller.post("/chatCompletion", content=b"\x28\xb5\x2f\xfd" + bytes(9), headers=headers)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert "`zstd`" in response.json()["error"]["message"]


def test_a_posted_message_is_answered_and_recorded_like_a_question_in_the_query(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("Gut.")))
    asked = {"message": "hi", "model": model}
    responses = [caller.get("/chatCompletion", params=asked), caller.post("/chatCompletion", json=asked)]
    assert [(response.status_code, response.text) for response in responses] == [(200, "Gut.")] * 2
    got, posted = (exchange.body for exchange in replay.exchanges(model))
    assert got == posted
    recorded = [transcripts.get(response.headers["x-relay-request-id"])["request"] for response in responses]
    assert recorded[0] == recorded[1]


def test_a_chat_has_no_answer_to_resume(caller: httpx.Client) -> None:
    for path in ("/api/chat/some-id/stream", "/api/chat/some-id/stream/"):
        response = caller.get(path)
        assert (response.status_code, response.content) == (200, b"data: [DONE]\n\n")
        assert response.headers["cache-control"] == "no-store"
    refused = caller.post("/api/chat/some-id/stream", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_callers_who_accept_an_event_stream_get_the_events(
    caller: httpx.Client, replay: ReplayUpstream, model: str, method: str
) -> None:
    pieces = answer("Gut.")
    replay.answer(model, Reply(pieces))
    accept = {"accept": "text/event-stream"}
    if method == "GET":
        query = {"message": "hi", "model": model}
        response = caller.get("/chatCompletion", params=query, headers=accept)
    else:
        body = {"model": model, "messages": MESSAGES}
        response = caller.post("/chatCompletion", json=body, headers=accept)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = EventStreamParser().feed(response.content)
    sent = EventStreamParser().feed(joined(pieces).replace(usage_event(), b""))
    assert [event.data for event in events] == [event.data for event in sent]
    assert {event.id for event in events} == {response.headers["x-relay-request-id"]}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_reconnecting_event_source_gets_410_and_the_model_is_not_called(
    caller: httpx.Client, replay: ReplayUpstream, model: str, method: str
) -> None:
    replay.answer(model, Reply(answer("Gut.")))
    headers = {"accept": "text/event-stream", "last-event-id": "r-1"}
    query = {"message": "hi", "model": model}
    asked = {"params": query} if method == "GET" else {"json": {"model": model, "messages": MESSAGES}}
    response = caller.request(method, "/chatCompletion", headers=headers, **asked)
    assert (response.status_code, response.json()["error"]["code"]) == (410, "answer_ended")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-relay-request-id"]
    assert not replay.exchanges(model)


def test_a_streamed_completion_is_the_upstreams_events_byte_for_byte(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    pieces = [b": queued\r\n\r\n", *answer("Grüße", " 👋", "\u2028"), b": bye\n"]
    replay.answer(model, Reply(pieces))
    options = {"stream_options": {"include_usage": True}}
    body = {"model": model, "messages": MESSAGES, "stream": True, "vendor_field": [1], **options}
    response = caller.post("/v1/chat/completions", json=body)
    assert response.content == joined(pieces)
    assert replay.exchanges(model)[0].body == body
    transcript = transcripts.get(response.headers["x-relay-request-id"])
    assert transcript["request"]["parameters"] == {"stream": True, "vendor_field": [1], **options}


def test_an_unstreamed_completion_is_the_upstreams_document(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    document = json.dumps(completion("Gut.", vendor=1.50)).encode()
    replay.answer(model, Reply.json(document))
    response = caller.post("/v1/chat/completions", json={"model": model, "messages": MESSAGES})
    assert response.headers["content-type"] == "application/json"
    assert response.content == document
    transcript = transcripts.get(response.headers["x-relay-request-id"])
    assert transcript["response"]["choices"][0]["content"] == "Gut."


@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_every_delta_reaches_the_caller_before_the_next_one_is_written(
    caller: httpx.Client, replay: ReplayUpstream, model: str, fmt: str
) -> None:
    gates = [threading.Event() for _ in range(5)]
    pieces: list[Any] = []
    for number, gate in enumerate(gates):
        pieces += [event(f"word{number} "), gate]
    replay.answer(model, Reply([*pieces, event(finish="stop"), DONE]))
    accept = {"accept": "text/event-stream"} if fmt == "sse" else {}
    query = {"message": "hi", "model": model}
    got = b""
    with caller.stream("GET", "/chatCompletion", params=query, headers=accept) as response:
        chunks = response.iter_raw()
        for number, gate in enumerate(gates):
            while f"word{number} ".encode() not in got:
                got += next(chunks)
            assert f"word{number + 1} ".encode() not in got
            gate.set()  # only now does the upstream write the next one
        got += b"".join(chunks)
    assert got.count(b"word") == 5


def test_a_character_split_over_two_reads_arrives_whole(
    caller: httpx.Client, replay: ReplayUpstream, model: str
) -> None:
    sent = event("👋")
    raw = sent.replace(json.dumps("👋").encode(), '"👋"'.encode())
    cut = raw.index("👋".encode()) + 2
    replay.answer(model, Reply([raw[:cut], 0.1, raw[cut:], event(finish="stop"), DONE]))
    response = caller.get("/chatCompletion", params={"message": "hi", "model": model})
    assert response.text == "👋"


@pytest.mark.parametrize(
    "path",
    ["/chat/completions", "/v1/chat/completions/", "//v1//chat/completions", "/v1/chat/completions?a=1&b"],
)
def test_paths_of_sdks_and_of_imprecise_base_urls_are_served(
    caller: httpx.Client, replay: ReplayUpstream, model: str, path: str
) -> None:
    replay.answer(model, Reply.json(completion("Gut.")))
    url = str(caller.base_url).rstrip("/") + path
    response = caller.post(url, json={"model": model, "messages": MESSAGES})
    assert (response.status_code, response.json()) == (200, completion("Gut."))
    assert replay.exchanges(model)[0].target == "/v1/chat/completions"


def test_health_needs_no_upstream(caller: httpx.Client) -> None:
    response = caller.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": VERSION})


def test_a_transcript_reaches_the_audit_queue_and_the_terminal_too(
    caller: httpx.Client, replay: ReplayUpstream, stack: LocalStack, model: str
) -> None:
    replay.answer(model, Reply(answer("For everybody.")))
    response = caller.get("/chatCompletion", params={"message": "hi", "model": model})
    request_id = response.headers["x-relay-request-id"]
    with TranscriptQueue(stack.endpoint, stack.queue_url("transcripts-audit")) as audit:
        assert audit.get(request_id)["response"]["choices"][0]["content"] == "For everybody."
    assert "completed" in stack.line_with(request_id)


@pytest.mark.parametrize(
    "path", ["/", "/health", "/stream.js", "/stream.d.ts", "/stream-hooks.js", "/stream-hooks.d.ts"]
)
def test_routes_without_a_model_need_no_key(caller: httpx.Client, path: str) -> None:
    response = caller.get(path)
    assert (response.status_code, response.headers["x-content-type-options"]) == (200, "nosniff")
    assert response.headers["x-relay-request-id"]
    if etag := response.headers.get("etag"):
        again = caller.get(path, headers={"if-none-match": etag})
        assert (again.status_code, again.content) == (200, response.content)
