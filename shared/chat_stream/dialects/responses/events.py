"""The Responses API: the events of a streamed response, and whole responses, as chat events.

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

# Between the texts of two items, each of which is a message by itself: commentary and the final answer, for
# instance (`phase`). OpenAI's own `output_text` joins them without it, which reads "I'll check.Done.";
# interfaces that know items, as those of the AI SDK, show a paragraph for each.
_BREAK = "\n\n"

_CANCELLED = AnswerFailed("The upstream cancelled the response.", None, "cancelled", None, None)


class _Spoken(NamedTuple):
    """What a family of `.delta` and `.done` events tells of an item."""

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
    # Told when the item is done, as arguments are JSON.
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
    """Reads the events of one streamed response, in order. One decoder per stream. All is choice 0.

    What an item says comes in deltas, and again whole when a part, the item and the response are done. The
    deltas are told as they come; of a whole only what has not been told yet, so that no gap remains and
    nothing is said twice. Where a whole differs from what was told, that stands: it cannot be taken back.

    Attributes:
        response: the fields of all response objects so far, the last of each. Once the response has ended,
            its `status` is how, and its `output` the one that came at the end.
        items: the output items so far.
    """

    text_runs = None  # every text is kept, to find what is missing when a whole arrives: decode each event

    def __init__(self) -> None:
        self.response: dict[str, Any] = {}
        self._bound = AnswerBound()
        self._event_text = ""
        self.items = OutputItems(self._bound)
        self._started = False
        self._filled = False
        self._finished = False
        self._calls = 0
        self._told: set[str] = set()  # in which kinds of deltas

    def decode(self, event: ServerSentEvent) -> list[ChatEvent]:
        """What the event says; [] where it says nothing to us.

        It comes in this order: start, deltas, usage, end, then error or done. Unknown types say nothing
        [openai-node#1964]. Nor does `[DONE]`, which is no part of this dialect: gateways append it to streams
        that were cut. Data that is not JSON is taken only if every line of it is, as some upstreams put one
        newline between events [eventsource-parser#31].

        Raises only AnswerTooLarge: for items that take too much memory.
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
            self.response["output"] = output  # of two ends the second may be without it
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
            self._bound.take(2 * len(piece.text))  # kept by part and by item, and told only when it is whole
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
        """The break, if this is the first delta of an item, and others were told before.

        Not for an item that was never announced: some give each delta an id of its own [litellm#30072].
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
        """Tell a call's id and name, each once. Its call_id may still follow while the item is not whole."""
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
        # Compared with the whole item as well: some number each delta as a part of its own [vllm#24788].
        if piece.text != item.said(piece.channel):
            yield from self._say_rest(item, _rest(piece, item.said_in_part(piece.channel, piece.part)))
        yield from self._flush([item])

    def _fill(
        self, wholes: Sequence[tuple[OutputItem, Mapping[str, Any]]], scope: Sequence[OutputItem]
    ) -> Iterator[ChatEvent]:
        """Say what of whole items has not been said, in their order; `scope` is where it may have been said.

        Whether the wholes begin with what was said is asked of all together first, then of each item, then
        of each part: so the answer does not hang on how those were numbered.
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
        """What a whole, unstreamed response says."""
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
            # Some spread the error over the response.
            yield failure_in(error) if error else failure_of(response) or failure_in(response)
        else:
            yield StreamDone()

    def _fill_answer(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """Say what of the answer has not been said. An empty output takes nothing back [litellm#27186]."""
        if self._filled:
            return
        self._filled = True
        streamed = list(self.items.opened)
        matched = self.items.matched(list_in(response.get("output")))
        wholes = [(item or self.items.unstreamed(document), document) for document, item in matched]
        yield from self._fill(wholes, streamed)
        whole = {item for item, _ in wholes}
        for item in streamed:
            if item not in whole and not item.is_done:  # what was announced is all there is of it
                yield from self._fill([(item, item.document or {})], [item])
        yield from self._flush(streamed)


def _rest(piece: Piece, said: str) -> Piece:
    return piece._replace(text=piece.text[len(said) :] if piece.text.startswith(said) else "")


def _unsaid(
    channel: str, spoken: Sequence[tuple[OutputItem, Piece]], scope: Sequence[OutputItem]
) -> list[Piece]:
    """What of each piece of one channel is yet to be said."""
    if channel != "arguments":  # which never continue in another item
        rests = _rests([piece for _, piece in spoken], "".join(item.said(channel) for item in scope))
        if rests is not None:
            return rests
        if any(item.is_anonymous and item.said(channel) for item in scope):  # no telling what is new
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
    """The pieces without what was said, if that is how they begin all together; else None."""
    if not "".join(piece.text for piece in pieces).startswith(said):
        return None
    left, rests = len(said), []
    for piece in pieces:
        rests.append(piece._replace(text=piece.text[left:]))
        left = max(left - len(piece.text), 0)
    return rests


def is_response_event(event: ServerSentEvent) -> bool:
    """Whether the event is one of a response, known or not; a `keepalive` is none."""
    return (text_in(parsed_object(event.data).get("type")) or event.event).startswith("response.")


def response_events(document: Mapping[str, Any]) -> list[ChatEvent]:
    """A whole, unstreamed response as the events of a stream that says the same. Never raises.

    One that has not ended, as its status tells, has no end here either. An error in it, or in its place, is
    AnswerFailed.
    """
    try:
        return list(ResponsesDecoder().whole(document))
    except RecursionError:
        return []
