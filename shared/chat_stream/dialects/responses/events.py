"""The Responses API: decodes streamed events and complete responses into chat events.

Bracketed names are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from chat_stream.dialects.event_payloads import payloads_by_line
from chat_stream.dialects.failures import failure_in, failure_of, names_failure
from chat_stream.dialects.responses.endings import ending_in, ending_of, response_in
from chat_stream.dialects.responses.items import OutputItem, OutputItems
from chat_stream.dialects.responses.pieces import (
    Piece,
    name_of,
    piece_of,
    pieces_of,
    place_in,
    runs_upstream,
    spelled,
)
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.json_values import list_in, object_in, parsed, parsed_object, text_in
from chat_stream.memory_bound import AnswerBound, cost_bytes
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import well_formed

# Separates the texts of two items, which are messages of their own, such as commentary and the final answer
# (`phase`). OpenAI's own `output_text` joins them without a break, as in "I'll check.Done."; interfaces that
# know items, such as those of the AI SDK, show a paragraph for each.
_BREAK = "\n\n"

_CANCELLED = AnswerFailed("The upstream cancelled the response.", None, "cancelled", None, None)


class _Spoken(NamedTuple):
    """A family of `.delta` and `.done` events: the channel and type of item that they belong to."""

    channel: str
    item_type: str
    done_field: str
    index_field: str | None


_SPOKEN = {
    "response.output_text": _Spoken("text", "message", "text", "content_index"),
    "response.refusal": _Spoken("refusal", "message", "refusal", "content_index"),
    "response.reasoning_text": _Spoken("reasoning", "reasoning", "text", "content_index"),
    "response.reasoning_summary_text": _Spoken("summary", "reasoning", "text", "summary_index"),
    "response.function_call_arguments": _Spoken("arguments", "function_call", "arguments", None),
    "response.custom_tool_call_input": _Spoken("arguments", "custom_tool_call", "input", None),
    "response.mcp_call_arguments": _Spoken("arguments", "mcp_call", "arguments", None),
    # Emitted when the item is done, since the arguments of a tool call are JSON.
    "response.shell_call_command": _Spoken("commands", "shell_call", "command", "command_index"),
    "response.apply_patch_call_operation_diff": _Spoken("diff", "apply_patch_call", "diff", None),
}


_DELTAS: dict[str, type[TextDelta] | type[RefusalDelta] | type[ReasoningDelta]] = {
    "text": TextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningDelta,
    "summary": ReasoningDelta,
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
        self._bound = AnswerBound()
        self._event_text = ""
        self.items = OutputItems(self._bound)
        self._started = False
        self._filled = False
        self._finished = False
        self._calls = 0
        self._told: set[str] = set()  # the types of chat events emitted so far

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """The chat events in this event, often none.

        They are in this order: start, deltas, usage, end, then error or done. Unknown types are ignored
        [openai-node#1964]. So is `[DONE]`, which is not part of this dialect: gateways append it even to
        streams that were cut. Data that is not JSON counts only if every line of it is JSON, because some
        upstreams separate events by a single newline [eventsource-parser#31].

        Raises only AnswerTooLarge, for items that take too much memory.
        """
        self._event_text = event.data
        try:
            data = parsed(event.data)
            glued = payloads_by_line(data) if data is event.data else []
            if documents := [document for document in glued if isinstance(document, dict)]:
                *others, last = documents
                said = [said for document in others for said in self._event("message", document)]
                return [*said, *self._event(event.event, last)]
            return list(self._event(event.event, data))
        except RecursionError:  # nested deeper than any answer
            return []

    def _event(self, name: str, data: Any) -> Iterator[ChatEvent]:
        if name != "message" and names_failure(name):
            yield from self._failure(failure_in(data))
            return
        if not isinstance(data, dict):
            return
        name = text_in(data.get("type")) or name
        family, _, step = name.rpartition(".")
        response = response_in(name, data)
        yield from self._start(response)
        if family in _SPOKEN and step in ("delta", "done"):
            yield from self._part(_SPOKEN[family], step, data)
        elif name in _PARTS_DONE:
            yield from self._part_done(_PARTS_DONE[name], data)
        elif family == "response.output_item" and step in ("added", "done"):
            yield from self._item(step, data)
        elif name != "error" and (ending := ending_in(name, response)):
            yield from self._end(ending, response, data)
        elif names_failure(name.removeprefix("response.")):
            yield from self._failure(failure_in(data))
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
        yield from self._flush(self.items.opened)
        yield failed

    # -- items and their parts -----------------------------------------------------------------------------

    def _item(self, step: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        document, index = object_in(data.get("item")), place_in(data.get("output_index"))
        if not document:
            return
        self._bound.take(cost_bytes(self._event_text))
        if step == "added":
            yield from self._identify(self.items.announced(document, index), document)
        else:
            item = self.items.done(document, index)
            yield from self._fill([(item, document)], [item])
            yield from self._flush([item])

    def _part(self, spoken: _Spoken, step: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        item_index, item_id = place_in(data.get("output_index")), text_in(data.get("item_id"))
        item = self.items.addressed(spoken.item_type, item_index, item_id)
        index = place_in(data.get(spoken.index_field)) if spoken.index_field else 0
        if index is None:
            item.has_unnumbered_parts = True
        text = spelled(spoken.channel, data.get("delta" if step == "delta" else spoken.done_field))
        piece = Piece(spoken.channel, index or 0, text)
        if step == "delta":
            yield from self._say(item, item.joined(piece))
            return
        if item.kind == "call":
            yield from self._identify(item, {"name": data.get("name")})
        yield from self._fill_part(item, piece._replace(text=well_formed(text)))

    def _part_done(self, index_field: str, data: Mapping[str, Any]) -> Iterator[ChatEvent]:
        piece = piece_of(data.get("part"), place_in(data.get(index_field)) or 0)
        if piece:
            item = self.items.holding(piece, place_in(data.get("output_index")), text_in(data.get("item_id")))
            yield from self._fill_part(item, piece.within(item.kind))

    # -- what is said --------------------------------------------------------------------------------------

    def _say(self, item: OutputItem, piece: Piece) -> Iterator[ChatEvent]:
        if not piece.text:
            return
        if piece.channel in ("commands", "diff"):
            self._bound.take(2 * len(piece.text))  # kept twice, by part and by item; emitted once complete
            item.record(piece)
            return
        item.record(piece)
        if piece.channel == "arguments":
            yield ToolCallDelta(0, self._place_of(item), None, None, piece.text)
            return
        kind = _DELTAS[piece.channel]
        text = item.unmirrored(piece) if kind is ReasoningDelta else piece.text
        if text:
            yield kind(0, self._break_before(item, kind.__name__) + text)

    def _break_before(self, item: OutputItem, kind: str) -> str:
        """The break before the first delta of an item, if deltas of another item were emitted before.

        There is none before an item that was never announced: some upstreams give each delta an id of its own
        [litellm#30072].
        """
        if kind in item.told:
            return ""
        item.told.add(kind)
        is_next = kind in self._told and item.document is not None and not item.goes_on
        self._told.add(kind)
        return _BREAK if is_next else ""

    def _identify(
        self, item: OutputItem, document: Mapping[str, Any], *, is_whole: bool = False
    ) -> Iterator[ChatEvent]:
        """Emit a call's id and name, each once. The call_id may follow until the item is complete."""
        if item.kind != "call" or runs_upstream(item.document or document):
            return
        place = self._place_of(item)
        item.id = item.id or text_in(document.get("id"))
        item.call_id = item.call_id or text_in(document.get("call_id"))
        has_no_call_id = item.type in ("mcp_call", "mcp_approval_request")
        call_id = item.call_id or (item.id if is_whole or has_no_call_id else None)
        new_id = call_id if item.told_id is None else None
        new_name = name_of({"type": item.type, **document}) if item.name is None else None
        item.told_id, item.name = item.told_id or new_id, item.name or new_name
        if new_id or new_name:
            yield ToolCallDelta(0, place, new_id, new_name, "")

    def _place_of(self, item: OutputItem) -> int:
        if item.place is None:
            item.place = self._calls
            self._calls += 1
        return item.place

    def _fill_part(self, item: OutputItem, piece: Piece) -> Iterator[ChatEvent]:
        # Compare with the whole item as well: some upstreams number each delta as a new part [vllm#24788].
        if piece.text != item.said(piece.channel):
            yield from self._say_rest(item, _rest(piece, item.said_in_part(piece.channel, piece.part)))
        yield from self._flush([item])

    def _fill(
        self, wholes: Sequence[tuple[OutputItem, Mapping[str, Any]]], scope: Sequence[OutputItem]
    ) -> Iterator[ChatEvent]:
        """Emit what is missing of complete items, in their order, given the text received in `scope`.

        First all complete texts together are compared with the text received, then each item, then each part.
        So the result does not depend on how items and parts were numbered.
        """
        pieces = [(item, pieces_of(item.completed(document))) for item, document in wholes]
        rests: dict[str, Iterator[Piece]] = {}
        for channel in {piece.channel for _, own in pieces for piece in own}:
            spoken = [(item, piece) for item, own in pieces for piece in own if piece.channel == channel]
            rests[channel] = iter(_unsaid(channel, spoken, scope))
        for (item, document), (_, own) in zip(wholes, pieces, strict=True):
            yield from self._identify(item, document, is_whole=True)
            for piece in own:
                rest = next(rests[piece.channel])
                item.goes_on = item.goes_on or rest != piece
                yield from self._say_rest(item, rest)

    def _say_rest(self, item: OutputItem, rest: Piece) -> Iterator[ChatEvent]:
        if rest.text:
            item.drop_halves(rest.channel)
        yield from self._say(item, rest)

    def _flush(self, items: Iterable[OutputItem]) -> Iterator[ChatEvent]:
        for item in items:
            for piece in item.abandoned():
                yield from self._say(item, piece)

    # -- the end -------------------------------------------------------------------------------------------

    def whole(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The chat events of a response that was not streamed."""
        yield from self._start(response)
        if ending := ending_of(response):
            yield from self._end(ending, response, {})
            return
        yield from self._fill_answer(response)
        if failed := failure_of(response):
            yield failed

    def _end(self, ending: str, response: Mapping[str, Any], event: Mapping[str, Any]) -> Iterator[ChatEvent]:
        self.response |= {"status": ending, "output": list_in(self.response.get("output"))}
        yield from self._fill_answer(response)
        usage = response.get("usage") or event.get("usage")
        if isinstance(usage, dict) and usage:
            self.response["usage"] = usage
            yield UsageReported(usage)
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
            yield failure_in(error) if error else failure_of(response) or failure_in(response)
        else:
            yield StreamDone()

    def _fill_answer(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """Emit what is missing of the answer, once. The final output may be empty [litellm#27186]."""
        if self._filled:
            return
        self._filled = True
        streamed = list(self.items.opened)
        matched = self.items.matched(list_in(response.get("output")))
        wholes = [(item or self.items.unstreamed(document), document) for document, item in matched]
        yield from self._fill(wholes, streamed)
        whole = {item for item, _ in wholes}
        for item in streamed:
            if item not in whole and not item.is_done:  # there is nothing but its announcement
                yield from self._fill([(item, item.document or {})], [item])
        yield from self._flush(streamed)


def _rest(piece: Piece, said: str) -> Piece:
    return piece._replace(text=piece.text[len(said) :] if piece.text.startswith(said) else "")


def _unsaid(
    channel: str, spoken: Sequence[tuple[OutputItem, Piece]], scope: Sequence[OutputItem]
) -> list[Piece]:
    """What is still to be emitted of each piece of a channel."""
    if channel != "arguments":  # arguments never continue in another item
        rests = _rests([piece for _, piece in spoken], "".join(item.said(channel) for item in scope))
        if rests is not None:
            return rests
        if any(item.is_anonymous and item.said(channel) for item in scope):  # what is new cannot be known
            return [piece._replace(text="") for _, piece in spoken]
    unsaid: list[Piece] = []
    for item, group in groupby(spoken, key=lambda one: one[0]):
        pieces = [piece for _, piece in group]
        rests = _rests(pieces, item.said(channel))
        if rests is None and item.numbers_parts_like(pieces):
            rests = [_rest(piece, item.said_in_part(channel, piece.part)) for piece in pieces]
        unsaid += [piece._replace(text="") for piece in pieces] if rests is None else rests
    return unsaid


def _rests(pieces: Sequence[Piece], said: str) -> list[Piece] | None:
    """The pieces without the text `said`, if they begin with it when joined; else None."""
    if not "".join(piece.text for piece in pieces).startswith(said):
        return None
    left, rests = len(said), []
    for piece in pieces:
        rests.append(piece._replace(text=piece.text[left:]))
        left = max(left - len(piece.text), 0)
    return rests


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
