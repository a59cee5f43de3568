"""Read UI message streams as the client of the AI SDK does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chat_stream.events import ChatEvent
from chat_stream.sse import EventStreamParser, ServerSentEvent
from rendering.timings import RelayTimings
from rendering.ui_message import UiMessageRenderer
from request.chat_request import ChatRequest

Part = dict[str, Any]

EVENT = ServerSentEvent(event="message", data="", id="", retry=None, raw=b"")
START = [{"type": "start"}, {"type": "start-step"}]

FINISH_REASONS = ("stop", "length", "content-filter", "tool-calls", "error", "other")  # those of version 6
# The one that each finish reason of the conformance cases becomes; any other becomes `other`.
UI_REASONS = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
    "eos_token": "stop",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "sensitive": "content-filter",
    "SAFETY": "content-filter",
    "model_context_window_exceeded": "length",
}

# The parts of a model's answer in the `uiMessageChunkSchema` of ai 5.0.210: required and optional fields.
# The schema refuses every other field.
ANYTHING = object
SCHEMA: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "text-start": ({"id": str}, {"providerMetadata": dict}),
    "text-delta": ({"id": str, "delta": str}, {"providerMetadata": dict}),
    "text-end": ({"id": str}, {"providerMetadata": dict}),
    "reasoning-start": ({"id": str}, {"providerMetadata": dict}),
    "reasoning-delta": ({"id": str, "delta": str}, {"providerMetadata": dict}),
    "reasoning-end": ({"id": str}, {"providerMetadata": dict}),
    "error": ({"errorText": str}, {}),
    "tool-input-start": ({"toolCallId": str, "toolName": str}, {"providerExecuted": bool, "dynamic": bool}),
    "tool-input-delta": ({"toolCallId": str, "inputTextDelta": str}, {}),
    "tool-input-available": (
        {"toolCallId": str, "toolName": str, "input": ANYTHING},
        {"providerExecuted": bool, "providerMetadata": dict, "dynamic": bool},
    ),
    "tool-input-error": (
        {"toolCallId": str, "toolName": str, "input": ANYTHING, "errorText": str},
        {"providerExecuted": bool, "providerMetadata": dict, "dynamic": bool},
    ),
    "file": ({"url": str, "mediaType": str}, {"providerMetadata": dict}),
    "source-url": ({"sourceId": str, "url": str}, {"title": str, "providerMetadata": dict}),
    "start-step": ({}, {}),
    "finish-step": ({}, {}),
    "start": ({}, {"messageId": str, "messageMetadata": ANYTHING}),
    "finish": ({}, {"finishReason": str, "messageMetadata": ANYTHING}),
}


def check_schema(part: Part) -> None:
    required, optional = SCHEMA[part["type"]]
    given_fields = {name: value for name, value in part.items() if name != "type"}
    assert required.keys() <= given_fields.keys() <= required.keys() | optional.keys(), part
    for name, value in given_fields.items():
        assert isinstance(value, {**required, **optional}[name]), part
    assert part.get("finishReason", "stop") in FINISH_REASONS
    assert all(isinstance(entries, dict) for entries in part.get("providerMetadata", {}).values())


def not_json(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def parts_in(stream: bytes) -> list[Part]:
    """The parts before the sentinel, if any. Asserts that it comes last and that the parts fit the schema."""
    parser = EventStreamParser()
    data = [event.data for event in parser.feed(stream)]
    assert parser.rest == b""
    assert "[DONE]" not in data[:-1]
    if data and data[-1] == "[DONE]":
        data.pop()
    parts = [json.loads(item, parse_constant=not_json) for item in data]
    for part in parts:
        check_schema(part)
    return parts


class Client:
    """Assembles a message from its parts, as processUIMessageStream of the AI SDK does, but strictly."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.text = self.reasoning = ""
        self.tools: dict[str, Part] = {}
        self.files: list[Part] = []
        self.sources: list[Part] = []
        self.parts: list[Part] = []
        """The parts of the message as `useChat` sends them back; each call has its input as its output."""
        self.finish: Part | None = None
        self.error: str | None = None
        self._open: dict[str, str] = {}
        self._ids: set[str] = set()
        self._types: list[str] = []
        for part in parts:
            self._take(part)

    def _take(self, part: Part) -> None:
        assert self.finish is None
        assert self.error is None
        kind, _, stage = part["type"].partition("-")
        if part["type"] == "error":
            assert not self._open
            self.error = part["errorText"]
        elif part["type"] == "start":
            assert not self._types
        elif part["type"] == "finish":
            assert self._types[-1] == "finish-step"
            self.finish = part
        elif part["type"] == "finish-step":
            assert not self._open
            assert all(tool["state"] == "announced" for tool in self.tools.values())
        elif part["type"] == "start-step":
            assert self._types == ["start"]
        elif part["type"] in ("file", "source-url"):
            (self.files if kind == "file" else self.sources).append(part)
            self.parts.append(part)
        elif kind == "tool":
            self._take_tool(part)
        else:
            self._take_text(part, kind, stage)
        self._types.append(part["type"])

    def _take_text(self, part: Part, kind: str, stage: str) -> None:
        if stage == "start":
            assert not self._open
            assert part["id"] not in self._ids
            self._ids.add(part["id"])
            self._open[part["id"]] = kind
            self.parts.append({"type": kind, "text": ""})
        elif stage == "delta":
            assert self._open[part["id"]] == kind
            setattr(self, kind, getattr(self, kind) + part["delta"])
            self._shown(kind)["text"] += part["delta"]
        else:
            assert self._open.pop(part["id"]) == kind
            self._shown(kind)["state"] = "done"
        if "providerMetadata" in part:
            self._shown(kind)["providerMetadata"] = part["providerMetadata"]

    @property
    def metadata(self) -> list[Any]:
        """The provider's metadata on the parts of the message, in order."""
        names = ("providerMetadata", "callProviderMetadata", "resultProviderMetadata")
        return [part[name] for part in self.parts for name in names if name in part]

    def _shown(self, kind: str) -> Part:
        return next(part for part in reversed(self.parts) if part["type"] == kind)

    def _take_tool(self, part: Part) -> None:
        call_id = part["toolCallId"]
        if part["type"] == "tool-input-start":
            assert not self._open
            assert call_id not in self.tools
            self.tools[call_id] = {"name": part["toolName"], "text": "", "state": "open", "input": None}
            self.parts.append({"type": f"tool-{part['toolName']}", "toolCallId": call_id})
            return
        tool = self.tools[call_id]
        assert tool["state"] == "open"
        if part["type"] == "tool-input-delta":
            tool["text"] += part["inputTextDelta"]
        else:
            assert tool["name"] == part["toolName"]
            tool |= {"state": "announced", "input": part["input"], "error": part.get("errorText")}
            self._keep_call(part, next(kept for kept in self.parts if kept.get("toolCallId") == call_id))

    def _keep_call(self, part: Part, kept: Part) -> None:
        """Keep a call as versions 6 and 7 do; version 5 drops the metadata of a failed call."""
        metadata = part.get("providerMetadata")
        if part["type"] == "tool-input-error":
            kept |= {"state": "output-error", "rawInput": part["input"], "errorText": part["errorText"]}
            kept |= {"resultProviderMetadata": metadata} if metadata else {}
        else:
            kept |= {"state": "output-available", "input": part["input"], "output": part["input"]}
            kept |= {"callProviderMetadata": metadata} if metadata else {}


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest("/api/chat", b"{}", "sse", True, 1, {}, **fields)


def renderer() -> UiMessageRenderer:
    return UiMessageRenderer(chat(), RelayTimings())


def rendered(*chat_events: ChatEvent) -> list[Part]:
    """The parts of a whole answer with these events, each in its own read."""
    made = renderer()
    stream = b"".join(made.render(EVENT, [event]) for event in chat_events) + made.end(b"")
    assert stream.endswith(b"data: [DONE]\n\n")
    return parts_in(stream)


def inner(*chat_events: ChatEvent) -> list[Part]:
    """These parts, without those that begin and end every message."""
    parts = rendered(*chat_events)
    assert parts[:2] == START
    assert [part["type"] for part in parts[-2:]] == ["finish-step", "finish"]
    return parts[2:-2]


def types(parts: Iterable[Part]) -> list[str]:
    return [part["type"] for part in parts]
