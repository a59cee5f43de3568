"""Every stream of tests/conformance over real HTTP through the whole stack, in every format and chunking."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import pytest

from chat_stream.dialects.chat_completions.deltas import reasoning_in
from chat_stream.dialects.dialect import CHAT_COMPLETIONS, responses_dialect
from chat_stream.events import AnswerFailed, ChatEvent, StreamDone, TextDelta
from chat_stream.sse import EventStreamParser, with_blank_line
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.clients.ui_message_client import UI_REASONS, Client, parts_in
from tests.support.conformance_cases import StreamCase, choices_of, stream_cases
from tests.support.dialects.response_events import tool_calls
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream
from tests.support.upstreams.stream_case_replies import case_reply

FORMATS = {"chat": ["text", "sse", "ui-message", "json"], "responses": ["sse", "json"]}
GOOD = ("completed", "incomplete")
OUTCOMES = {"error": "failed", "empty": "failed", "not_sse": "failed"}


class Asked(NamedTuple):
    """One case, requested in one format; the upstream sends it in chunks of `size` bytes."""

    case: StreamCase
    fmt: str
    size: int | None

    @property
    def id(self) -> str:
        return f"{self.case.name}-{self.fmt}-{self.size or 'whole'}"

    @property
    def expected(self) -> dict[str, Any]:
        return self.case.expected

    @property
    def is_good(self) -> bool:
        return self.expected["outcome"] in GOOD


@dataclass
class Got:
    """What the caller received; `broken` if the body broke off."""

    status: int
    headers: httpx.Headers
    body: bytes
    broken: bool

    @property
    def error(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["error"])


ASKED = [
    Asked(case, fmt, size)
    for case in stream_cases()
    for fmt in FORMATS[case.expected["api"]]
    # A million HTTP chunks would load the test's client more than the relay.
    for size in (None, 1 if len(case.body) < 100_000 else 61)
]
every_answer = pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.id)


def every(*formats: str, api: str = "chat") -> pytest.MarkDecorator:
    chosen = [asked for asked in ASKED if asked.fmt in formats and asked.expected["api"] == api]
    return pytest.mark.parametrize("asked", chosen, ids=lambda asked: asked.id)


def request_of(asked: Asked) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": f"conformance-{asked.id}"}
    if asked.expected["api"] == "responses":
        return "/v1/responses", {**body, "input": "hi", "stream": asked.fmt == "sse"}
    body["n"] = choices_of(asked.case)
    if asked.fmt == "ui-message":
        return "/api/chat", {
            **body,
            "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}],
        }
    body["messages"] = [{"role": "user", "content": "hi"}]
    if asked.fmt == "text":
        return "/chatCompletion", body
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if asked.fmt == "sse" else {}
    return "/v1/chat/completions", {**body, **streamed}


def ask(url: str, replay: ReplayUpstream, asked: Asked) -> Got:
    path, body = request_of(asked)
    replay.answer(body["model"], case_reply(asked.case, asked.size))
    got, broken = b"", False
    with httpx.stream("POST", url + path, json=body, timeout=110, trust_env=False) as response:
        try:
            for chunk in response.iter_raw():
                got += chunk
        except httpx.RemoteProtocolError:
            broken = True
    return Got(response.status_code, response.headers, got, broken)


@pytest.fixture(scope="module")
def usual_stack(replay: ReplayUpstream) -> Iterator[LocalStack]:
    """A stack with the limits of a deployment, but without comments while a MiB arrives byte by byte."""
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": "sk-any", "KEEP_ALIVE_S": "120"}
    with LocalStack(settings) as running:
        yield running


@pytest.fixture(scope="module")
def answers(usual_stack: LocalStack, replay: ReplayUpstream) -> Iterator[Callable[[Asked], Got]]:
    """Every answer, requested in parallel, so that one that waits for a retry delays no other."""
    with ThreadPoolExecutor(4) as pool:
        pending = {asked.id: pool.submit(ask, usual_stack.url, replay, asked) for asked in ASKED}
        yield lambda asked: pending[asked.id].result()


@pytest.fixture(scope="module")
def queue(usual_stack: LocalStack) -> Iterator[TranscriptQueue]:
    with TranscriptQueue(usual_stack.endpoint, usual_stack.queue_url("transcripts")) as transcripts:
        yield transcripts


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def was_refused(asked: Asked, got: Got) -> bool:
    """Whether the upstream sent no events of an answer; asserts that the caller then gets an error status."""
    if "status" in asked.expected:
        assert (got.status, got.error["message"]) == (
            asked.expected["status"],
            asked.expected["error"]["message"],
        )
        return True
    if asked.expected["outcome"] not in ("not_sse", "empty"):
        return False
    assert (got.status, got.error["code"]) == (502, asked.expected["error"]["kind"])
    return True


def is_visible_text(text: str, expected: dict[str, Any]) -> bool:
    """Whether this is the text to be shown: the answer, or the refusal in its place. No case has both."""
    if expected["refusal"] is not None:
        return bool(text == expected["refusal"])
    return bool(sha256(text.encode()) == expected["text_sha256"])


def calls_of(expected: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """Id, name and arguments of each call; a legacy function_call is one without an id."""
    legacy = expected["function_call"]
    calls = [{"id": None, **legacy}] if legacy else expected["tool_calls"]
    return [(call["id"], call["name"], call["arguments"]) for call in calls]


def decoded(body: bytes, api: str) -> list[ChatEvent]:
    decoder = (CHAT_COMPLETIONS if api == "chat" else responses_dialect()).decoder(1)
    return [chat_event for event in EventStreamParser().feed(body) for chat_event in decoder.decode(event)]


# -- the transcript ------------------------------------------------------------------------------------------


@every_answer
def test_the_transcript_has_the_expected_content(
    asked: Asked, answers: Callable[[Asked], Got], queue: TranscriptQueue
) -> None:
    expected = asked.expected
    transcript = queue.get(answers(asked).headers["x-relay-request-id"])
    response = transcript["response"]
    assert transcript["outcome"] == OUTCOMES.get(expected["outcome"], expected["outcome"])
    assert response["usage"] == expected["usage"]
    nothing: dict[str, Any] = {"content": "", "tool_calls": []}
    first = response["choices"][0] if response["choices"] else nothing
    assert sha256(first["content"].encode()) == expected["text_sha256"]
    calls = [(call["id"], call["name"], call["arguments"]) for call in first["tool_calls"]]
    assert calls == calls_of(expected)
    for name in ("finish_reason", "refusal", "reasoning"):
        assert first.get(name) == expected[name]
    assert first.get("audio_transcript") == (expected["audio"] or {}).get("transcript")
    assert first.get("media") == expected.get("media")
    for choice, its in zip(response["choices"], expected.get("choices", []), strict=False):
        assert (choice["index"], choice["finish_reason"]) == (its["index"], its["finish_reason"])
        assert sha256(choice["content"].encode()) == its["text_sha256"]
    error, wrong = response["error"] or {}, expected["error"] or {"kind": None}
    if wrong["kind"] == "upstream_error":
        assert error["message"] == wrong["message"]
        assert error["code"] == (None if wrong["code"] is None else str(wrong["code"]))
    else:
        codes = {"upstream_truncated": "upstream_interrupted"}
        assert error.get("code") == codes.get(wrong["kind"], wrong["kind"])


# -- events --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        asked
        for asked in ASKED
        if asked.fmt == "sse" and asked.is_good and asked.case.name != "chat_json_body_not_streamed"
    ],
    ids=lambda asked: asked.id,
)
def test_the_events_of_a_good_stream_are_the_upstreams_byte_for_byte(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got = answers(asked)
    assert (got.status, got.broken) == (200, False)
    assert sha256(got.body) == sha256(asked.case.body)
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("size", [None, 1])
def test_an_unstreamed_completion_is_streamed_as_events(
    size: int | None, answers: Callable[[Asked], Got]
) -> None:
    [case] = [case for case in stream_cases() if case.name == "chat_json_body_not_streamed"]
    events = decoded(answers(Asked(case, "sse", size)).body, "chat")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == case.expected["text"]
    assert events[-1] == StreamDone()


@pytest.mark.parametrize(
    "asked",
    [asked for asked in ASKED if asked.fmt == "sse" and not asked.is_good],
    ids=lambda asked: asked.id,
)
def test_the_events_of_a_bad_stream_end_in_an_error_after_its_complete_events(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got, expected = answers(asked), asked.expected
    if was_refused(asked, got):
        return
    assert (got.status, got.broken) == (200, False)
    parser = EventStreamParser()
    *before, last = parser.feed(got.body)
    assert parser.rest == b""
    # The relay adds a missing last blank line: otherwise the error would be part of the last event.
    assert with_blank_line(asked.case.body).startswith(b"".join(event.raw for event in before))
    assert all(event.data != "[DONE]" for event in before)
    [*_, failed] = decoded(got.body, expected["api"])
    assert isinstance(failed, AnswerFailed)
    is_reported = expected["error"]["kind"] == "upstream_error"
    if is_reported:
        assert failed.message == expected["error"]["message"]
    else:
        assert failed.code == "upstream_interrupted"
    if expected["api"] == "chat":  # what makes OpenAI's SDKs raise
        assert isinstance(json.loads(last.data)["error"], dict)
        assert last.event == "message"
    else:
        kinds = ("response.failed", "error") if is_reported else ("error",)
        assert json.loads(last.data)["type"] == last.event
        assert last.event in kinds


# -- text ----------------------------------------------------------------------------------------------------


@every("text")
def test_text_is_the_visible_text_and_breaks_off_if_the_answer_does(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got, expected = answers(asked), asked.expected
    if was_refused(asked, got):
        return
    assert got.status == 200
    assert is_visible_text(got.body.decode(), expected)
    assert got.broken == (not asked.is_good)


# -- UI messages ---------------------------------------------------------------------------------------------


@every("ui-message")
def test_ui_message_parts_form_the_answer_or_end_in_an_error(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got, expected = answers(asked), asked.expected
    if was_refused(asked, got):
        return
    assert got.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.body.endswith(b"data: [DONE]\n\n")
    message = Client(parts_in(got.body))
    assert (got.status, message.reasoning or None) == (200, expected["reasoning"])
    assert is_visible_text(message.text, expected)
    assert (message.finish is not None) == asked.is_good
    assert (message.error is None) == asked.is_good
    if not asked.is_good:
        assert message.error
        assert message.error == (expected["error"]["message"] or message.error)
        return
    assert message.finish is not None
    assert message.finish.get("finishReason") == UI_REASONS.get(expected["finish_reason"])
    for (call_id, call), (given_id, name, arguments) in zip(
        message.tools.items(), calls_of(expected), strict=True
    ):
        assert (call["name"], call["input"]) == (name, json.loads(arguments))
        assert call_id == (given_id or call_id)
    assert message.finish.get("messageMetadata", {}).get("usage", {}).get("raw") == expected["usage"]
    ui = expected.get("ui", {})
    assert [[part["mediaType"], part["url"]] for part in message.files] == ui.get("files", [])
    assert [[part["url"], part.get("title")] for part in message.sources] == ui.get("sources", [])
    assert message.metadata == ui.get("metadata", [])


# -- one document --------------------------------------------------------------------------------------------


@every("json")
def test_an_unrequested_stream_becomes_one_completion_or_an_error_with_a_status(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got, expected = answers(asked), asked.expected
    assert not got.broken
    assert got.headers["content-type"] == "application/json"
    if not asked.is_good:
        assert got.status >= 400
        assert got.error["message"] == (expected["error"]["message"] or got.error["message"])
        return
    document = json.loads(got.body)
    assert (got.status, document["object"]) == (200, "chat.completion")
    assert document.get("usage") == expected["usage"]
    for choice, its in zip(document["choices"], expected["choices"], strict=True):
        assert (choice["index"], choice["finish_reason"]) == (its["index"], its["finish_reason"])
        assert sha256((choice["message"]["content"] or "").encode()) == its["text_sha256"]
        assert choice["message"].get("refusal") == its["refusal"]
    message = document["choices"][0]["message"]
    assert (reasoning_in(message) or None) == expected["reasoning"]
    assert message.get("function_call") == expected["function_call"]
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    ]
    assert calls == ([] if expected["function_call"] else calls_of(expected))
    assert (message.get("audio") or {}).get("transcript") == (expected["audio"] or {}).get("transcript")
    tokens = [token["token"] for token in (document["choices"][0].get("logprobs") or {}).get("content") or []]
    assert (tokens or None) == expected["logprobs_tokens"]


@every("json", api="responses")
def test_an_unrequested_stream_becomes_one_response_or_an_error_with_a_status(
    asked: Asked, answers: Callable[[Asked], Got]
) -> None:
    got, expected = answers(asked), asked.expected
    status = expected["response"]["status"]
    if not asked.is_good and status not in ("failed", "cancelled"):  # such a response is passed on
        assert got.status >= 400
        assert got.error["message"] == (expected["error"]["message"] or got.error["message"])
        return
    document = json.loads(got.body)
    assert (got.status, document["object"]) == (200, "response")
    if not asked.is_good:
        assert document["status"] == status
        assert status == "cancelled" or document["error"]["message"] == expected["error"]["message"]
        return
    assert document["status"] == expected["outcome"]
    events = responses_dialect().document_events(document, 1)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == expected["text"]
    assert tool_calls(events) == calls_of(expected)
    assert document["output"] == expected.get("output", document["output"])
    assert document["usage"] == expected["usage"]
