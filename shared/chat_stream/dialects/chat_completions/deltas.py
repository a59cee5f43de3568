"""Deltas: what an entry of a chunk adds to its choice, and the field names of reasoning (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_stream.json_values import list_in, object_in, text_in
from chat_stream.memory_bound import OBJECT_BYTES, GrowingText, MemoryBound

# Fields that hold reasoning, as a string, an object or a list of typed parts. In this order: DeepSeek's and
# vLLM's, OpenRouter's, GitHub Copilot's [litellm#35021], Ollama's; then LiteLLM's list, and that of MiniMax
# and OpenRouter, which may come without the others [litellm#22394]. Several fields often hold the same
# reasoning [vllm#27755].
REASONING_TEXTS = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "thinking_content")
REASONING_NAMES = (*REASONING_TEXTS, "thinking_blocks", "reasoning_details")
REASONING_PARTS = ("thinking", "reasoning", "reasoning_text", "reasoning_content")  # the types of its parts

_TEXTS_OF_A_PART = ("text", "thinking", "summary", "content", *REASONING_TEXTS)

# Fields that share a channel: what one of them has sent is not read again from another.
_CHANNELS: Mapping[str, str] = {**dict.fromkeys(REASONING_NAMES, "reasoning"), "function_call": "tool_calls"}


def reasoning_in(delta: Mapping[str, Any]) -> str:
    """The reasoning in a delta or message; "" without any.

    If several fields hold some, the longest text is used: the others repeat it.
    """
    texts = [reasoning_text(delta[name]) for name in REASONING_NAMES if name in delta]
    return max(texts, key=len, default="")


def reasoning_text(value: Any) -> str:
    """The text of reasoning in any form: a string, a typed part, or a list of both, possibly nested.

    Encrypted and redacted parts and signatures have no text. Raises RecursionError for reasoning that is
    nested too deeply.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(reasoning_text, value))
    if isinstance(value, dict):
        return next((text for key in _TEXTS_OF_A_PART if (text := reasoning_text(value.get(key)))), "")
    return ""


class DeltaReader:
    """Reads what each entry of one choice adds to it, without repetitions. One for each choice.

    Some upstreams send the whole message after the deltas, or beside each of them. A channel of the message
    counts only if no delta has sent anything in that channel [hermes-browser-extension#11].
    """

    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._delta_fields: set[str] = set()  # fields in which deltas have sent something
        self._message_texts: dict[str, GrowingText] = {}  # texts of messages that are sent instead of deltas
        self._message_calls: set[str] = set()  # ids of their tool calls

    def read(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        """What an entry adds to the choice. Its delta may be missing or null [openai-python#1677]."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            fields = self._delta_fields
            for name in delta:
                if name not in fields and delta[name]:
                    self._bound.take(OBJECT_BYTES + len(name))
                    fields.add(name)
        else:
            delta = {}
        if "message" in choice:
            return {**delta, **self._new_in_message(object_in(choice["message"]))}
        return delta

    def _new_in_message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        channels = {_CHANNELS.get(name, name) for name in self._delta_fields}
        new = {}
        for name, value in message.items():
            if _CHANNELS.get(name, name) in channels:
                continue
            if isinstance(value, str) and name != "role":
                value = self._rest_of_text(name, value)
            elif name == "tool_calls":
                value = self._new_calls(value)
            new[name] = value
        return new

    def _rest_of_text(self, name: str, text: str) -> str:
        """What a message's text adds. Without deltas each message holds a piece, or all text so far."""
        known = self._message_texts.setdefault(name, GrowingText())
        if known.length and len(text) >= known.length and text.startswith(str(known)):
            text = text[known.length :]
        self._bound.take(len(text))
        known.add(text)
        return text

    def _new_calls(self, calls: Any) -> list[Any]:
        """The calls that no earlier message held. Each is complete and gets an index of its own."""
        new: list[Any] = []
        for call in list_in(calls):
            if not isinstance(call, dict):
                continue
            call_id = text_in(call.get("id")) or f"message {len(self._message_calls)}"
            if call_id not in self._message_calls:
                self._bound.take(OBJECT_BYTES + len(call_id))
                self._message_calls.add(call_id)
                new.append({"index": call_id, **call})
        return new
