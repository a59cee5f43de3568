"""The output items of a streamed response: which item an event belongs to, and the text of each so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chat_stream.dialects.responses.pieces import Piece, kind_of, kind_of_type, name_of, pieces_of
from chat_stream.json_values import object_in, text_in
from chat_stream.memory_bound import OBJECT_BYTES, STATE_BYTES, GrowingText, MemoryBound
from chat_stream.surrogates import PairJoiner

# By channel: the field of a call's document that holds what was streamed in this channel.
_STREAMED_FIELDS = {"commands": "action", "diff": "operation"}


@dataclass(slots=True, eq=False)
class OutputItem:
    """One output item, with the text that has been received for it."""

    type: str  # the API's name for it; for an item that was never announced, the type that its deltas imply
    index: int | None  # its output_index
    id: str | None
    bound: MemoryBound  # counts the memory for its parts
    call_id: str | None = None
    place: int | None = None  # its place among the calls
    # emitted_id, name: the id and name of a call, as emitted.
    emitted_id: str | None = None
    name: str | None = None
    # The item of `output_item.done`, else that of `output_item.added`, else None.
    document: dict[str, Any] | None = None
    is_done: bool = False  # whether `output_item.done` was received
    was_streamed: bool = True  # whether any event before the end of the response was about it
    is_anonymous: bool = False  # whether it received deltas that named no item and may belong to others
    has_unnumbered_parts: bool = False  # whether it received deltas that named no part
    emitted_types: set[str] = field(default_factory=set)  # the types of chat events that were emitted for it
    # Whether it continues the text of another item, so that no break precedes it.
    is_continuation: bool = False
    parts: dict[tuple[str, int], GrowingText] = field(default_factory=dict)
    _texts: dict[str, GrowingText] = field(default_factory=dict)
    _pairs: dict[str, PairJoiner] = field(default_factory=dict)
    _leading_channel: str | None = None
    _leading_text: GrowingText | None = field(default_factory=GrowingText)
    _held_text: GrowingText = field(default_factory=GrowingText)

    @property
    def kind(self) -> str:
        """The kind of the item, as in `kind_of`."""
        return kind_of_type(self.type)

    @property
    def channels(self) -> set[str]:
        """The channels with text."""
        return set(self._texts)

    def text_of(self, channel: str) -> str:
        """The text of a channel, in the order in which it was received."""
        return str(self._texts.get(channel, ""))

    def text_of_part(self, channel: str, index: int) -> str:
        """The text of a part."""
        return str(self.parts.get((channel, index), ""))

    def record(self, piece: Piece) -> None:
        """Add a piece to the text of its channel and its part."""
        text, part = self._texts.get(piece.channel), self.parts.get((piece.channel, piece.part))
        if text is None:
            text = self._texts[piece.channel] = GrowingText()
        if part is None:
            self.bound.take(OBJECT_BYTES)
            part = self.parts[piece.channel, piece.part] = GrowingText()
        text.add(piece.text)
        part.add(piece.text)

    def completed(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The document of this item, with the streamed commands or diff if it lacks them."""
        completed = dict(document)
        for channel, holder in _STREAMED_FIELDS.items():
            texts = [str(text) for (key, _), text in sorted(self.parts.items()) if key == channel]
            held = object_in(document.get(holder))
            if texts and not held.get(channel):
                streamed = texts if channel == "commands" else "".join(texts)
                completed |= {"type": self.type, holder: {**held, channel: streamed}}
        return completed

    def shares_part_numbers_with(self, pieces: Iterable[Piece]) -> bool:
        """Whether the parts received so far have numbers among those of `pieces`, all of one channel."""
        numbers = {(piece.channel, piece.part) for piece in pieces}
        channels = {channel for channel, _ in numbers}
        received = {key for key in self.parts if key[0] in channels}
        return not self.has_unnumbered_parts and received <= numbers

    def join_pairs(self, piece: Piece) -> Piece:
        """The piece of a delta with its surrogate pairs joined: see PairJoiner."""
        pairs = self._pairs.setdefault(piece.channel, PairJoiner())
        text = pairs.join(piece.part, piece.text)
        if piece.text and not text:
            self.bound.take(OBJECT_BYTES)  # half of a pair is held
        return piece._replace(text=text)

    def flush_pairs(self) -> list[Piece]:
        """U+FFFD for each half of a pair that is still held. Forgets the halves."""
        held, self._pairs = self._pairs, {}
        return [
            Piece(channel, int(index), "\ufffd") for channel, pairs in held.items() for index in pairs.flush()
        ]

    def discard_halves(self, channel: str) -> None:
        """Forget the held halves of a channel, because a complete text has supplied them."""
        self._pairs.pop(channel, None)

    def new_reasoning(self, piece: Piece) -> str:
        """The new text in a piece of reasoning.

        Some upstreams send the same text as raw reasoning and as its summary, delta by delta
        [halogen-flash-server#67, grok2api#960]. The channel that is received first leads. The other is held
        back as long as it repeats the first.
        """
        if self._leading_text is None:
            return piece.text
        self._leading_channel = self._leading_channel or piece.channel
        if piece.channel == self._leading_channel:
            self._leading_text.add(piece.text)
            return piece.text
        self._held_text.add(piece.text)
        leading = str(self._leading_text)
        if leading.startswith(piece.text):
            self._leading_text = GrowingText(leading[len(piece.text) :])
            return ""
        self._leading_text = None
        return str(self._held_text)

    def begins(self, document: Mapping[str, Any]) -> bool:
        """Whether the texts received so far are the beginnings of the document's texts, or of its parts."""
        if not _compatible(self.name, name_of(document)):
            return False
        pieces = pieces_of(document)
        return all(
            "".join(piece.text for piece in pieces if piece.channel == channel).startswith(
                self.text_of(channel)
            )
            for channel in self._texts
        ) or self._begins_in_parts(pieces)

    def _begins_in_parts(self, pieces: Iterable[Piece]) -> bool:
        whole = {(piece.channel, piece.part): piece.text for piece in pieces}
        if self.has_unnumbered_parts:
            return False
        return all(whole.get(part, "").startswith(str(text)) for part, text in self.parts.items())

    def may_match(self, document: Mapping[str, Any]) -> bool:
        """Whether the document may be this item. Some upstreams change the ids of a call [onyx#13624]."""
        has_same_ids = _compatible(self.call_id, text_in(document.get("call_id"))) and (
            self.kind != "call" or _compatible(self.id, text_in(document.get("id")))
        )
        return has_same_ids or self.begins(document)


