"""Turns the UI messages of the Vercel AI SDK's `useChat` into the messages of OpenAI's chat completions.

The rules are those of the AI SDK's own conversion in versions 5 to 7: `convertToModelMessages` followed by
its OpenAI provider. Where the SDK would silently drop something, or send something that an API is known to
refuse, the caller gets an error instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chat_stream.dialects.chat_completions.deltas import REASONING_TEXTS
from chat_stream.json_values import object_in
from errors import RequestError
from request.provider_metadata import returned_fields

Message = dict[str, Any]

# Only shown to the user. The AI SDK leaves out sources and `data-*` parts as well. An assistant's reasoning
# is read before this set is consulted.
_SHOWN_ONLY = frozenset({"reasoning", "reasoning-file", "source-url", "source-document", "step-start"})

_AUDIO_FORMATS: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",  # Firefox's name
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}

_SENDABLE_FILES = (
    "Images can be sent as http(s) or data URLs; PDF documents, WAV and MP3 audio only as base64 data URLs."
)

# What an error message may quote: the name of a type, but nothing that could be part of a conversation.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+*/-]{0,63}")


def openai_messages(ui_messages: object) -> list[Message]:
    """The `messages` of a `useChat` request (UIMessage[]) as messages of chat completions.

    A message without content for the model, such as an answer that was stopped before its first word, is left
    out. Raises RequestError: 400 that names the message or part at fault and says what it must be. It never
    quotes the conversation.
    """
    if not isinstance(ui_messages, list) or not ui_messages:
        raise _invalid("messages", "`messages` must be a list of at least one UI message.")
    messages: list[Message] = []
    for index, message in enumerate(ui_messages):
        messages += _messages_of(message, f"messages[{index}]")
    if not messages:
        raise _invalid("messages", "`messages` must contain a text, a file or a tool result for the model.")
    return messages


def continued_message_id(ui_messages: object) -> str | None:
    """The id of the last UI message if it is the assistant's, to which tool results have been added.

    The answer then continues that message, and its `start` part must have the id; otherwise the client would
    begin a new message.
    """
    last = ui_messages[-1] if isinstance(ui_messages, list) and ui_messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return None
    message_id = last.get("id")
    return message_id if isinstance(message_id, str) and message_id else None


def call_ids(ui_messages: list[dict[str, Any]]) -> frozenset[str]:
    """The ids of all tool calls in UI messages that `openai_messages` has accepted."""
    ids = (part.get("toolCallId") for message in ui_messages for part in message["parts"])
    return frozenset(call_id for call_id in ids if isinstance(call_id, str))


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a UI message; `where` is its place in the request, such as `messages[2].parts[1]`."""

    where: str
    number: int
    type: str
    fields: Mapping[str, Any]

    @property
    def is_shown_only(self) -> bool:
        return self.type in _SHOWN_ONLY or self.type.startswith("data-")

    @property
    def is_tool(self) -> bool:
        return self.type == "dynamic-tool" or self.type.startswith("tool-")

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise _invalid(self.where, f"`{self.where}.{name}` must be a string.")
        return value

    def name(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise _invalid(self.where, f"`{self.where}.{name}` must not be empty.")
        return value


def _messages_of(message: object, where: str) -> list[Message]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(role, str) or role not in _BY_ROLE:
        raise _invalid(where, f"`{where}` must be an object with the role system, user or assistant.")
    parts = message.get("parts")
    if not isinstance(parts, list):
        raise _invalid(where, f"`{where}.parts` must be a list, as sent by useChat of AI SDK 5 and later.")
    return _BY_ROLE[role]([_part(part, number, where) for number, part in enumerate(parts)])


def _part(part: object, number: int, message: str) -> _Part:
    where = f"{message}.parts[{number}]"
    part_type = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(part_type, str):
        raise _invalid(where, f"`{where}` must be an object with a `type`.")
    return _Part(where, number, part_type, part)


# -- system and user ---------------------------------------------------------------------------------------


def _system_messages(parts: list[_Part]) -> list[Message]:
    texts = []
    for part in parts:
        if part.type == "text":
            texts.append(part.text("text"))
        elif not part.is_shown_only:
            raise _unsupported(part, "A system message can only contain text.")
    content = "".join(texts)
    return [{"role": "system", "content": content}] if content else []


def _user_messages(parts: list[_Part]) -> list[Message]:
    """One text becomes a plain string. Several texts stay apart, as their words would run together."""
    content = [_user_content(part) for part in parts if not part.is_shown_only]
    content = [item for item in content if item != {"type": "text", "text": ""}]
    if not content:
        return []
    if len(content) == 1 and content[0]["type"] == "text":
        return [{"role": "user", "content": content[0]["text"]}]
    return [{"role": "user", "content": content}]


def _user_content(part: _Part) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "text": part.text("text")}
    if part.type == "file":
        return _file(part)
    if part.type == "image":  # the type that some applications use
        return _image(part, part.text("image"))
    raise _unsupported(part, "A user message can contain text and files.")


