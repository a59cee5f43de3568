"""What an output item of a response says: the texts of its parts, and what its calls ask for (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chat_stream.json_values import arguments_in, list_in, object_in, text_in
from chat_stream.surrogates import well_formed

# The calls of a response, with the fields that say what to do; of several the first that is not empty counts.
# All but mcp_call wait for the caller, who runs or approves them (the openai package's type
# ResponseSteerRequiredInput lists the answers). Others, as web_search_call, are made by the upstream itself.
_ASKED_IN = {
    "function_call": ("arguments", "input"),
    "custom_tool_call": ("input", "arguments"),
    "mcp_call": ("arguments", "input"),
    "mcp_approval_request": ("arguments",),
    "shell_call": ("action",),
    "local_shell_call": ("action",),
    "apply_patch_call": ("operation",),
    "computer_call": ("actions", "action"),
    "tool_search_call": ("arguments",),
}
_NAMED_BY_TYPE = ("shell_call", "local_shell_call", "apply_patch_call", "computer_call", "tool_search_call")

_CHANNEL_OF_PART = {
    "output_text": "text",
    "text": "text",
    "refusal": "refusal",
    "reasoning_text": "reasoning",
    "summary_text": "summary",
}


class Piece(NamedTuple):
    """A text that an item says, or a part of it."""

    channel: str  # text, refusal, reasoning, summary, arguments, commands or diff
    part: int  # its place in the item's content or summary
    text: str

    def within(self, kind: str) -> Piece:
        """The piece in an item of this kind: what reasoning says is reasoning, by whichever name it goes."""
        return self._replace(channel="reasoning") if (kind, self.channel) == ("reasoning", "text") else self


def piece_of(part: Any, index: int) -> Piece | None:
    """What a part of a message or of reasoning says; None for one that says nothing, as an image."""
    part = object_in(part)
    channel = _CHANNEL_OF_PART.get(text_in(part.get("type")) or "")
    if channel is None:
        return None
    text = spelled(channel, part.get("refusal" if channel == "refusal" else "text"))
    return Piece(channel, index, well_formed(text))


def pieces_of(item: Mapping[str, Any]) -> list[Piece]:
    """What a whole item says, part by part."""
    kind = kind_of(item)
    if kind == "call":
        if runs_upstream(item):
            return []
        fields = _ASKED_IN.get(text_in(item.get("type")) or "", ("arguments", "input"))
        asked = next((value for key in fields if (value := item.get(key)) not in (None, "", [])), None)
        return [Piece("arguments", 0, well_formed(spelled("arguments", asked)))]
    if kind not in ("message", "reasoning"):
        return []
    parts = list(enumerate(list_in(item.get("summary")))) if kind == "reasoning" else []
    parts += enumerate(list_in(item.get("content")))
    return [piece.within(kind) for index, part in parts if (piece := piece_of(part, index))]


def spelled(channel: str, value: Any) -> str:
    """The text in a field of this channel; "" in place of anything that is none."""
    if channel == "arguments":
        return arguments_in(value)
    return value if isinstance(value, str) else ""


def place_in(value: Any) -> int | None:
    """An index, or None in place of anything else."""
    return value if type(value) is int else None


def name_of(call: Mapping[str, Any]) -> str | None:
    """The name of the tool that is called: for OpenAI's own tools, which have none, the type of the call."""
    call_type = text_in(call.get("type"))
    return text_in(call.get("name")) or (call_type if call_type in _NAMED_BY_TYPE else None)


def runs_upstream(call: Mapping[str, Any]) -> bool:
    """Whether the upstream makes this call itself, although others of its type wait for the caller.

    Shell commands run in OpenAI's container or at the caller's, and so do searches for tools.
    """
    environment = object_in(call.get("environment")).get("type")
    is_hosted_shell = call.get("type") == "shell_call" and environment not in (None, "local")
    return is_hosted_shell or (call.get("type") == "tool_search_call" and call.get("execution") == "server")


def kind_of(item: Mapping[str, Any]) -> str:
    """What the item is to us: "message", "reasoning", "call" for those of _ASKED_IN, else its own type."""
    return kind_of_type(text_in(item.get("type")) or ("message" if "content" in item else ""))


def kind_of_type(item_type: str) -> str:
    """The same, of a type."""
    return "call" if item_type in _ASKED_IN else item_type
