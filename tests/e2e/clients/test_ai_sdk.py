"""Vercel's AI SDK with the transports of useChat, which validate each part of a stream by its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.clients.client_scenarios import SCENARIOS, events_of, set_up, streamed
from tests.support.clients.node_programs import run_node_program
from tests.support.documentation import CALLER_KEY
from tests.support.network.loopback_server import LoopbackServer, QuietRequest
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply

SENT = streamed(SCENARIOS["chat"])
ROUTES = {"ui-message": "/api/chat", "text": "/chatCompletion"}


@dataclass(frozen=True)
class Seen:
    """The parts of the stream, the UI message that they form, and the error that ended it, if any."""

    parts: list[dict[str, Any]]
    message: dict[str, Any] | None
    error: str | None

    def types(self) -> list[str]:
        return [part["type"] for part in self.parts]

    def deltas(self) -> list[str]:
        return [part["delta"] for part in self.parts if part["type"] == "text-delta"]

    def message_parts(self, *types: str) -> list[dict[str, Any]]:
        assert self.message is not None
        return [part for part in self.message["parts"] if part["type"] in types]


Answers = Mapping[tuple[str, str], Seen]  # by transport and scenario


@dataclass(frozen=True)
class Answered:
    """The answers to single questions, and the final state of a conversation."""

    answers: Answers
    conversation: dict[str, Any]


@pytest.fixture(scope="module", params=["ai", "ai-6", "ai-7"])
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def answered(package: str, relay: ServedRelay, replay: ReplayUpstream) -> Answered:
    """All questions, asked by one version in one run: starting Node takes longer than asking."""
    set_up(replay)
    role, *words, finish, usage, done = events_of("chat_basic_openai")
    # So far apart that no read of the client returns two of them.
    spaced = [piece for word in words for piece in (word, 0.25)]
    replay.answer("chat spaced", Reply([role, *spaced, finish, usage, done]))
    keys = [(transport, scenario) for transport in ROUTES for scenario in SENT] + [("text", "spaced")]
    jobs = [
        {"transport": transport, "url": f"{relay.url}{ROUTES[transport]}", "model": f"chat {scenario}"}
        for transport, scenario in keys
    ]
    conversation = f"conversation by {package}"
    replay.answer(conversation, *(reply for name in ("tools", "plain") if (reply := SENT[name].stream)))
    jobs.append({"transport": "chat", "url": f"{relay.url}/api/chat", "model": conversation})
    *seen, conversed = run_node_program("ai_sdk.mjs", package, jobs=jobs)
    return Answered({key: Seen(**one) for key, one in zip(keys, seen, strict=True)}, conversed)


@pytest.fixture(scope="module")
def answers(answered: Answered) -> Answers:
    return answered.answers


def test_the_question_reaches_the_upstream_as_a_chat_message(
    answers: Answers, replay: ReplayUpstream
) -> None:
    asked = [exchange.body for exchange in replay.exchanges("chat plain")]
    assert len(asked) >= len(ROUTES)
    assert all(body["messages"] == [{"role": "user", "content": "hi"}] for body in asked)


# -- DefaultChatTransport against /api/chat --------------------------------------------------------------


def test_a_message_arrives_delta_by_delta(answers: Answers) -> None:
    seen = answers["ui-message", "plain"]
    assert seen.error is None
    assert seen.deltas() == list(SENT["plain"].text)
    assert [(part["text"], part["state"]) for part in seen.message_parts("text")] == [
        ("Hello world!", "done")
    ]
    assert seen.types()[-1] == "finish"


def test_interleaved_tool_calls_are_assembled_and_ready_to_run(answers: Answers) -> None:
    seen = answers["ui-message", "tools"]
    assert seen.error is None
    calls = seen.message_parts("tool-get_weather", "tool-get_time")
    assert [
        {"id": call["toolCallId"], "name": call["type"].removeprefix("tool-"), "arguments": call["input"]}
        for call in calls
    ] == [call | {"arguments": json.loads(call["arguments"])} for call in SENT["tools"].tool_calls]
    assert {call["state"] for call in calls} == {"input-available"}
    assert seen.types().count("tool-input-delta") > len(calls)  # their inputs arrived in several deltas


def test_a_refusal_is_shown_as_text(answers: Answers) -> None:
    seen = answers["ui-message", "refusal"]
    assert seen.error is None
    assert seen.deltas() == list(SENT["refusal"].refusal)
    assert [part["text"] for part in seen.message_parts("text")] == ["I can't help with that."]


@pytest.mark.parametrize("scenario", ["error", "flat error"])
def test_an_error_in_the_middle_of_a_stream_is_raised_with_the_upstreams_message(
    answers: Answers, scenario: str
) -> None:
    seen = answers["ui-message", scenario]
    assert seen.deltas() == list(SENT[scenario].text)
    assert seen.error == SENT[scenario].error
    assert "finish" not in seen.types()


def test_an_interrupted_stream_is_raised_as_an_error(answers: Answers) -> None:
    seen = answers["ui-message", "cut"]
    assert seen.deltas() == list(SENT["cut"].text)
    assert seen.error == "The upstream broke off before the answer's end."
    assert "finish" not in seen.types()


@pytest.mark.parametrize("transport", ROUTES)
def test_an_error_before_the_first_byte_refuses_the_request(answers: Answers, transport: str) -> None:
    seen = answers[transport, "refused"]
    assert seen.parts == []
    assert seen.error is not None
    assert json.loads(seen.error)["error"]["code"] == "model_not_found"


# -- useChat's engine against /api/chat: tools are run, another question is asked, its answer regenerated ----


def test_an_answer_continues_in_the_same_message_after_its_tools_have_run(answered: Answered) -> None:
    assert answered.conversation["error"] is None
    question, message, *_ = answered.conversation["messages"]
    assert [question["role"], message["role"]] == ["user", "assistant"]
    first, second = (part for part in message["parts"] if part["type"].startswith("tool-"))
    assert first["output"] == {"of": first["input"]}
    assert second["state"] == "output-available"
    assert [part["type"] for part in message["parts"]][-2:] == ["step-start", "text"]
    assert message["parts"][-1]["text"] == "Hello world!"


def test_a_conversation_continues_and_its_last_answer_can_be_regenerated(answered: Answered) -> None:
    messages = answered.conversation["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant"]
    assert len({message["id"] for message in messages}) == 4
    assert [part["text"] for part in messages[-1]["parts"] if part["type"] == "text"] == ["Hello world!"]


def test_the_upstream_gets_the_conversation_as_valid_chat_messages(
    answered: Answered, package: str, replay: ReplayUpstream
) -> None:
    first, second, third, again = (
        exchange.body["messages"] for exchange in replay.exchanges(f"conversation by {package}")
    )
    assert first == [{"role": "user", "content": "hi"}]
    calls = SENT["tools"].tool_calls
    _, asked, *results = second
    sent_back = [
        {"id": call["id"], **call["function"], "arguments": json.loads(call["function"]["arguments"])}
        for call in asked["tool_calls"]
    ]
    assert sent_back == [call | {"arguments": json.loads(call["arguments"])} for call in calls]
    assert [(result["role"], result["tool_call_id"]) for result in results] == [
        ("tool", call["id"]) for call in calls
    ]
    added = [{"role": "assistant", "content": "Hello world!"}, {"role": "user", "content": "and now?"}]
    assert third == again == [*second, *added]


# -- useChat({resume: true}), which asks for an unfinished answer on every mount -----------------------------

HISTORIES: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "a question": [{"id": "q", "role": "user", "parts": [{"type": "text", "text": "hi"}]}],
    "an answer": [
        {"id": "q", "role": "user", "parts": [{"type": "text", "text": "hi"}]},
        {"id": "a", "role": "assistant", "parts": [{"type": "text", "text": "Hello."}]},
    ],
    "a tool call": [
        {"id": "q", "role": "user", "parts": [{"type": "text", "text": "hi"}]},
        {
            "id": "a",
            "role": "assistant",
            "parts": [{"type": "tool-t", "toolCallId": "c", "state": "input-available", "input": {}}],
        },
    ],
}


def test_a_chat_that_resumes_finds_no_unfinished_answer(package: str, keyed_relay: ServedRelay) -> None:
    """There is no error, the messages stay the same, and the chat is ready, whatever its id."""
    jobs = [
        {
            "transport": "resume",
            "url": f"{keyed_relay.url}/api/chat",
            "id": chat_id,
            "messages": history,
            "headers": {"authorization": f"Bearer {CALLER_KEY}"},
        }
        for history in HISTORIES.values()
        for chat_id in ("9dGRhvHAP8xy2yVT", "with a space/and a slash")
    ]
    for job, seen in zip(jobs, run_node_program("ai_sdk.mjs", package, jobs=jobs), strict=True):
        assert (seen["status"], seen["error"], seen["errors"]) == ("ready", None, [])
        assert seen["messages"] == job["messages"]
        assert seen["finished"] == [False]  # neither aborted, disconnected nor failed


def test_a_chat_that_resumes_without_a_key_gets_an_error(package: str, keyed_relay: ServedRelay) -> None:
    job = {"transport": "resume", "url": f"{keyed_relay.url}/api/chat", "id": "c", "messages": []}
    (seen,) = run_node_program("ai_sdk.mjs", package, jobs=[job])
    assert seen["status"] == "error"
    assert "invalid_api_key" in seen["error"]


# -- TextStreamChatTransport against /chatCompletion -----------------------------------------------------


def test_a_text_arrives_while_it_is_being_written(answers: Answers) -> None:
    seen = answers["text", "spaced"]
    assert seen.error is None
    assert len(seen.deltas()) > 1  # one for each read of the client
    assert [(part["text"], part["state"]) for part in seen.message_parts("text")] == [
        ("Hello world!", "done")
    ]


@pytest.mark.parametrize("scenario", ["error", "flat error", "cut"])
def test_a_text_that_breaks_off_is_an_error(answers: Answers, scenario: str) -> None:
    seen = answers["text", scenario]
    assert "".join(seen.deltas()) == "".join(SENT[scenario].text)
    assert seen.error
    assert "finish" not in seen.types()


# -- the schema ------------------------------------------------------------------------------------------


class MadeUpParts(QuietRequest):
    """A UI message stream with the part that is given as the request's model."""

    def do_POST(self) -> None:  # noqa: N802 - http.server names it
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        parts = [{"type": "start"}, json.loads(body["model"]), {"type": "finish"}]
        stream = b"".join(b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(stream)))
        self.end_headers()
        self.wfile.write(stream)


def test_the_transport_refuses_parts_that_its_schema_does_not_allow(package: str) -> None:
    """The tests above rely on this: a stream that these versions accept is valid by their schema."""
    good = {"type": "text-start", "id": "1"}
    unknown, incomplete = {"type": "made-up", "id": "1"}, {"type": "text-start"}
    excessive = good | {"made-up": True}
    with LoopbackServer(MadeUpParts) as server:
        jobs = [
            {"transport": "ui-message", "url": server.url, "model": json.dumps(part)}
            for part in (good, unknown, incomplete, excessive)
        ]
        seen = [Seen(**one) for one in run_node_program("ai_sdk.mjs", package, jobs=jobs)]
    is_strict = package == "ai"  # the last versions of 5 refuse unknown fields, 6 and 7 do not
    assert [one.error is not None for one in seen] == [False, True, True, is_strict]
