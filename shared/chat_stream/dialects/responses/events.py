"""The Responses API: decodes streamed events and complete responses into chat events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from chat_stream.dialects.event_payloads import payloads_by_line
from chat_stream.dialects.failures import failure_of, names_failure, parse_failure
from chat_stream.dialects.responses.endings import ending_of_event, ending_of_response, response_in
from chat_stream.dialects.responses.item_events import ItemEvents
from chat_stream.dialects.responses.items import OutputItems
from chat_stream.dialects.responses.pieces import Piece, field_text, int_in, piece_of_part
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    StreamDone,
    UsageReported,
)
from chat_stream.json_values import list_in, object_in, parsed, parsed_object, text_in
from chat_stream.memory_bound import MemoryBound, cost_bytes
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import well_formed

_CANCELLED = AnswerFailed("The upstream cancelled the response.", None, "cancelled", None, None)


class _TextFamily(NamedTuple):
    """A family of `.delta` and `.done` events: the channel and type of item that they belong to."""

    channel: str
    item_type: str
    done_field: str
    index_field: str | None


_TEXT_FAMILIES = {
    "response.output_text": _TextFamily("text", "message", "text", "content_index"),
    "response.refusal": _TextFamily("refusal", "message", "refusal", "content_index"),
    "response.reasoning_text": _TextFamily("reasoning", "reasoning", "text", "content_index"),
    "response.reasoning_summary_text": _TextFamily("summary", "reasoning", "text", "summary_index"),
    "response.function_call_arguments": _TextFamily("arguments", "function_call", "arguments", None),
    "response.custom_tool_call_input": _TextFamily("arguments", "custom_tool_call", "input", None),
    "response.mcp_call_arguments": _TextFamily("arguments", "mcp_call", "arguments", None),
    # Emitted when the item is done, since the arguments of a tool call are JSON.
    "response.shell_call_command": _TextFamily("commands", "shell_call", "command", "command_index"),
    "response.apply_patch_call_operation_diff": _TextFamily("diff", "apply_patch_call", "diff", None),
}


_PARTS_DONE = {
    "response.content_part.done": "content_index",
    "response.reasoning_summary_part.done": "summary_index",
}


class ResponsesDecoder:
    """Reads the events of one streamed response, in order. One decoder per stream. Everything is choice 0.

    An item's text is sent in deltas, and again complete when a part, the item and the response are done.
    Deltas are emitted at once. Of a complete text only what is still missing is emitted, so that nothing is
    lost and nothing repeated. If a complete text contradicts its deltas, the deltas stand, because they have
    already been emitted.

    Attributes:
        response: the last value of each field of all response objects so far. Once the response has ended,
            `status` is its ending, and `output` the final output.
        items: the output items so far.
    """

    # Every event must be decoded: its text is kept, to find what is missing once the complete text arrives.
    text_runs = None

    def __init__(self) -> None:
        self.response: dict[str, Any] = {}
        self._bound = MemoryBound()
        self._event_text = ""
        self.items = OutputItems(self._bound)
        self._item_events = ItemEvents(self._bound)
        self._started = False
        self._has_emitted_all = False
        self._finished = False

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """The chat events in this event, often none.

        They are in this order: start, deltas, usage, end, then error or done. Unknown types are ignored
        [openai-node#1964]. So is `[DONE]`, which is not part of this dialect: gateways append it even to
        streams that were cut. Data that is not JSON counts only if every line of it is JSON, because some
        upstreams separate events by a single newline [eventsource-parser#31].

        Raises only AnswerTooLargeError, for items that take too much memory.
        """
        self._event_text = event.data
        try:
            data = parsed(event.data)
            payloads = payloads_by_line(data) if data is event.data else []
            if documents := [document for document in payloads if isinstance(document, dict)]:
                *others, last = documents
                events = [
                    chat_event for document in others for chat_event in self._event("message", document)
                ]
                return [*events, *self._event(event.event, last)]
            return list(self._event(event.event, data))
        except RecursionError:  # nested deeper than any answer
            return []

    def _event(self, name: str, data: Any) -> Iterator[ChatEvent]:
        if name != "message" and names_failure(name):
            yield from self._failure(parse_failure(data))
            return
        if not isinstance(data, dict):
            return
        name = text_in(data.get("type")) or name
        family, _, step = name.rpartition(".")
        response = response_in(name, data)
        yield from self._start(response)
        if family in _TEXT_FAMILIES and step in ("delta", "done"):
            yield from self._part(_TEXT_FAMILIES[family], step, data)
        elif name in _PARTS_DONE:
            yield from self._part_done(_PARTS_DONE[name], data)
        elif family == "response.output_item" and step in ("added", "done"):
            yield from self._item(step, data)
        elif name != "error" and (ending := ending_of_event(name, response)):
            yield from self._end(ending, response, data)
        elif names_failure(name.removeprefix("response.")):
            yield from self._failure(parse_failure(data))
        elif not name.startswith("response.") and (failed := failure_of(data, name)):
            yield from self._failure(failed)

    def _start(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        known, output = len(self.response), self.response.get("output")
        self.response.update(response)
        if output and not response.get("output"):
            self.response["output"] = output  # a second ending may lack the output
        if len(self.response) > known:
            self._bound.take(cost_bytes(self._event_text))
        answer_id, model = text_in(response.get("id")), text_in(response.get("model"))
        if (answer_id or model) and not self._started:
            self._started = True
            yield AnswerStarted(answer_id, model)

    def _failure(self, failed: AnswerFailed) -> Iterator[ChatEvent]:
        yield from self._item_events.pending_halves(self.items.opened)
        yield failed

    # -- items and their parts -----------------------------------------------------------------------------

    def _item(self, step: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        document, index = object_in(data.get("item")), int_in(data.get("output_index"))
        if not document:
            return
        self._bound.take(cost_bytes(self._event_text))
        if step == "added":
            yield from self._item_events.identity(self.items.announced(document, index), document)
        else:
            item = self.items.done(document, index)
            yield from self._item_events.missing([(item, document)], [item])
            yield from self._item_events.pending_halves([item])

    def _part(self, family: _TextFamily, step: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        item_index, item_id = int_in(data.get("output_index")), text_in(data.get("item_id"))
        item = self.items.for_delta(family.item_type, item_index, item_id)
        index = int_in(data.get(family.index_field)) if family.index_field else 0
        if index is None:
            item.has_unnumbered_parts = True
        text = field_text(family.channel, data.get("delta" if step == "delta" else family.done_field))
        piece = Piece(family.channel, index or 0, text)
        if step == "delta":
            yield from self._item_events.delta(item, item.join_pairs(piece))
            return
        if item.kind == "call":
            yield from self._item_events.identity(item, {"name": data.get("name")})
        yield from self._item_events.missing_part(item, piece._replace(text=well_formed(text)))

    def _part_done(self, index_field: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        piece = piece_of_part(data.get("part"), int_in(data.get(index_field)) or 0)
        if piece:
            item = self.items.for_part(piece, int_in(data.get("output_index")), text_in(data.get("item_id")))
            yield from self._item_events.missing_part(item, piece.within(item.kind))

    # -- the end -------------------------------------------------------------------------------------------

    def whole(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The chat events of a response that was not streamed."""
        yield from self._start(response)
        if ending := ending_of_response(response):
            yield from self._end(ending, response, {})
            return
        yield from self._missing_answer(response)
        if failed := failure_of(response):
            yield failed

    def _end(self, ending: str, response: Mapping[str, Any], event: Mapping[str, Any]) -> Iterator[ChatEvent]:
        self.response |= {"status": ending, "output": list_in(self.response.get("output"))}
        yield from self._missing_answer(response)
        usage = response.get("usage") or event.get("usage")
        if isinstance(usage, dict) and usage:
            self.response["usage"] = usage
            yield UsageReported(usage, text_in(response.get("service_tier")))
        if ending != "cancelled" and not self._finished:
            self._finished = True
            reason = text_in(object_in(response.get("incomplete_details")).get("reason"))
            is_cut_short = ending == "incomplete"
            yield ChoiceFinished(0, reason if reason and is_cut_short else ending, is_cut_short)
        error = response.get("error") or event.get("error")
        if ending == "cancelled":
            yield _CANCELLED
        elif ending == "failed" or error:
            # Some upstreams put the error's fields into the response itself.
            yield parse_failure(error) if error else failure_of(response) or parse_failure(response)
        else:
            yield StreamDone()

    def _missing_answer(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The missing chat events of the answer; only once. The final output may be empty [litellm#27186]."""
        if self._has_emitted_all:
            return
        self._has_emitted_all = True
        streamed = list(self.items.opened)
        matched = self.items.matched(list_in(response.get("output")))
        wholes = [(item or self.items.unstreamed(document), document) for document, item in matched]
        yield from self._item_events.missing(wholes, streamed)
        whole = {item for item, _ in wholes}
        for item in streamed:
            if item not in whole and not item.is_done:  # there is nothing but its announcement
                yield from self._item_events.missing([(item, item.document or {})], [item])
        yield from self._item_events.pending_halves(streamed)


def is_response_event(event: ServerSentEvent) -> bool:
    """Whether the event, known or not, is part of a response; a `keepalive` is not."""
    return (text_in(parsed_object(event.data).get("type")) or event.event).startswith("response.")


def response_events(document: Mapping[str, Any]) -> list[ChatEvent]:
    """The chat events of a response that was not streamed. Never raises.

    A response whose status shows that it has not ended has no end here either. An error in the response or in
    its place becomes AnswerFailed.
    """
    try:
        return list(ResponsesDecoder().whole(document))
    except RecursionError:
        return []
