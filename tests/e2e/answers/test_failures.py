"""Each kind of failure through the whole stack: what the caller sees, and what the transcript records."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import OPENAI_KEY
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, answer, completion, event

FORMATS = ["text", "sse", "json"]
STREAMED = ["text", "sse"]


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
        (b"{", 400, None),
        (b'{"messages": []}', 400, "messages"),
        (b'{"messages": [{"role": "user"}], "stream": 1}', 400, "stream"),
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


def test_unknown_paths_are_404_and_wrong_methods_are_405(caller: httpx.Client) -> None:
    assert caller.get("/nowhere").status_code == 404
    response = caller.delete("/v1/chat/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


# -- failures of the upstream before the first byte ----------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("status", "shown"), [(500, 502), (503, 502), (408, 504), (409, 502), (429, 429)])
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


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_temporary_failure_that_passes_is_invisible_to_the_caller(
    caller: httpx.Client, replay: ReplayUpstream, model: str, fmt: str
) -> None:
    good = Reply.json(completion("Gut.")) if fmt == "json" else Reply(answer("Gut."))
    replay.answer(model, Reply.json({}, 503), Reply([], ends="reset"), good)
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.broken) == (200, False)
    assert b"Gut." in seen.body


def test_a_long_retry_after_is_passed_on_to_the_caller(
    caller: httpx.Client, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply.json({"error": {"message": "full"}}, 429, retry_after="60"))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.headers["retry-after"]) == (429, "60")
    assert len(replay.exchanges(model)) == 1


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_callers_answer_to_a_refused_request_has_the_upstreams_status_and_body(
    caller: httpx.Client,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    model: str,
    fmt: str,
    status: int,
) -> None:
    error = {"message": "no such thing", "type": "invalid_request_error", "param": "x", "code": None}
    replay.answer(model, Reply.json({"error": error}, status))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.error) == (status, error)
    assert outcome(transcripts, seen)[0] == "failed"


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("status", [401, 403])
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


@pytest.mark.parametrize("fmt", STREAMED)
def test_an_error_as_the_first_event_sets_the_status(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    error = b'data: {"error": {"message": "slow down", "type": "rate_limit_error"}}\n\n'
    replay.answer(model, Reply([error, DONE]))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.error["message"]) == (429, "slow down")
    assert outcome(transcripts, seen)[0] == "failed"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_web_page_with_status_200_is_502(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    replay.answer(model, Reply([b"<!doctype html>"], headers={"content-type": "text/html"}))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.error["code"]) == (502, "not_event_stream")
    assert outcome(transcripts, seen) == ("failed", "not_event_stream")


@pytest.mark.parametrize("fmt", STREAMED)
def test_a_completion_in_place_of_the_requested_events_is_converted(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    replay.answer(model, Reply.json(completion("Gut.")))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.broken) == (200, False)
    assert b"Gut." in seen.body
    assert outcome(transcripts, seen) == ("completed", None)
    assert content(transcripts, seen) == "Gut."


def test_an_upstream_that_does_not_begin_to_answer_is_504(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("late"), head_after=6.0))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.error["code"]) == (504, "upstream_timeout")
    assert outcome(transcripts, seen) == ("failed", "upstream_timeout")


def test_an_unstreamed_answer_may_take_until_the_deadline(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    late = completion("late")
    replay.answer(model, Reply([json.dumps(late).encode()], head_after=4.0), Reply([], head_after=20.0))
    seen = ask(caller, model, "json")
    assert (seen.status, json.loads(seen.body)) == (200, late)
    seen = ask(caller, model, "json")
    assert (seen.status, seen.error["code"]) == (504, "deadline_exceeded")
    assert outcome(transcripts, seen) == ("truncated", "deadline_exceeded")


def test_after_the_first_comment_an_upstream_that_does_not_begin_to_answer_is_an_error_event(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("late"), head_after=6.0))
    seen = ask(caller, model, "sse")
    assert seen.status == 200
    assert seen.body.startswith(b": keep-alive\n\n")
    assert seen.last_event["error"]["code"] == "upstream_timeout"
    assert b"[DONE]" not in seen.body


# -- in the middle of a stream -------------------------------------------------------------------------------


MIDSTREAM_ERROR = b'data: {"error": {"message": "server error", "type": "server_error"}}\n\n'


def test_an_error_in_the_middle_of_a_stream_ends_sse_with_an_error_event(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, MIDSTREAM_ERROR, DONE]))
    seen = ask(caller, model, "sse")
    assert (seen.status, seen.broken) == (200, False)
    assert seen.body == event("Par") + MIDSTREAM_ERROR
    assert outcome(transcripts, seen) == ("failed", "server_error")
    assert content(transcripts, seen) == "Par"


def test_an_error_in_the_middle_of_a_stream_breaks_off_text(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, MIDSTREAM_ERROR, DONE]))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.body, seen.broken) == (200, b"Par", True)
    assert outcome(transcripts, seen) == ("failed", "server_error")
    assert content(transcripts, seen) == "Par"


@pytest.mark.parametrize("fmt", STREAMED)
@pytest.mark.parametrize("ends", ["clean", "cut", "reset", "unframed"])
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


@pytest.mark.parametrize("fmt", STREAMED)
def test_a_silent_upstream_is_closed_at_the_idle_limit_after_keep_alive_comments(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    replay.answer(model, Reply([event("Par")], ends="silent"))
    seen = ask(caller, model, fmt)
    if fmt == "text":
        assert (seen.body, seen.broken) == (b"Par", True)
    else:
        assert seen.body.count(b": keep-alive\n\n") >= 1
        assert seen.last_event["error"]["code"] == "upstream_interrupted"
    assert outcome(transcripts, seen) == ("truncated", "upstream_interrupted")
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(10)
    assert exchange.left_at is not None, "the relay kept the connection to the silent upstream"


@pytest.mark.parametrize("fmt", STREAMED)
def test_the_deadline_ends_the_answer_in_time_for_the_transcript(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    words: list[Any] = [piece for number in range(40) for piece in (event(f"{number} "), 0.5)]
    replay.answer(model, Reply(words))
    started_at = time.monotonic()
    seen = ask(caller, model, fmt)
    assert time.monotonic() - started_at < 9
    if fmt == "text":
        assert seen.broken
    else:
        assert seen.last_event["error"]["code"] == "deadline_exceeded"
        assert not seen.broken
    assert outcome(transcripts, seen) == ("truncated", "deadline_exceeded")
    assert content(transcripts, seen).startswith("0 1 2 ")


@pytest.mark.parametrize("fmt", STREAMED)
def test_a_caller_who_leaves_ends_the_upstream_request(
    caller: httpx.Client, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, fmt: str
) -> None:
    words: list[Any] = [piece for number in range(200) for piece in (event(f"{number} "), 0.05)]
    replay.answer(model, Reply(words))
    path = "/v1/chat/completions" if fmt == "sse" else "/chatCompletion"
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    with caller.stream("POST", path, json=body) as response:
        next(response.iter_raw())
        request_id = response.headers["x-relay-request-id"]
    left_at = time.monotonic()
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(10)
    assert exchange.left_at is not None
    assert exchange.left_at - left_at < 3
    transcript = transcripts.get(request_id)
    assert (transcript["outcome"], transcript["reason"]) == ("abandoned", "caller_gone")
    assert transcript["response"]["choices"][0]["content"].startswith("0 ")


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("fmt", STREAMED)
def test_an_answer_that_the_model_ends_early_is_passed_on_unchanged(
    caller: httpx.Client,
    replay: ReplayUpstream,
    transcripts: TranscriptQueue,
    model: str,
    fmt: str,
    finish: str,
) -> None:
    replay.answer(model, Reply([event("Par"), event(finish=finish), DONE]))
    seen = ask(caller, model, fmt)
    assert (seen.status, seen.broken) == (200, False)
    assert outcome(transcripts, seen) == ("incomplete", finish)


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