def _file(part: _Part) -> dict[str, Any]:
    media_type = part.text("mediaType").partition(";")[0].strip().lower()
    url = part.text("url")
    if media_type == "image" or media_type.startswith("image/"):  # AI SDK 7 may send only the first half
        return _image(part, url)
    if media_type == "application/pdf" and _base64(url):
        filename = part.fields.get("filename")
        if not isinstance(filename, str) or not filename:
            filename = f"part-{part.number}.pdf"
        return {"type": "file", "file": {"filename": filename, "file_data": url}}
    if media_type in _AUDIO_FORMATS and (data := _base64(url)):
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO_FORMATS[media_type]}}
    kind = f"a file of type `{media_type}`" if _PLAIN_NAME.fullmatch(media_type) else "a file"
    raise _unsupported(part, _SENDABLE_FILES, f"{kind} with {_kind_of(url)}")


def _image(part: _Part, url: str) -> dict[str, Any]:
    if not url.lower().startswith(("https://", "http://", "data:")):
        raise _unsupported(part, _SENDABLE_FILES, f"an image with {_kind_of(url)}")
    return {"type": "image_url", "image_url": {"url": url}}


def _base64(url: str) -> str:
    """The base64 text in a data URL; "" for any other URL."""
    header, _, data = url.partition(",")
    return data if re.fullmatch(r"data:.*;\s*base64\s*", header, re.IGNORECASE | re.DOTALL) else ""


def _kind_of(url: str) -> str:
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https", "data", "blob", "file"):
        return "an unknown URL"
    return f"{'an' if scheme.startswith('http') else 'a'} {scheme} URL"


# -- assistant ---------------------------------------------------------------------------------------------


def _assistant_messages(parts: list[_Part]) -> list[Message]:
    """One message for each step, which a `step-start` begins, and one for each result of its tool calls.

    DeepSeek requires the reasoning of an answer with tool calls to be sent back. The reasoning of other
    answers is not needed, and older models refuse a request that contains it.
    """
    # A call that was stopped while it was being written was never made; the AI SDK drops it too.
    parts = [p for p in parts if not (p.is_tool and p.fields.get("state") == "input-streaming")]
    keeps_reasoning = any(part.is_tool for part in parts)
    messages: list[Message] = []
    step = _Step(keeps_reasoning)
    for part in parts:
        if part.type == "step-start":
            messages += step.messages()
            step = _Step(keeps_reasoning)
        else:
            step.add(part)
    return messages + step.messages()


