"""Events of the Responses API in short form, and how the decoder reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chat_stream.dialects.responses.events import ResponsesDecoder
from chat_stream.events import (
    AnswerFailed,
    ChatEvent,
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
)
from chat_stream.sse import ServerSentEvent

COMPLETED = ChoiceFinished(0, "completed")
DONE = StreamDone()
CANCELLED = AnswerFailed("The upstream cancelled the response.", None, "cancelled", None, None)
FAILED = AnswerFailed("m", None, None, None, None)
NO_MESSAGE = "The upstream reported an error without a message."

Document = dict[str, Any]


def sent(data: object, event: str = "message") -> ServerSentEvent:
    text = data if isinstance(data, str) else json.dumps(data)
    return ServerSentEvent(event=event, data=text, id="", retry=None, raw=b"")


def decoded(*events: object, event: str = "message") -> list[ChatEvent]:
    decoder = ResponsesDecoder()
    return [chat for data in events for chat in decoder.decode(sent(data, event))]


def named(event: str, **fields: Any) -> Document:
    return {"type": f"response.{event}", **fields}


def text_delta(text: str, **fields: Any) -> Document:
    return {**named("output_text.delta", item_id="m", output_index=0, content_index=0, delta=text), **fields}


def ended(ending: str = "completed", output: list[Any] | None = None, **fields: Any) -> Document:
    return named(ending, response={"status": ending, "output": output or [], **fields})


def message(*texts: str, **fields: Any) -> Document:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": "m", "type": "message", "role": "assistant", "content": parts, **fields}


def call(arguments: Any = "", **fields: Any) -> Document:
    return {
        "type": "function_call",
        "id": "fc",
        "call_id": "c",
        "name": "f",
        "arguments": arguments,
        **fields,
    }


def item(step: str, document: Document, index: int | None = 0) -> Document:
    place = {} if index is None else {"output_index": index}
    return named(f"output_item.{step}", item=document, **place)


TextEvent = TextDelta | RefusalDelta | ReasoningDelta


def text_of(events: Iterable[ChatEvent], kind: type[TextEvent] = TextDelta) -> str:
    return "".join(event.text for event in events if isinstance(event, TextEvent) and isinstance(event, kind))


def unbroken_text(events: Iterable[ChatEvent], kind: type[TextEvent] = TextDelta) -> str:
    """The text without the breaks between items."""
    return text_of(events, kind).replace("\n\n", "")


def tool_calls(events: Iterable[ChatEvent]) -> list[tuple[str | None, str | None, str]]:
    calls: dict[int, tuple[str | None, str | None, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            call_id, name, arguments = calls.setdefault(event.index, (None, None, ""))
            assert event.id is None or call_id is None
            assert event.name is None or name is None
            calls[event.index] = (call_id or event.id, name or event.name, arguments + event.arguments)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


SUMMARY = [{"type": "summary_text", "text": "Plan: "}, {"type": "summary_text", "text": "none. "}]
RAW = {"type": "reasoning_text", "text": "Easy."}
REASONING = {"id": "r", "type": "reasoning", "summary": SUMMARY, "content": [RAW]}