class OutputItems:
    """All output items of one streamed response, in the order in which they were opened.

    An item is identified by its output_index and its id together, because neither is reliable: some ids
    change with every event [litellm#30072, mistral.rs#1944], and some indexes are shared by several items
    [9router#2611]. So an index with an unknown id means the last item of this kind at the index. An id alone
    counts if there is no index.
    """

    def __init__(self, bound: MemoryBound) -> None:
        self.opened: list[OutputItem] = []
        self._bound = bound
        self._by_id: dict[tuple[int | None, str, str | None], OutputItem] = {}
        self._by_kind: dict[tuple[int | None, str], OutputItem] = {}

    def for_delta(self, item_type: str, index: int | None, item_id: str | None) -> OutputItem:
        """The item that a delta belongs to; opens one if none was announced."""
        item = self._find(kind_of_type(item_type), index, item_id)
        if item and item.is_done and not _compatible(item.id, item_id):
            item = None  # a done item gets no more deltas: this is another item
        if item is None and item_type == "reasoning":  # a message may have a reasoning part
            item = self._by_id.get((index, "message", item_id))
        item = item or self._open(item_type, index, item_id)
        if index is None and item_id is None:
            item.is_anonymous = True
        return item

    def for_part(self, piece: Piece, index: int | None, item_id: str | None) -> OutputItem:
        """The item that a part belongs to. Some upstreams send reasoning as output_text [vllm#24788]."""
        kind, other = (
            ("message", "reasoning") if piece.channel in ("text", "refusal") else ("reasoning", "message")
        )
        item = self._find(kind, index, item_id)
        if item is None:
            item = self._by_id.get((index, other, item_id)) if item_id else self._by_kind.get((index, other))
        return item or self.for_delta(kind, index, item_id)

    def announced(self, document: dict[str, Any], index: int | None) -> OutputItem:
        """The item that `output_item.added` announces with this document."""
        item = self._item_of(document, index)
        if item and (item.is_done or not _compatible(item.id, text_in(document.get("id")))):
            item = None  # a second item at the same index
        return self._described(item, document, index)

    def done(self, document: dict[str, Any], index: int | None) -> OutputItem:
        """The item that `output_item.done` completes with this document."""
        item = self._item_of(document, index)
        if item and item.is_done and index is None and not text_in(document.get("id")):
            item = None
        item = self._described(item, document, index)
        item.is_done = True
        return item

    def unstreamed(self, document: dict[str, Any]) -> OutputItem:
        """A new item for a document that no event was about."""
        item = self._described(None, document, None)
        item.is_done, item.was_streamed = True, False
        return item

    def matched(self, output: Iterable[Any]) -> list[tuple[dict[str, Any], OutputItem | None]]:
        """Each item of the final output with the streamed item that it corresponds to, if there is one.

        Items are matched by id, then by call_id, then by index if the streamed text is a beginning of the
        final one, then by text, and last by order among the items of a kind: some upstreams leave the
        reasoning out of the final output, which shifts all indexes.
        """
        documents = [
            (_MatchKeys.of_document(document, place), document)
            for place, document in enumerate(output)
            if isinstance(document, dict)
        ]
        items = [(_MatchKeys.of_item(item), item) for item in self.opened]
        found: dict[int | None, OutputItem] = {}
        for key_of, accepts in _MATCHING_STEPS:
            taken = set(found.values())
            free: dict[Hashable, deque[OutputItem]] = {}
            for keys, item in items:
                if item not in taken and (key := key_of(keys)):
                    free.setdefault(key, deque()).append(item)
            for keys, document in documents:
                candidates = free.get(key_of(keys))
                if keys.place not in found and candidates and accepts(candidates[0], document):
                    found[keys.place] = candidates.popleft()
        return [(document, found.get(keys.place)) for keys, document in documents]

    def _find(self, kind: str, index: int | None, item_id: str | None) -> OutputItem | None:
        named = self._by_id.get((index, kind, item_id))
        if named:
            return named
        placed = self._by_kind.get((index, kind))
        if placed and (index is not None or _compatible(placed.id, item_id)):
            return placed
        unplaced = self._by_id.get((None, kind, item_id)) or self._by_kind.get((None, kind))
        if unplaced and unplaced.index is None and _compatible(unplaced.id, item_id):
            unplaced.index = index
            self._register(unplaced)
            return unplaced
        return None

    def _item_of(self, document: Mapping[str, Any], index: int | None) -> OutputItem | None:
        item = self._find(kind_of(document), index, text_in(document.get("id")))
        return item if item and _compatible(item.call_id, text_in(document.get("call_id"))) else None

    def _open(self, item_type: str, index: int | None, item_id: str | None) -> OutputItem:
        self._bound.take(2 * STATE_BYTES)
        item = OutputItem(item_type, index, item_id, self._bound)
        self.opened.append(item)
        self._register(item)
        return item

    def _described(self, item: OutputItem | None, document: dict[str, Any], index: int | None) -> OutputItem:
        item_id = text_in(document.get("id"))
        item = item or self._open(kind_of(document), index, item_id)
        item.type = text_in(document.get("type")) or item.type
        item.document = document
        if item.id is None and item_id:
            item.id = item_id
            self._register(item)
        return item

    def _register(self, item: OutputItem) -> None:
        for index in {item.index, None}:
            self._by_kind[index, item.kind] = item
            if item.id:
                self._by_id[index, item.kind, item.id] = item


