"""General readers of server-sent events, which do not know OpenAI: httpx-sse and eventsource-parser."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import httpx
import httpx_sse
import pytest

from tests.support.clients.client_scenarios import SCENARIOS, events_of, set_up, streamed
from tests.support.clients.node_programs import run_node_program
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream

SENT = streamed(SCENARIOS["chat"])


class Event(NamedTuple):
    """One event as a reader returned it."""

    event: str
    data: str


class Seen(NamedTuple):
    """The status of the answer, its events, and the error that ended it, if any."""

    status: int
    events: list[Event]
    error: str | None

    def choices(self) -> list[dict[str, Any]]:
        """The choices of all chunks."""
        chunks = [json.loads(event.data) for event in self.events if event.data != "[DONE]"]
        return [choice for chunk in chunks for choice in chunk.get("choices", [])]

    def deltas(self, field: str) -> list[str]:
        """The values of this field in the deltas, without empty strings and nulls."""
        return [choice["delta"][field] for choice in self.choices() if choice["delta"].get(field)]


class Job(TypedDict):
    url: str
    body: dict[str, Any]


def read_by_httpx_sse(jobs: Sequence[Job]) -> list[Seen]:
    seen = []
    with httpx.Client(timeout=30, trust_env=False) as client:
        for job in jobs:
            with httpx_sse.connect_sse(client, "POST", job["url"], json=job["body"]) as source:
                events: list[Event] = []
                error = None
                try:
                    for event in source.iter_sse():
                        events.append(Event(event.event, event.data))
                except (httpx_sse.SSEError, httpx.HTTPError) as raised:
                    error = str(raised)
                seen.append(Seen(source.response.status_code, events, error))
    return seen


def read_by_eventsource_parser(jobs: Sequence[Job]) -> list[Seen]:
    return [
        Seen(one["status"], [Event(**event) for event in one["events"]], one["error"])
        for one in run_node_program("eventsource_parser.mjs", jobs=jobs)
    ]


READ_BY: Mapping[str, Callable[[Sequence[Job]], list[Seen]]] = {
    "httpx-sse": read_by_httpx_sse,
    "eventsource-parser": read_by_eventsource_parser,
}

Answers = Mapping[str, Seen]  # by scenario


@pytest.fixture(scope="module", params=READ_BY)
def answers(request: pytest.FixtureRequest, stack: LocalStack, replay: ReplayUpstream) -> Answers:
    """All answers, read by one library in one run: starting Node takes longer than asking."""
    set_up(replay)
    question = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    bodies = {name: {"model": f"chat {name}", **question} for name in SENT}
    bodies["with usage"] = bodies["plain"] | {"stream_options": {"include_usage": True}}
    url = f"{stack.url}/v1"
    jobs = {name: Job(url=f"{url}/chat/completions", body=body) for name, body in bodies.items()}
    seen = READ_BY[request.param](list(jobs.values()))
    return dict(zip(jobs, seen, strict=True))


def as_sent(events: Sequence[bytes]) -> list[Event]:
    return [Event("message", event.removeprefix(b"data: ").decode().strip()) for event in events]


def test_an_answer_arrives_event_by_event(answers: Answers) -> None:
    seen = answers["plain"]
    assert (seen.status, seen.error) == (200, None)
    *chunks, _usage, done = events_of("chat_basic_openai")
    assert seen.events == as_sent([*chunks, done])
    assert seen.deltas("content") == list(SENT["plain"].text)


def test_the_usage_event_arrives_if_it_was_requested(answers: Answers) -> None:
    assert answers["with usage"].events == as_sent(events_of("chat_basic_openai"))


@pytest.mark.parametrize("scenario", ["error", "flat error"])
def test_an_error_in_the_middle_of_a_stream_is_the_last_event(answers: Answers, scenario: str) -> None:
    seen = answers[scenario]
    assert seen.deltas("content") == list(SENT[scenario].text)
    assert (seen.error, seen.events[-1].event) == (None, "message")
    assert json.loads(seen.events[-1].data)["error"]["message"] == SENT[scenario].error
    assert all(event.data != "[DONE]" for event in seen.events)


def test_an_interrupted_stream_ends_in_an_error_and_not_in_done(answers: Answers) -> None:
    seen = answers["cut"]
    assert seen.deltas("content") == list(SENT["cut"].text)
    assert json.loads(seen.events[-1].data)["error"]["code"] == "upstream_interrupted"
    assert all(event.data != "[DONE]" for event in seen.events)
