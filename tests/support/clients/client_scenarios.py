"""Scenarios of answers for client libraries; most of the streams are those of tests/conformance.

The requested model selects the scenario: "chat plain" for the stream, "chat plain whole" for the answer that
is not streamed; "responses …" likewise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.support.conformance_cases import FOLDER
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion

ToolCall = dict[str, str]  # id, name, arguments

MODELS = ["gpt-6-luna", "meta/llama-5"]  # that the upstream lists

_NOT_FOUND = Reply.json({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
_BUSY = {"message": "The model is overloaded.", "type": "server_error", "param": None, "code": "busy"}
_ERROR_DOCUMENT = Reply.json({"error": _BUSY})


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The upstream's answer, as a `stream` and `whole`, and what a client must read from it.

    `text` and `refusal` are the deltas; `error` is the upstream's error message.
    """

    stream: Reply | None
    whole: Reply | None = None
    text: tuple[str, ...] = ()
    refusal: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    error: str | None = None


def set_up(replay: ReplayUpstream) -> None:
    """Let the upstream answer all scenarios."""
    for api, scenarios in SCENARIOS.items():
        for name, scenario in scenarios.items():
            if scenario.stream:
                replay.answer(f"{api} {name}", scenario.stream)
            if scenario.whole:
                replay.answer(f"{api} {name} whole", scenario.whole)


def events_of(case: str) -> list[bytes]:
    """The events of a conformance stream; the last one may be incomplete."""
    body = (FOLDER / "openai_streams" / f"{case}.sse").read_bytes()
    return [piece for piece in re.split(rb"(?<=\n\n)", body) if piece]


def _in_mid_stream(events: list[bytes], at: int = -1, *, is_cut: bool = False) -> Reply:
    """A reply that sends the events from `at` on shortly after those before them."""
    return Reply([*events[:at], 0.1, *events[at:]], ends="cut" if is_cut else "clean")


def _broken_off(document: Mapping[str, Any]) -> Reply:
    """A document whose connection breaks within it."""
    return replace(Reply.json(json.dumps(document).encode()[:-20]), ends="cut")


# -- chat completions -----------------------------------------------------------------------------------

_CHAT_CALLS: tuple[ToolCall, ...] = (
    {"id": "call_A", "name": "get_weather", "arguments": '{"city":"Paris"}'},
    {"id": "call_B", "name": "get_time", "arguments": '{"tz":"CET"}'},
)


def _chat_document(finish_reason: str, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return completion("", choices=[choice])


def _chat_scenarios() -> dict[str, Scenario]:
    plain = Scenario(
        stream=Reply(events_of("chat_basic_openai")),
        whole=Reply.json(_chat_document("stop", content="Hello world!")),
        text=("Hello", " world", "!"),
        finish_reason="stop",
    )
    called = [
        {"id": call["id"], "type": "function", "function": {key: call[key] for key in ("name", "arguments")}}
        for call in _CHAT_CALLS
    ]
    return {
        "plain": plain,
        # A stream that was not requested.
        "unasked": replace(plain, stream=None, whole=plain.stream),
        "tools": Scenario(
            stream=Reply(events_of("chat_tools_parallel_interleaved")),
            whole=Reply.json(_chat_document("tool_calls", content=None, tool_calls=called)),
            tool_calls=_CHAT_CALLS,
            finish_reason="tool_calls",
        ),
        "refusal": Scenario(
            stream=Reply(events_of("chat_refusal")),
            whole=Reply.json(_chat_document("stop", content=None, refusal="I can't help with that.")),
            refusal=("I can't", " help with that."),
            finish_reason="stop",
        ),
        "error": Scenario(
            stream=_in_mid_stream(events_of("chat_error_midstream_object"), at=-2),
            whole=_ERROR_DOCUMENT,
            text=("Partial",),
            error="The server had an error while processing your request.",
        ),
        "flat error": Scenario(
            stream=_in_mid_stream(events_of("chat_event_error_flat"), at=-2),
            text=("A",),
            error="Requested sample logprobs of 21, which is greater than max allowed: 20",
        ),
        "cut": Scenario(
            stream=_in_mid_stream(events_of("chat_truncated_mid_json"), is_cut=True),
            whole=_broken_off(_chat_document("stop", content="The conn")),
            text=("The conn", "ection d"),
        ),
        "refused": Scenario(stream=_NOT_FOUND, whole=_NOT_FOUND),
    }


# -- responses ------------------------------------------------------------------------------------------


def _response_document(case: str) -> dict[str, Any]:
    """The response document in the last event of a conformance stream."""
    response: dict[str, Any] = json.loads(events_of(case)[-1].split(b"data: ", 1)[1])["response"]
    return response


def _response_scenarios() -> dict[str, Scenario]:
    plain = Scenario(
        stream=Reply(events_of("responses_basic")),
        whole=Reply.json(_response_document("responses_basic")),
        text=("Hi", " there", " 👋"),
        finish_reason="completed",
    )
    half = events_of("responses_failed")[:-1]
    busy = json.dumps({"type": "error", "sequence_number": 5, "error": _BUSY}).encode()
    return {
        "plain": plain,
        "unasked": replace(plain, stream=None, whole=plain.stream),
        "tools": Scenario(
            stream=Reply(events_of("responses_function_calls_interleaved")),
            whole=Reply.json(_response_document("responses_function_calls_interleaved")),
            tool_calls=(
                {"id": "call_1", "name": "get_weather", "arguments": '{"city":"Paris"}'},
                {"id": "call_2", "name": "get_time", "arguments": '{"tz":"CET"}'},
            ),
            finish_reason="completed",
        ),
        "refusal": Scenario(
            stream=Reply(events_of("responses_refusal")),
            whole=Reply.json(_response_document("responses_refusal")),
            refusal=("I can't", " do that."),
            finish_reason="completed",
        ),
        "failed": Scenario(
            stream=_in_mid_stream(events_of("responses_failed")),
            text=("Half",),
            finish_reason="failed",
            error="The model failed to generate a response.",
        ),
        # In the form that the API reference documents; "error" has the form that the API sends.
        "flat error": Scenario(
            stream=_in_mid_stream(events_of("responses_error_flat")), error="Rate limit reached"
        ),
        "error": Scenario(
            stream=_in_mid_stream([*half, b"event: error\ndata: " + busy + b"\n\n"]),
            whole=_ERROR_DOCUMENT,
            text=("Half",),
            error=_BUSY["message"],
        ),
        "cut": Scenario(
            stream=_in_mid_stream(events_of("responses_closed_before_completed"), is_cut=True),
            whole=_broken_off(_response_document("responses_basic")),
            text=("The stream ", "stops"),
        ),
        "refused": Scenario(stream=_NOT_FOUND, whole=_NOT_FOUND),
    }


def streamed(scenarios: Mapping[str, Scenario]) -> dict[str, Scenario]:
    """The scenarios that have a stream."""
    return {name: scenario for name, scenario in scenarios.items() if scenario.stream}


SCENARIOS: Mapping[str, Mapping[str, Scenario]] = {
    "chat": _chat_scenarios(),
    "responses": _response_scenarios(),
}
