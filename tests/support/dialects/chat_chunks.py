"""Chunks of chat completions in short form and drawn by hypothesis, and how the decoder reads them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.events import ChatEvent, ProviderField, ReasoningField, ToolCallDelta
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


# -- any data ----------------------------------------------------------------------------------------------

_FIELDS = """
    index delta content tool_calls function custom arguments input type text id name choices usage object
    error finish_reason thinking reasoning function_call audio data transcript annotations logprobs message
    role refusal signature code
"""
_KEYS = st.sampled_from(_FIELDS.split())
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3)
_scalars |= st.sampled_from(["text", "thinking", "chat.completion", "AA=="])
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_parts = st.lists(st.dictionaries(_KEYS, _values, max_size=4), max_size=2)
_deltas = st.dictionaries(_KEYS, _parts | _values, max_size=4)
_choices = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(-1, 2) | _values,
        "delta": _deltas | _values,
        **dict.fromkeys(("message", "finish_reason", "logprobs", "x"), _values),
    },
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(_choices | _values, max_size=3) | _values},
    optional=dict.fromkeys(("id", "model", "created", "usage", "error", "object", "type"), _values),
)
any_stream = st.lists(chunks | _values | st.text(max_size=20), max_size=4)
any_name = st.sampled_from(["message", "error", "x"])
