"""Converts a response between its two forms, one document and an event stream.

The names and fields of the events follow https://platform.openai.com/docs/api-reference/responses-streaming
and the types in the openai package. Its helpers require that each item and part is announced before its
first delta.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from typing import Any

from chat_stream.dialects.failures import failure_of
from chat_stream.dialects.responses.endings import ending_of_response
from chat_stream.dialects.responses.events import ResponsesDecoder
from chat_stream.dialects.responses.items import OutputItem
from chat_stream.dialects.responses.pieces import pieces_of
from chat_stream.json_values import list_in, object_in, strict, text_in
from chat_stream.sse import ServerSentEvent

_Event = dict[str, Any]

# By type of item, its list and the type of the part: the field with the text, and the family of its events.
_TEXTS = {
    ("message", "content", "output_text"): ("text", "response.output_text"),
    ("message", "content", "refusal"): ("refusal", "response.refusal"),
    ("reasoning", "content", "reasoning_text"): ("text", "response.reasoning_text"),
    ("reasoning", "summary", "summary_text"): ("text", "response.reasoning_summary_text"),
}

# By type of call: the field with the arguments, and the family of its events.
_ARGUMENTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
}

# By kind of item: its lists, and the channels whose parts they hold.
_CHANNELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "message": {"content": ("text", "refusal", "reasoning")},
    "reasoning": {"summary": ("summary",), "content": ("reasoning",)},
}
# By channel: creates a part.
_PARTS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "text": lambda text: {"type": "output_text", "text": text, "annotations": [], "logprobs": []},
    "refusal": lambda text: {"type": "refusal", "refusal": text},
    "reasoning": lambda text: {"type": "reasoning_text", "text": text},
    "summary": lambda text: {"type": "summary_text", "text": text},
}


# -- a document as a stream --------------------------------------------------------------------------------


def response_stream(document: Mapping[str, Any]) -> bytes:
    """A response as the equivalent event stream, which decodes to the chat events of response_events.

    A response whose status shows that it has not ended becomes a stream without an end. A cancelled one ends
    with `response.failed`, since the API has no event for it.
    """
    stream = bytearray()
    for number, event in enumerate(_events(document)):
        data = json.dumps({**event, "sequence_number": number}, separators=(",", ":"))
        stream += f"event: {event['type']}\ndata: {data}\n\n".encode("ascii")
    return bytes(stream)


def _events(document: Mapping[str, Any]) -> Iterator[_Event]:
    status, initial = document.get("status"), _initial(document)
    yield {"type": "response.created", "response": initial}
    yield {"type": "response.queued" if status == "queued" else "response.in_progress", "response": initial}
    for index, item in enumerate(list_in(document.get("output"))):
        if isinstance(item, dict):
            yield from _item_events(item, index)
    if ending := ending_of_response(document):
        yield {"type": f"response.{'failed' if ending == 'cancelled' else ending}", "response": document}
    elif failed := failure_of(document):
        error = document.get("error") or {"code": failed.code, "message": failed.message}
        fields = {key: object_in(error).get(key) for key in ("code", "message", "param")}
        yield {"type": "error", **fields, "error": error}


def _initial(document: Mapping[str, Any]) -> dict[str, Any]:
    """The response as it was at the start."""
    unknown = {
        key: None for key in ("error", "incomplete_details", "usage", "completed_at") if key in document
    }
    status = "queued" if document.get("status") == "queued" else "in_progress"
    return {**document, **unknown, "status": status, "output": []}


def _item_events(item: Mapping[str, Any], index: int) -> Iterator[_Event]:
    place = {"item_id": text_in(item.get("id")) or "", "output_index": index}
    item_type = text_in(item.get("type")) or ""
    initial: dict[str, Any] = {}
    events: list[_Event] = []
    for key in _CHANNELS.get(item_type, ()):
        if isinstance(item.get(key), list):
            initial[key] = []
            events += _part_events(item_type, key, item[key], place)
    key, family = _ARGUMENTS.get(item_type, ("", ""))
    if key and isinstance(item.get(key), str):
        initial |= {key: "", **{result: None for result in ("output", "error") if result in item}}
        events += _text_events(family, key, item[key], place)
    if initial and "status" in item:
        initial["status"] = "in_progress"
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, **initial}}
    yield from events
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(item_type: str, key: str, parts: list[Any], place: Mapping[str, Any]) -> Iterator[_Event]:
    """The events of a message's or reasoning's parts; unknown parts are only announced and closed."""
    family = "response.content_part" if key == "content" else "response.reasoning_summary_part"
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            continue
        part_place = {**place, f"{key}_index": index}
        field, text_family = _TEXTS.get((item_type, key, text_in(part.get("type")) or ""), ("", ""))
        text = part.get(field)
        if field and isinstance(text, str):
            lists: dict[str, list[Any]] = {
                name: [] for name in ("annotations", "logprobs") if isinstance(part.get(name), list)
            }
            yield {"type": f"{family}.added", **part_place, "part": {**part, field: "", **lists}}
            logprobs = list_in(part.get("logprobs"))
            extra = {"logprobs": logprobs} if text_family == "response.output_text" else {}
            yield from _text_events(text_family, field, text, {**part_place, **extra})
        else:
            yield {"type": f"{family}.added", **part_place, "part": part}
        yield {"type": f"{family}.done", **part_place, "part": part}


def _text_events(family: str, field: str, text: str, place: Mapping[str, Any]) -> Iterator[_Event]:
    if text:
        yield {"type": f"{family}.delta", **place, "delta": text}
    yield {"type": f"{family}.done", **place, field: text}


# -- a stream as a document --------------------------------------------------------------------------------


class ResponseAssembler:
    """Assembles the response that the upstream would have sent without streaming."""

    def __init__(self) -> None:
        self._decoder = ResponsesDecoder()

    def add(self, event: ServerSentEvent) -> None:
        """Take the next event. Raises only AnswerTooLargeError, whatever the data."""
        self._decoder.decode(event)

    def document(self) -> dict[str, Any]:
        """The response of the last event, once it has ended, in strict JSON.

        What is missing in it is filled in from earlier events: fields of the response, and items and texts
        that were streamed, since the final output may be empty [litellm#27186] or lack the reasoning.
        """
        response = self._decoder.response
        return strict({**response, "output": self._output(list_in(response.get("output")))})

    def _output(self, output: list[Any]) -> list[dict[str, Any]]:
        """The items of the final output, with the streamed items that it lacks inserted in their order."""
        opened = self._decoder.items.opened
        rank = {item: number for number, item in enumerate(opened)}
        matched = self._decoder.items.matched(output)
        missing = deque(self._missing({item for _, item in matched}, output))
        whole: list[dict[str, Any]] = []
        for document, item in matched:
            while missing and item and item.was_streamed and rank[missing[0]] < rank[item]:
                whole.append(self._whole(missing.popleft()))
            whole.append(_with_streamed_texts(document, item) if item else document)
        return [*whole, *(self._whole(item) for item in missing)]

    def _missing(self, present: Collection[OutputItem | None], output: list[Any]) -> list[OutputItem]:
        """The streamed items that are not in the final output."""
        opened = self._decoder.items.opened
        final_texts: dict[str, str] = {}
        for piece in (piece for item in output if isinstance(item, dict) for piece in pieces_of(item)):
            final_texts[piece.channel] = final_texts.get(piece.channel, "") + piece.text

        @cache
        def is_included(channel: str) -> bool:  # even if the output divides it into other items
            return final_texts.get(channel, "").startswith("".join(item.text_of(channel) for item in opened))

        def is_missing(item: OutputItem) -> bool:
            if item.kind == "call" or not item.channels:
                return item.kind == "call" or item.is_done
            return not all(map(is_included, item.channels))

        return [item for item in opened if item not in present and is_missing(item)]

    def _whole(self, item: OutputItem) -> dict[str, Any]:
        """A streamed item as the final output would hold it."""
        document = item.document
        if document is None:  # no event announced it
            document = {"id": item.id or "", "type": item.type}
            if item.kind == "message":
                document |= {"status": None, "role": "assistant", "content": []}
            elif item.kind == "reasoning":
                document["summary"] = []
            else:
                document |= {"status": None, "call_id": item.emitted_id or ""}
                if item.type in _ARGUMENTS:  # OpenAI's own tools have no name
                    document["name"] = item.name or ""
        if "status" in document and not item.is_done:
            is_complete = self._decoder.response.get("status") == "completed"
            document = {**document, "status": "completed" if is_complete else "incomplete"}
        return _with_streamed_texts(document, item)


def _with_streamed_texts(document: dict[str, Any], item: OutputItem) -> dict[str, Any]:
    """The document of an item, with the streamed texts in place of those that it lacks."""
    document = item.completed(document)
    channels_present = {piece.channel for piece in pieces_of(document) if piece.text}
    if item.kind == "call":
        key, _ = _ARGUMENTS.get(item.type, ("arguments", ""))
        is_included = channels_present or "arguments" not in item.channels
        return document if is_included else {**document, key: item.text_of("arguments")}
    parts = sorted(item.parts.items(), key=lambda part: part[0][1])
    added = {
        key: [_PARTS[channel](str(text)) for (channel, _), text in parts if channel in channels]
        for key, channels in _CHANNELS.get(item.kind, {}).items()
        if channels_present.isdisjoint(channels) and not item.channels.isdisjoint(channels)
    }
    return {**document, **added}