class _Step:
    """One answer of the model: its text, reasoning and tool calls, and the results of the calls."""

    def __init__(self, keeps_reasoning: bool) -> None:
        self._keeps_reasoning = keeps_reasoning
        self._texts: list[str] = []
        self._reasoning: dict[str, str] = {}  # by the field of the message in which it arrived
        self._images: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []
        self._results: list[Message] = []
        self._fields: dict[str, Any] = {}

    def add(self, part: _Part) -> None:
        """Add the next part. Raises RequestError: 400 that names the part."""
        if part.is_tool:
            result = _tool_result(part)
            call_id = part.name("toolCallId")
            returned = returned_fields(part.fields, part.where, is_call=True)
            self._calls.append({**_tool_call(part, call_id), **returned.call})
            self._results.append({"role": "tool", "tool_call_id": call_id, "content": result})
        elif part.type in ("text", "reasoning"):
            returned = returned_fields(part.fields, part.where, is_call=False)
            if part.type == "text":
                self._texts.append(part.text("text"))
            elif self._keeps_reasoning:
                field = returned.reasoning_field
                self._reasoning[field] = self._reasoning.get(field, "") + part.text("text")
        elif part.type == "file" and part.text("mediaType").lower().startswith("image"):
            self._images.append(_image(part, part.text("url")))
            return
        elif part.is_shown_only:
            return
        else:
            raise _unsupported(part, "An assistant message can contain text, images and tool calls.")
        self._fields |= returned.message

    def messages(self) -> list[Message]:
        """The step's message and the results of its calls; [] for an empty step."""
        text = "".join(self._texts)
        if not (text or self._calls or self._images):
            return []
        content: str | list[dict[str, Any]] | None = text or (None if self._calls else "")
        fields = self._fields
        for field, reasoning in self._reasoning.items():
            if field == "content" and reasoning:
                thought = {"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}
                content = [thought, *([{"type": "text", "text": text}] if text else [])]
            elif field in REASONING_TEXTS and reasoning:
                fields = {**fields, field: reasoning}
        if self._images:
            fields = {**fields, "images": self._images}  # where OpenRouter's models put them
        if self._calls:
            fields = {**fields, "tool_calls": self._calls}
        return [{"role": "assistant", "content": content, **fields}, *self._results]


def _tool_call(part: _Part, call_id: str) -> dict[str, Any]:
    name = part.name("toolName") if part.type == "dynamic-tool" else part.type.removeprefix("tool-")
    if not name:
        raise _invalid(part.where, f"`{part.where}.type` must name the tool: `tool-<name>`.")
    arguments = part.fields.get("input")
    if arguments is None and part.fields.get("state") == "output-error":
        arguments = part.fields.get("rawInput")
    if not isinstance(arguments, dict):
        # Arguments that were not JSON come back as a string. Strict APIs answer 400 to anything but an
        # object; the result of the call tells the model what was wrong [vercel/ai#18999].
        arguments = {}
    function = {"name": name, "arguments": _json(arguments, part)}
    return {"id": call_id, "type": "function", "function": function}


def _tool_result(part: _Part) -> str:
    """The result of the call as it is sent to the model."""
    state = part.fields.get("state")
    approval = object_in(part.fields.get("approval"))
    if state == "output-available":
        output = part.fields.get("output")  # absent, so null, if the tool returns nothing
        return output if isinstance(output, str) else _json(output, part)
    if state == "output-error":
        return part.text("errorText")
    if state == "output-denied" or (state == "approval-responded" and approval.get("approved") is False):
        reason = approval.get("reason")
        denied = "Tool call execution denied"
        return f"{denied}: {reason}" if isinstance(reason, str) and reason else f"{denied}."
    raise _invalid(
        part.where,
        f"`{part.where}` is a tool call without a result, which no model accepts: its `state` must be"
        " output-available, output-error or output-denied. Add the result with addToolOutput first.",
    )


def _json(value: object, part: _Part) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        message = f"`{part.where}` contains a number that JSON cannot represent, or is nested too deeply."
        raise _invalid(part.where, message) from None


_BY_ROLE: Mapping[str, Callable[[list[_Part]], list[Message]]] = {
    "system": _system_messages,
    "user": _user_messages,
    "assistant": _assistant_messages,
}


# -- errors ------------------------------------------------------------------------------------------------


def _invalid(param: str, message: str) -> RequestError:
    return RequestError(400, "invalid_value", message, param=param)


def _unsupported(part: _Part, advice: str, kind: str = "") -> RequestError:
    named = f"of type `{part.type}`" if _PLAIN_NAME.fullmatch(part.type) else "of unknown type"
    kind = kind or f"a part {named}"
    message = f"`{part.where}` is {kind}, which cannot be sent. {advice}"
    return RequestError(400, "unsupported_part", message, param=part.where)
