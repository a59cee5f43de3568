"""Each kind of failure at the function's URL: what the caller sees, and what the transcript records.

The integration tests of the relay have every failure in every format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import OPENAI_KEY
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event

# Limits short enough to be reached in a test, and different enough that a test shows which one applied.
SHORT_LIMITS = {
    "IDLE_TIMEOUT_S": "3",
    "KEEP_ALIVE_S": "1",
    "FUNCTION_TIMEOUT_S": "9",
    "DEADLINE_RESERVE_S": "2",
}


@pytest.fixture(scope="module")
def hasty(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": OPENAI_KEY, **SHORT_LIMITS}
    with ServedRelay(settings) as running:
        yield running


@pytest.fixture
def caller(hasty: ServedRelay) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=hasty.url, timeout=30, trust_env=False) as client:
        yield client


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


def outcome(hasty: ServedRelay, seen: Seen) -> tuple[str, str | None]:
    transcript = hasty.transcript(seen.id)
    return transcript["outcome"], transcript["reason"]


def content(hasty: ServedRelay, seen: Seen) -> str:
    return str(hasty.transcript(seen.id)["response"]["choices"][0]["content"])


# -- failures of the upstream before the first byte ----------------------------------------------------------


def test_a_temporary_failure_that_persists_is_retried_and_then_reported(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
) -> None:
    headers = {"retry-after": "0", "content-type": "application/json"}
    replay.answer(model, Reply([b'{"error": {"message": "not now"}}'], 429, headers))
    seen = ask(caller, model, "json")
    assert (seen.status, seen.headers["retry-after"], seen.error) == (429, "0", {"message": "not now"})
    assert len(replay.exchanges(model)) == 3
    transcript = hasty.transcript(seen.id)
    assert transcript["outcome"] == "failed"
    assert transcript["upstream"]["attempts"] == 3


def test_a_refusal_of_the_relays_own_key_is_502_and_the_key_appears_nowhere(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
) -> None:
    words = f"Incorrect API key provided: {OPENAI_KEY}."
    replay.answer(model, Reply.json({"error": {"message": words}}, 401))
    seen = ask(caller, model, "sse")
    assert (seen.status, seen.error["code"]) == (502, "upstream_auth_failed")
    transcript = hasty.transcript(seen.id)
    for place in (seen.body.decode(), json.dumps(transcript), "\n".join(hasty.lines)):
        assert OPENAI_KEY not in place
        assert "Incorrect API key" not in place


# -- in the middle of a stream -------------------------------------------------------------------------------


MIDSTREAM_ERROR = b'data: {"error": {"message": "server error", "type": "server_error"}}\n\n'


def test_an_error_in_the_middle_of_a_stream_breaks_off_text(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, MIDSTREAM_ERROR, DONE]))
    seen = ask(caller, model, "text")
    assert (seen.status, seen.body, seen.broken) == (200, b"Par", True)
    assert outcome(hasty, seen) == ("failed", "server_error")
    assert content(hasty, seen) == "Par"


@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_an_interrupted_answer_never_looks_like_success(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str, fmt: str
) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, event("tial")[:-5], 0.1], ends="cut"))
    seen = ask(caller, model, fmt)
    if fmt == "text":
        assert (seen.body, seen.broken) == (b"Par", True)
    else:
        assert seen.last_event["error"]["code"] == "upstream_interrupted"
        assert b"[DONE]" not in seen.body
        assert not seen.broken
    assert outcome(hasty, seen) == ("truncated", "upstream_interrupted")
    assert content(hasty, seen) == "Par"


def test_a_silent_upstream_is_closed_at_the_idle_limit_after_keep_alive_comments(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
) -> None:
    replay.answer(model, Reply([event("Par")], ends="silent"))
    seen = ask(caller, model, "sse")
    assert seen.body.count(b": keep-alive\n\n") >= 1
    assert seen.last_event["error"]["code"] == "upstream_interrupted"
    assert outcome(hasty, seen) == ("truncated", "upstream_interrupted")
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(30)
    assert exchange.left_at is not None, "the relay kept the connection to the silent upstream"


def test_the_deadline_ends_the_answer_in_time_for_the_transcript(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
) -> None:
    words: list[Any] = [piece for number in range(40) for piece in (event(f"{number} "), 0.5)]
    replay.answer(model, Reply(words))
    seen = ask(caller, model, "sse")
    assert seen.last_event["error"]["code"] == "deadline_exceeded"
    assert not seen.broken
    assert outcome(hasty, seen) == ("truncated", "deadline_exceeded")
    assert content(hasty, seen).startswith("0 1 2 ")


def test_a_caller_who_leaves_ends_the_upstream_request(
    caller: httpx.Client, replay: ReplayUpstream, hasty: ServedRelay, model: str
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
    transcript = hasty.transcript(request_id)
    assert (transcript["outcome"], transcript["reason"]) == ("abandoned", "caller_gone")
    assert transcript["response"]["choices"][0]["content"].startswith("0 ")
