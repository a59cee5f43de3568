"""The texts of a response's output items: those of its parts, and the arguments of its calls (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chat_stream.json_values import arguments_in, list_in, object_in, text_in
from chat_stream.surrogates import well_formed

# By type of call: the fields that hold its arguments; the first one that is not empty counts. All calls
# except mcp_call wait for the caller, who runs or approves them (the openai package's type
# ResponseSteerRequiredInput lists the possible replies). Calls of other types, such as web_search_call, are
# run by the upstream itself.
_CALL_FIELDS = {
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
    """A text of an item, or a piece of one."""

    channel: str  # text, refusal, reasoning, summary, arguments, commands or diff
    part: int  # the index of the part in the item's content or summary
    text: str

    def within(self, kind: str) -> Piece:
        """The piece as part of an item of this kind: a text in a reasoning item is reasoning."""
        return self._replace(channel="reasoning") if (kind, self.channel) == ("reasoning", "text") else self


def piece_of_part(part: Any, index: int) -> Piece | None:
    """The text of a part of a message or of reasoning; None for a part without text, such as an image."""
    part = object_in(part)
    channel = _CHANNEL_OF_PART.get(text_in(part.get("type")) or "")
    if channel is None:
        return None
    text = field_text(channel, part.get("refusal" if channel == "refusal" else "text"))
    return Piece(channel, index, well_formed(text))


def pieces_of(item: Mapping[str, Any]) -> list[Piece]:
    """The texts of a complete item, part by part."""
    kind = kind_of(item)
    if kind == "call":
        if runs_upstream(item):
            return []
        fields = _CALL_FIELDS.get(text_in(item.get("type")) or "", ("arguments", "input"))
        arguments = next((value for key in fields if (value := item.get(key)) not in (None, "", [])), None)
        return [Piece("arguments", 0, well_formed(field_text("arguments", arguments)))]
    if kind not in ("message", "reasoning"):
        return []
    parts = list(enumerate(list_in(item.get("summary")))) if kind == "reasoning" else []
    parts += enumerate(list_in(item.get("content")))
    return [piece.within(kind) for index, part in parts if (piece := piece_of_part(part, index))]


def field_text(channel: str, value: Any) -> str:
    """The value of a text field of this channel as text; "" for values of other types."""
    if channel == "arguments":
        return arguments_in(value)
    return value if isinstance(value, str) else ""


def int_in(value: Any) -> int | None:
    """The index; None for any other type."""
    return value if type(value) is int else None


def name_of(call: Mapping[str, Any]) -> str | None:
    """The name of the called tool; for OpenAI's own tools, which have no name, the type of the call."""
    call_type = text_in(call.get("type"))
    return text_in(call.get("name")) or (call_type if call_type in _NAMED_BY_TYPE else None)


def runs_upstream(call: Mapping[str, Any]) -> bool:
    """Whether the upstream runs this call itself, although other calls of its type wait for the caller.

    Shell commands run in OpenAI's container or on the caller's side, and so do searches for tools.
    """
    environment = object_in(call.get("environment")).get("type")
    is_hosted_shell = call.get("type") == "shell_call" and environment not in (None, "local")
    return is_hosted_shell or (call.get("type") == "tool_search_call" and call.get("execution") == "server")


def kind_of(item: Mapping[str, Any]) -> str:
    """The kind of an item: "message", "reasoning", "call" for the types in _CALL_FIELDS, else its type."""
    return kind_of_type(text_in(item.get("type")) or ("message" if "content" in item else ""))


def kind_of_type(item_type: str) -> str:
    """The kind of items of this type, as in `kind_of`."""
    return "call" if item_type in _CALL_FIELDS else item_type
