"""The answer as a UI message stream, version 1, which the Vercel AI SDK's `useChat` reads.

AI SDK 5 (from 5.0.92 on, which knows `finishReason`), 6 and 7 accept every part. Up to 5.0.210 and a little
beyond, the schema rejects a part with any unknown field.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chat_stream.dialects.finish_reasons import meaning_of
from chat_stream.events import (
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ProviderField,
    ReasoningDelta,
    ReasoningField,
    RefusalDelta,
    SourceCited,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.json_values import object_in
from chat_stream.memory_bound import GrowingText
from chat_stream.sse import ServerSentEvent
from errors import RelayError
from rendering.renderer import COMMENT, STREAM_HEADERS, CostSoFar
from rendering.timings import RelayTimings
from request.chat_request import ChatRequest
from request.provider_metadata import CarriedFields, Metadata, merged, of_reasoning

_TOKENS: Mapping[str, tuple[str, ...]] = {  # AI SDK's names, and where OpenAI's usage has them
    "inputTokens": ("prompt_tokens",),
    "outputTokens": ("completion_tokens",),
    "totalTokens": ("total_tokens",),
    "reasoningTokens": ("completion_tokens_details", "reasoning_tokens"),
    "cachedInputTokens": ("prompt_tokens_details", "cached_tokens"),
}

# The model itself may read these, because the client sends them back as the result of the call.
_NOT_JSON = "The arguments of this tool call are not valid JSON."
_NO_NAME = "This tool call names no tool."

# A taken id that ends in a number is counted up: Kimi expects `functions.<name>:<number>` back.
_COUNTED = re.compile(r"(.{0,256}?)([0-9]{1,6})", re.DOTALL)
_MOST_COUNTED = 100


@dataclass(slots=True)
class _Call:
    """A tool call as far as it has arrived. `part_id` is its id in the stream, set by its start part."""

    id: str | None = None
    name: str | None = None
    text: GrowingText = field(default_factory=GrowingText)
    part_id: str | None = None


class UiMessageRenderer:
    """The first choice as one step of an assistant's message, with its tool calls and its usage.

    A refusal is shown as text: without it the caller would see an empty success.

    Args:
        timings: the relay's timings so far, which the finished message reports.
        cost: the cost of the answer by its last usage, which it reports if it is known.
    """

    headers: Mapping[str, str] = {
        **STREAM_HEADERS,
        "cache-control": "no-cache",  # exactly as the AI SDK's own server sends it
        "content-type": "text/event-stream",
        "x-vercel-ai-ui-message-stream": "v1",
    }
    keep_alive: bytes | None = COMMENT

    def __init__(self, chat: ChatRequest, timings: RelayTimings, cost: CostSoFar | None = None) -> None:
        self._timings = timings
        self._cost = cost
        self._message_id = chat.continued_message_id
        self._unsent: list[bytes] = []
        self._is_started = False
        self._is_ended = False
        # The part that is being written and its id.
        self._open: tuple[Literal["text", "reasoning"], str] | None = None
        self._part_count = 0
        self._calls: dict[int, _Call] = {}
        self._call_ids = set(chat.call_ids)
        self._carried = CarriedFields()
        self._reasoning_field: str | None = None
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    # -- the renderer's interface --------------------------------------------------------------------------

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The parts that the events become. The first call begins the message; the sentinel ends it."""
        if not self._is_ended:
            self._start()
        for chat_event in chat_events:
            if not self._is_ended:
                self._add(chat_event)
        return self._taken()

    def end(self, rest: bytes) -> bytes:
        """The end of the message, unless the upstream's sentinel has already ended it."""
        if not self._is_ended:
            self._start()
            self._finish()
        return self._taken()

    def content_beside_error(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The parts for the content in the event that reports the error."""
        return self.render(event, chat_events)

    def failure(self, error: RelayError) -> bytes:
        """An `error` part and no `finish`. Tool calls that have begun stay unfinished."""
        if not self._is_ended:
            self._close()
            self._put("error", errorText=str(error.details()["message"]))
            self._put_sentinel()
        return self._taken()

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> bytes:
        """The same: the upstream's own event belongs to another protocol."""
        return self.failure(error)

    # -- the message ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._is_started:
            return
        self._is_started = True
        # Without an id the client generates one or keeps the one that it has.
        self._put("start", **({} if self._message_id is None else {"messageId": self._message_id}))
        self._put("start-step")

    def _add(self, event: ChatEvent) -> None:
        match event:
            case TextDelta(0, text) | RefusalDelta(0, text):
                self._write("text", text)
            case ReasoningDelta(0, text):
                self._write("reasoning", text)
            case ToolCallDelta(choice=0):
                self._add_to_call(event)
            case ImageReceived(0, url, media_type):
                self._put("file", url=url, mediaType=media_type)
            case SourceCited(0, url, title):
                source_id = f"source_{secrets.token_hex(8)}"
                self._put("source-url", sourceId=source_id, url=url, **({"title": title} if title else {}))
            case ReasoningField(0, name):
                self._reasoning_field = name
            case ProviderField(choice=0):
                self._carried.add(event)
            case ChoiceFinished(0, finish_reason):
                # Only noted here: some upstreams put one on every chunk, and parts would end too early.
                self._finish_reason = finish_reason
            case UsageReported(usage):
                self._usage = usage
            case StreamDone():
                self._finish()

    def _finish(self) -> None:
        metadata = self._carried.of_message()
        if self._calls:
            self._close()
        for place, call in sorted(self._calls.items()):
            # AI SDK 5 keeps the metadata of calls only if they can be run.
            if self._announce(call, self._carried.of_call(place), metadata):
                metadata = {}
        self._close_step(metadata)
        self._put("finish-step")
        finish: dict[str, Any] = {}
        if self._finish_reason:
            finish["finishReason"] = meaning_of(self._finish_reason).kind
        reported = self._timings.metadata()
        if self._usage is not None:
            if cost := self._cost and self._cost():
                reported["costUsd"] = float(cost.usd)
            reported["usage"] = usage = _token_counts(self._usage)
            try:
                with_raw = {**reported, "usage": {**usage, "raw": self._usage}}
                self._put("finish", **finish, messageMetadata=with_raw)
            except (ValueError, RecursionError):  # it has a NaN, or is nested too deeply for JSON
                self._put("finish", **finish, messageMetadata=reported)
        else:
            self._put("finish", **finish, **({"messageMetadata": reported} if reported else {}))
        self._put_sentinel()

    # -- text and reasoning --------------------------------------------------------------------------------

    def _write(self, kind: Literal["text", "reasoning"], text: str) -> None:
        if self._open is None or self._open[0] != kind:
            self._close()
            part_id = self._begin(kind)
        else:
            part_id = self._open[1]
        self._put(f"{kind}-delta", id=part_id, delta=text)

    def _begin(self, kind: Literal["text", "reasoning"]) -> str:
        self._part_count += 1
        part_id = f"{kind}-{self._part_count}"
        self._open = (kind, part_id)
        self._put(f"{kind}-start", id=part_id)
        return part_id

    def _close(self, metadata: Metadata | None = None) -> None:
        if self._open is not None:
            kind, part_id = self._open
            self._open = None
            own = of_reasoning(self._reasoning_field if kind == "reasoning" else None)
            self._put_with(merged(own, metadata or {}), f"{kind}-end", id=part_id)

    def _close_step(self, metadata: Metadata) -> None:
        """Close the open part with the message's metadata; without an open part, an empty reasoning part."""
        if metadata and self._open is None:
            self._begin("reasoning")
        self._close(metadata)

    # -- tool calls ----------------------------------------------------------------------------------------

    def _add_to_call(self, delta: ToolCallDelta) -> None:
        """Send the call's input as it grows, as soon as the call's id and name are known."""
        call = self._calls.setdefault(delta.index, _Call())
        call.id, call.name = call.id or delta.id, call.name or delta.name
        call.text.add(delta.arguments)
        if call.part_id is None:
            if call.id and call.name:
                self._start_call(call, call.name)
        else:
            self._put_input(call.part_id, delta.arguments)

    def _start_call(self, call: _Call, name: str) -> str:
        self._close()
        call.part_id = self._unique_id(call.id)
        self._put("tool-input-start", toolCallId=call.part_id, toolName=name)
        self._put_input(call.part_id, str(call.text))
        return call.part_id

    def _put_input(self, part_id: str, arguments: str) -> None:
        if arguments:
            self._put("tool-input-delta", toolCallId=part_id, inputTextDelta=arguments)

    def _unique_id(self, call_id: str | None) -> str:
        """The call's id, or a new one if it has none or another call already has it.

        Some upstreams number the calls of each answer from the start, so the ids of earlier answers recur.
        """
        if call_id in self._call_ids and (counted := _COUNTED.fullmatch(call_id or "")):
            name, last = counted[1], int(counted[2])
            ids = (f"{name}{last + step}" for step in range(1, _MOST_COUNTED))
            call_id = next((other for other in ids if other not in self._call_ids), None)
        if not call_id or call_id in self._call_ids:
            call_id = f"call_{secrets.token_hex(12)}"
        self._call_ids.add(call_id)
        return call_id

    def _announce(self, call: _Call, of_call: Metadata, of_message: Metadata) -> bool:
        """Tell the client to run the call, whose input is complete; False if it cannot be run."""
        name = call.name or "unknown"  # the protocol requires one
        tool = {"toolCallId": call.part_id or self._start_call(call, name), "toolName": name}
        arguments, error = str(call.text), _NOT_JSON if call.name else _NO_NAME
        if call.name:
            try:
                value = json.loads(arguments if arguments.strip() else "{}")
                self._put_with(merged(of_call, of_message), "tool-input-available", **tool, input=value)
            except (ValueError, RecursionError):
                pass
            else:
                return True
        self._put_with(of_call, "tool-input-error", **tool, input=arguments, errorText=error)
        return False

    # -- the bytes -----------------------------------------------------------------------------------------

    def _put(self, part_type: str, **fields: Any) -> None:
        """Add a part. Raises ValueError or RecursionError for values that JSON cannot represent."""
        part = json.dumps({"type": part_type, **fields}, separators=(",", ":"), allow_nan=False)
        self._unsent.append(b"data: " + part.encode("ascii") + b"\n\n")

    def _put_with(self, metadata: Metadata, part_type: str, **fields: Any) -> None:
        """Add a part with its metadata, if it has any."""
        try:
            self._put(part_type, **fields, **({"providerMetadata": metadata} if metadata else {}))
        except RecursionError:  # nested too deeply for JSON
            self._put(part_type, **fields)

    def _put_sentinel(self) -> None:
        self._unsent.append(b"data: [DONE]\n\n")
        self._is_ended = True

    def _taken(self) -> bytes:
        data = b"".join(self._unsent)
        self._unsent.clear()
        return data


def _token_counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The upstream's token counts under the AI SDK's names."""
    counts: dict[str, Any] = {}
    for name, path in _TOKENS.items():
        holder = usage
        for key in path[:-1]:
            holder = object_in(holder.get(key))
        count = holder.get(path[-1])
        if type(count) is int or (type(count) is float and math.isfinite(count)):
            counts[name] = count
    return counts