def _compatible(one: str | None, other: str | None) -> bool:
    """Whether two ids may belong to the same item: they are equal, or one is unknown."""
    return one is None or other is None or one == other


class _MatchKeys(NamedTuple):
    """The keys by which streamed items are matched with items of the final output."""

    kind: str
    id: str | None
    call_id: str | None
    place: int | None
    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of_item(cls, item: OutputItem) -> _MatchKeys:
        texts = tuple((channel, item.text_of(channel)) for channel in sorted(item.channels))
        return cls(item.kind, item.id, item.call_id, item.index, texts)

    @classmethod
    def of_document(cls, document: Mapping[str, Any], place: int) -> _MatchKeys:
        texts: dict[str, str] = {}
        for piece in pieces_of(document):
            if piece.text:
                texts[piece.channel] = texts.get(piece.channel, "") + piece.text
        identity = text_in(document.get("id")), text_in(document.get("call_id"))
        return cls(kind_of(document), *identity, place, tuple(sorted(texts.items())))


_MATCHING_STEPS: tuple[
    tuple[Callable[[_MatchKeys], Hashable], Callable[[OutputItem, Mapping[str, Any]], bool]], ...
] = (
    (lambda like: like.id and (like.kind, like.id, like.place), OutputItem.may_match),
    (lambda like: like.id and (like.kind, like.id), OutputItem.may_match),
    (lambda like: like.call_id and (like.kind, like.call_id), OutputItem.may_match),
    (lambda like: (like.kind, like.place), OutputItem.begins),
    (lambda like: like.texts and (like.kind, like.texts), OutputItem.may_match),
    (lambda like: like.kind, OutputItem.may_match),
)
