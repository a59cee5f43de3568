"""Chunks of chat completions in short form, and how the decoder reads them."""

from __future__ import annotations

import json
from typing import Any

from chat_stream.dialects.chat_completions.events import (
    ChatCompletionDecoder,
)
from chat_stream.events import (
    ChatEvent,
    ProviderField,
    ReasoningField,
    ToolCallDelta,
)
from chat_stream.sse import ServerSentEvent

NO_MESSAGE = "The upstream reported an error without a message."


def sent(data: str, event: str = "message") -> ServerSentEvent:
    return ServerSentEvent(event=event, data=data, id="", retry=None, raw=b"")


def readable(events: list[ChatEvent]) -> list[ChatEvent]:
    """The events without those that only carry fields for the provider."""
    return [event for event in events if not isinstance(event, (ProviderField, ReasoningField))]


def decoded(*chunks: object, event: str = "message", choices: int = 2) -> list[ChatEvent]:
    decoder = ChatCompletionDecoder(choices)
    return [
        chat_event
        for chunk in chunks
        for chat_event in decoder.decode(sent(chunk if isinstance(chunk, str) else json.dumps(chunk), event))
    ]


def delta(fields: dict[str, Any], index: int = 0, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, **choice}]}


def calls(*fragments: dict[str, Any]) -> list[ChatEvent]:
    return decoded(*(delta({"tool_calls": [fragment]}) for fragment in fragments))


def tool_calls(events: list[ChatEvent], choice: int) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta) and event.choice == choice:
            call = found.setdefault(
                event.index, {"index": event.index, "id": None, "name": None, "arguments": ""}
            )
            call["id"] = call["id"] or event.id
            call["name"] = call["name"] or event.name
            call["arguments"] += event.arguments
    return list(found.values())
