"""Each kind of failure through the whole stack: what the caller sees, and what the transcript records.

The integration tests of the relay have every failure in every format.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import OPENAI_KEY
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, answer, event

FORMATS = ["text", "sse", "json"]


@dataclass
class Seen:
    """What the caller received; `broken` if the body broke off."""

    status: int
    headers: httpx.Headers
    body: bytes
    broken: bool

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]

    @property
    def last_event(self) -> Any:
        """The data of the last event, as JSON."""
        assert self.body.endswith(b"\n\n")
        return json.loads(self.body[:-2].rsplit(b"\n\n", 1)[-1].removeprefix(b"data: "))

    @property
    def id(self) -> str:
        return self.headers["x-relay-request-id"]


def ask(caller: httpx.Client, model: str, fmt: str, **fields: Any) -> Seen:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    path = "/v1/chat/completions" if fmt != "text" else "/chatCompletion"
    if fmt == "sse":
        body["stream"] = True
    with caller.stream("POST", path, json=body) as response:
        got, broken = b"", False
        try:
            for chunk in response.iter_raw():
                got += chunk
        except httpx.RemoteProtocolError:
            broken = True
    return Seen(response.status_code, response.headers, got, broken)


def outcome(transcripts: TranscriptQueue, seen: Seen) -> tuple[str, str | None]:
    transcript = transcripts.get(seen.id)
    return transcript["outcome"], transcript["reason"]


def content(transcripts: TranscriptQueue, seen: Seen) -> str:
    return str(transcripts.get(seen.id)["response"]["choices"][0]["content"])


# -- invalid requests: no upstream call, no transcript -------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b'{"messages": []}', 400, "messages"),
        (b" " * (6 * 1024 * 1024) + b"{}", 413, None),
    ],
)
def test_an_invalid_request_is_refused_at_once(
    caller: httpx.Client, body: bytes, status: int, param: str | None
) -> None:
    headers = {"content-type": "application/json"}
    response = caller.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == status
    if status == 400:
        assert response.json()["error"]["param"] == param
        assert response.json()["error"]["type"] == "invalid_request_error"


# -- failures of the upstream before the first byte ----------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "status", "shown"), [("text", 408, 504), ("sse", 503, 502), ("json", 429, 429)]
)
def test_a_temporary_failure_that_persists_is_retried_and_then_reported(
    caller: httpx.Client,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    model: str,
    fmt: str,
    status: int,
    shown: int,
) -> None:
    headers = {"retry-after": "0", "content-type": "application/json"}
    replay.answer(model, Reply([b'{"error": {"message": "not now"}}'], status, headers))
    seen = ask(caller, model, fmt)
    assert seen.status == shown
    assert seen.error["message"]
    assert len(replay.exchanges(model)) == 3
    if shown == 429:
        assert seen.headers["retry-after"] == "0"
        assert seen.error == {"message": "not now"}
    transcript = transcripts.get(seen.id)
    assert transcript["outcome"] == "failed"
    assert transcript["upstream"]["attempts"] == 3


def test_a_temporary_failure_that_passes_is_invisible_to_the_caller(
    caller: httpx.Client, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply.json({}, 503), Reply([], ends="reset"), Reply(answer("Gut.")))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.broken) == (200, False)
    assert b"Gut." in seen.body


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_callers_answer_to_a_refused_request_has_the_upstreams_status_and_body(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    error = {"message": "no such thing", "type": "invalid_request_error", "param": "x", "code": None}
    replay.answer(model, Reply.json({"error": error}, 404))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.error) == (404, error)
    assert outcome(transcripts, seen)[0] == "failed"


@pytest.mark.parametrize(("fmt", "status"), [("sse", 401), ("json", 403)])
def test_a_refusal_of_the_relays_own_key_is_502_and_the_key_appears_nowhere(
    caller: httpx.Client,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    stack: LocalStack,
    model: str,
    fmt: str,
    status: int,
) -> None:
    words = f"Incorrect API key provided: {OPENAI_KEY}."
    replay.answer(model, Reply.json({"error": {"message": words}}, status))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.error["code"]) == (502, "upstream_auth_failed")
    transcript = transcripts.get(seen.id)
    for place in (seen.body.decode(), json.dumps(transcript), "\n".join(stack.output)):
        assert OPENAI_KEY not in place
        assert "Incorrect API key" not in place


def test_an_error_as_the_first_event_sets_the_status(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    error = b'data: {"error": {"message": "slow down", "type": "rate_limit_error"}}\n\n'
    replay.answer(model, Reply([error, DONE]))
    seen = ask(caller, model, "sse")
    assert (seen.status, seen.error["message"]) == (429, "slow down")
    assert outcome(transcripts, seen)[0] == "failed"


def test_a_web_page_with_status_200_is_502(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply([b"<!doctype html>"], headers={"content-type": "text/html"}))
    seen = ask(caller, model, "json")
    assert (seen.status, seen.error["code"]) == (502, "not_event_stream")
    assert outcome(transcripts, seen) == ("failed", "not_event_stream")


def test_an_upstream_that_does_not_begin_to_answer_is_504(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("late"), head_after=6.0))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.error["code"]) == (504, "upstream_timeout")
    assert outcome(transcripts, seen) == ("failed", "upstream_timeout")


# -- in the middle of a stream -------------------------------------------------------------------------------


MIDSTREAM_ERROR = b'data: {"error": {"message": "server error", "type": "server_error"}}\n\n'


def test_an_error_in_the_middle_of_a_stream_breaks_off_text(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, MIDSTREAM_ERROR, DONE]))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.body, seen.broken) == (200, b"Par", True)
    assert outcome(transcripts, seen) == ("failed", "server_error")
    assert content(transcripts, seen) == "Par"


@pytest.mark.parametrize(("fmt", "ends"), [("text", "clean"), ("text", "cut"), ("sse", "reset")])
def test_an_interrupted_answer_never_looks_like_success(
    caller: httpx.Client,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    model: str,
    fmt: str,
    ends: Any,
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, event("tial")[:-5], 0.1], ends=ends))
    seen = ask(caller, model, fmt)
    if fmt == "text":
        assert (seen.body, seen.broken) == (b"Par", True)
    else:
        assert seen.last_event["error"]["code"] == "upstream_interrupted"
        assert b"[DONE]" not in seen.body
        assert not seen.broken
    assert outcome(transcripts, seen) == ("truncated", "upstream_interrupted")
    assert content(transcripts, seen) == "Par"


def test_a_silent_upstream_is_closed_at_the_idle_limit_after_keep_alive_comments(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply([event("Par")], ends="silent"))
    seen = ask(caller, model, "sse")
    assert seen.body.count(b": keep-alive\n\n") >= 1
    assert seen.last_event["error"]["code"] == "upstream_interrupted"
    assert outcome(transcripts, seen) == ("truncated", "upstream_interrupted")
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(30)
    assert exchange.left_at is not None, "the relay kept the connection to the silent upstream"


def test_the_deadline_ends_the_answer_in_time_for_the_transcript(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    words: list[Any] = [piece for number in range(40) for piece in (event(f"{number} "), 0.5)]
    replay.answer(model, Reply(words))
    seen = ask(caller, model, "sse")
    assert seen.last_event["error"]["code"] == "deadline_exceeded"
    assert not seen.broken
    assert outcome(transcripts, seen) == ("truncated", "deadline_exceeded")
    assert content(transcripts, seen).startswith("0 1 2 ")


def test_a_caller_who_leaves_ends_the_upstream_request(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    words: list[Any] = [piece for number in range(200) for piece in (event(f"{number} "), 0.05)]
    replay.answer(model, Reply(words))
    query = {"model": model, "message": "hi"}
    with caller.stream("GET", "/chatCompletion", params=query) as response:
        next(response.iter_raw())
        request_id = response.headers["x-relay-request-id"]
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(30)
    assert exchange.left_at is not None  # it has not written all its words, which takes 10 s
    transcript = transcripts.get(request_id)
    assert (transcript["outcome"], transcript["reason"]) == ("abandoned", "caller_gone")
    assert transcript["response"]["choices"][0]["content"].startswith("0 ")


def test_a_runtime_process_that_dies_is_502_only_for_its_own_caller(
    caller: httpx.Client, replay: ReplayUpstream, model: str, stack: LocalStack
) -> None:
    replay.answer(model, Reply(answer("late"), head_after=2.5), Reply(answer("Gut.")))
    seen: list[Seen] = []
    asking = threading.Thread(target=lambda: seen.append(ask(caller, model, "text")))
    asking.start()
    replay.wait_for_exchange(model)
    killed = stack.runtime_processes("app.handle")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    asking.join()
    assert seen[0].status == 502
    for _ in killed:  # once the stack has seen them end, it hands none of them a request
        stack.line_with("] the runtime ended with exit code -9")  # the environment's line, not the request's
    again = ask(caller, model, "text")
    assert (again.status, again.body) == (200, b"Gut.")
