"""Every stream of tests/conformance, relayed in every format, whole and in single bytes.

tests/e2e/browsers/test_stream_module_streams.py sends the same streams through the whole stack.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest

from chat_stream.dialects.chat_completions.deltas import reasoning_in
from chat_stream.dialects.dialect import CHAT_COMPLETIONS, responses_dialect
from chat_stream.events import AnswerFailed, ChatEvent, StreamDone, TextDelta
from chat_stream.sse import EventStreamParser, with_blank_line
from request.chat_request import AnswerFormat
from tests.support.clients.ui_message_client import UI_REASONS, Client, parts_in
from tests.support.conformance_cases import StreamCase, choices_of, stream_cases
from tests.support.dialects.response_events import tool_calls
from tests.support.runtime.relaying import RelayCall, Relayed
from tests.support.upstreams.stream_case_replies import case_reply

DIALECTS = {"chat": CHAT_COMPLETIONS, "responses": responses_dialect()}
FORMATS = {"chat": ["text", "sse", "ui-message", "json"], "responses": ["responses-sse", "json"]}
GOOD = ("completed", "incomplete")
OUTCOMES = {"error": "failed", "empty": "failed", "not_sse": "failed"}


class Asked(NamedTuple):
    """One case, requested in one format."""

    case: StreamCase
    fmt: str

    @property
    def id(self) -> str:
        return f"{self.case.name}-{self.fmt}"

    @property
    def expected(self) -> dict[str, Any]:
        return self.case.expected

    @property
    def api(self) -> str:
        return str(self.expected["api"])

    @property
    def is_good(self) -> bool:
        return self.expected["outcome"] in GOOD


ASKED = [Asked(case, fmt) for case in stream_cases() for fmt in FORMATS[case.expected["api"]]]


def test_every_format_is_asked_for() -> None:
    asked = {fmt for formats in FORMATS.values() for fmt in formats}
    assert asked | {"event-source"} == set(get_args(AnswerFormat))  # which differs from "sse" by its ids only


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.id)
def test_a_providers_stream_becomes_the_expected_answer_and_transcript(
    relay: RelayCall, asked: Asked
) -> None:
    for size in (None, 1):  # bytes in each chunk of the upstream's
        got = relay(
            case_reply(asked.case, size),
            fmt=asked.fmt,
            n=choices_of(asked.case),
            dialect=DIALECTS[asked.api],
            usage_wanted=True,
            remaining_s=110.0,
            keep_alive_s=100.0,
        )
        check_transcript(got.transcript, asked.expected)
        CHECKS[asked.fmt if asked.api == "chat" else f"{asked.api} {asked.fmt}"](asked, got)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def was_refused(asked: Asked, got: Relayed) -> bool:
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
    decoder = DIALECTS[api].decoder(1)
    return [chat_event for event in EventStreamParser().feed(body) for chat_event in decoder.decode(event)]


# -- the transcript ------------------------------------------------------------------------------------------


def check_transcript(transcript: dict[str, Any], expected: dict[str, Any]) -> None:
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


def check_events(asked: Asked, got: Relayed) -> None:
    """Events are the upstream's byte for byte; a bad stream ends in an error after its complete events."""
    if was_refused(asked, got):
        return
    assert (got.status, got.body.error) == (200, None)
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    if asked.case.name == "chat_json_body_not_streamed":
        events = decoded(got.data, "chat")
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == asked.expected["text"]
        assert events[-1] == StreamDone()
    elif asked.is_good:
        assert sha256(got.data) == sha256(asked.case.body)
    else:
        check_error_event(asked, got.data)


def check_error_event(asked: Asked, body: bytes) -> None:
    expected = asked.expected
    parser = EventStreamParser()
    *before, last = parser.feed(body)
    assert parser.rest == b""
    # The relay adds a missing last blank line: otherwise the error would be part of the last event.
    assert with_blank_line(asked.case.body).startswith(b"".join(event.raw for event in before))
    assert all(event.data != "[DONE]" for event in before)
    [*_, failed] = decoded(body, expected["api"])
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


def check_text(asked: Asked, got: Relayed) -> None:
    """Text is the visible text, a line feed if there is none, and breaks off if the answer does."""
    expected = asked.expected
    if was_refused(asked, got):
        return
    assert got.status == 200
    sent = got.data.decode()
    assert is_visible_text("" if sent == "\n" else sent, expected)
    assert (got.body.error is not None) == (not asked.is_good)


# -- UI messages ---------------------------------------------------------------------------------------------


def check_ui_message(asked: Asked, got: Relayed) -> None:
    """UI message parts form the answer, or end in an error."""
    expected = asked.expected
    if was_refused(asked, got):
        return
    assert got.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.data.endswith(b"data: [DONE]\n\n")
    message = Client(parts_in(got.data))
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


def check_completion(asked: Asked, got: Relayed) -> None:
    """An unrequested stream becomes one completion, or an error with a status."""
    expected = asked.expected
    assert got.body.error is None
    assert got.headers["content-type"] == "application/json"
    if not asked.is_good:
        assert got.status >= 400
        assert got.error["message"] == (expected["error"]["message"] or got.error["message"])
        return
    document = json.loads(got.data)
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
    assert ("audio" in message) == (expected["audio"] is not None)
    if expected["audio"]:
        audio, given = message["audio"], dict(expected["audio"])
        fragments = given.pop("data_base64_fragments")
        assert base64.b64decode(audio.pop("data")) == b"".join(map(base64.b64decode, fragments))
        assert audio == given
    tokens = [token["token"] for token in (document["choices"][0].get("logprobs") or {}).get("content") or []]
    assert (tokens or None) == expected["logprobs_tokens"]


def check_response(asked: Asked, got: Relayed) -> None:
    """An unrequested stream becomes one response, or an error with a status."""
    expected = asked.expected
    status = expected["response"]["status"]
    if not asked.is_good and status not in ("failed", "cancelled"):  # such a response is passed on
        assert got.status >= 400
        assert got.error["message"] == (expected["error"]["message"] or got.error["message"])
        return
    document = json.loads(got.data)
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


CHECKS: dict[str, Callable[[Asked, Relayed], None]] = {
    "sse": check_events,
    "text": check_text,
    "ui-message": check_ui_message,
    "json": check_completion,
    "responses responses-sse": check_events,
    "responses json": check_response,
}
