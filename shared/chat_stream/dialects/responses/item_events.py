"""The chat events of a response's output items: no text is lost or repeated, each call is identified once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from chat_stream.dialects.responses.items import OutputItem
from chat_stream.dialects.responses.pieces import Piece, name_of, pieces_of, runs_upstream
from chat_stream.events import ChatEvent, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from chat_stream.json_values import text_in
from chat_stream.memory_bound import MemoryBound

# Separates the texts of two items, which are messages of their own, such as commentary and the final answer
# (`phase`). OpenAI's own `output_text` joins them without a break, as in "I'll check.Done."; interfaces that
# know items, such as those of the AI SDK, show a paragraph for each.
_BREAK = "\n\n"

_DELTAS: dict[str, type[TextDelta] | type[RefusalDelta] | type[ReasoningDelta]] = {
    "text": TextDelta,
    "refusal": RefusalDelta,
    "reasoning": ReasoningDelta,
    "summary": ReasoningDelta,
}


class ItemEvents:
    """Turns the pieces of output items into chat events, in the order in which they are received.

    Raises AnswerTooLargeError for commands and diffs that take too much memory.
    """

    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._calls = 0
        self._emitted_types: set[str] = set()  # the types of chat events emitted so far

    def delta(self, item: OutputItem, piece: Piece) -> Iterator[ChatEvent]:
        """Record a piece and emit it. Commands and diffs are only recorded, and emitted once complete."""
        if not piece.text:
            return
        if piece.channel in ("commands", "diff"):
            self._bound.take(2 * len(piece.text))  # kept twice: by part and by item
            item.record(piece)
            return
        item.record(piece)
        if piece.channel == "arguments":
            yield ToolCallDelta(0, self._place_of(item), None, None, piece.text)
            return
        kind = _DELTAS[piece.channel]
        text = item.new_reasoning(piece) if kind is ReasoningDelta else piece.text
        if text:
            yield kind(0, self._break_before(item, kind.__name__) + text)

    def _break_before(self, item: OutputItem, kind: str) -> str:
        """The break before the first delta of an item, if deltas of another item were emitted before.

        There is none before an item that was never announced: some upstreams give each delta an id of its own
        [litellm#30072].
        """
        if kind in item.emitted_types:
            return ""
        item.emitted_types.add(kind)
        is_next = kind in self._emitted_types and item.document is not None and not item.is_continuation
        self._emitted_types.add(kind)
        return _BREAK if is_next else ""

    def identity(
        self, item: OutputItem, document: Mapping[str, Any], *, is_whole: bool = False
    ) -> Iterator[ChatEvent]:
        """A call's id and name, each emitted once. The call_id may follow until the item is complete."""
        if item.kind != "call" or runs_upstream(item.document or document):
            return
        place = self._place_of(item)
        item.id = item.id or text_in(document.get("id"))
        item.call_id = item.call_id or text_in(document.get("call_id"))
        has_no_call_id = item.type in ("mcp_call", "mcp_approval_request")
        call_id = item.call_id or (item.id if is_whole or has_no_call_id else None)
        new_id = call_id if item.emitted_id is None else None
        new_name = name_of({"type": item.type, **document}) if item.name is None else None
        item.emitted_id, item.name = item.emitted_id or new_id, item.name or new_name
        if new_id or new_name:
            yield ToolCallDelta(0, place, new_id, new_name, "")

    def _place_of(self, item: OutputItem) -> int:
        if item.place is None:
            item.place = self._calls
            self._calls += 1
        return item.place

    def missing_part(self, item: OutputItem, piece: Piece) -> Iterator[ChatEvent]:
        """What is missing of a complete part."""
        # Compare with the whole item as well: some upstreams number each delta as a new part [vllm#24788].
        if piece.text != item.text_of(piece.channel):
            yield from self._rest_of(item, _rest(piece, item.text_of_part(piece.channel, piece.part)))
        yield from self.pending_halves([item])

    def missing(
        self, wholes: Sequence[tuple[OutputItem, Mapping[str, Any]]], scope: Sequence[OutputItem]
    ) -> Iterator[ChatEvent]:
        """What is missing of complete items, in their order, given the text received in `scope`.

        First all complete texts together are compared with the text received, then each item, then each part.
        So the result does not depend on how items and parts were numbered.
        """
        pieces = [(item, pieces_of(item.completed(document))) for item, document in wholes]
        rests: dict[str, Iterator[Piece]] = {}
        for channel in {piece.channel for _, own in pieces for piece in own}:
            item_pieces = [(item, piece) for item, own in pieces for piece in own if piece.channel == channel]
            rests[channel] = iter(_missing_pieces(channel, item_pieces, scope))
        for (item, document), (_, own) in zip(wholes, pieces, strict=True):
            yield from self.identity(item, document, is_whole=True)
            for piece in own:
                rest = next(rests[piece.channel])
                item.is_continuation = item.is_continuation or rest != piece
                yield from self._rest_of(item, rest)

    def _rest_of(self, item: OutputItem, rest: Piece) -> Iterator[ChatEvent]:
        if rest.text:
            item.discard_halves(rest.channel)
        yield from self.delta(item, rest)

    def pending_halves(self, items: Iterable[OutputItem]) -> Iterator[ChatEvent]:
        """U+FFFD for each half of a surrogate pair that an item still holds."""
        for item in items:
            for piece in item.flush_pairs():
                yield from self.delta(item, piece)


def _rest(piece: Piece, received: str) -> Piece:
    return piece._replace(text=piece.text[len(received) :] if piece.text.startswith(received) else "")


def _missing_pieces(
    channel: str, item_pieces: Sequence[tuple[OutputItem, Piece]], scope: Sequence[OutputItem]
) -> list[Piece]:
    """What is still to be emitted of each piece of a channel."""
    if channel != "arguments":  # arguments never continue in another item
        rests = _rests([piece for _, piece in item_pieces], "".join(item.text_of(channel) for item in scope))
        if rests is not None:
            return rests
        if any(item.is_anonymous and item.text_of(channel) for item in scope):  # what is new cannot be known
            return [piece._replace(text="") for _, piece in item_pieces]
    missing: list[Piece] = []
    for item, group in groupby(item_pieces, key=lambda one: one[0]):
        pieces = [piece for _, piece in group]
        rests = _rests(pieces, item.text_of(channel))
        if rests is None and item.shares_part_numbers_with(pieces):
            rests = [_rest(piece, item.text_of_part(channel, piece.part)) for piece in pieces]
        missing += [piece._replace(text="") for piece in pieces] if rests is None else rests
    return missing


def _rests(pieces: Sequence[Piece], received: str) -> list[Piece] | None:
    """The pieces without the text `received`, if they begin with it when joined; else None."""
    if not "".join(piece.text for piece in pieces).startswith(received):
        return None
    left, rests = len(received), []
    for piece in pieces:
        rests.append(piece._replace(text=piece.text[left:]))
        left = max(left - len(piece.text), 0)
    return rests
