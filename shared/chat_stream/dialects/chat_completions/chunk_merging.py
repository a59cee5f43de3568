"""Merging chunks: how a later chunk of a stream changes what the earlier ones have sent."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container, Mapping, Sequence
from typing import Any

from chat_stream.memory_bound import OBJECT_BYTES, GrowingText, MemoryBound, value_bytes

# The text field of each type of part: in content, OpenRouter's reasoning_details and LiteLLM's
# thinking_blocks. All of these are sent in pieces, and a thought's signature is valid for the whole text
# only [agno#8794].
_TEXT_OF_PART = {
    "text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
    "reasoning.text": "text",
    "reasoning.summary": "summary",
}

_EMPTY: tuple[Any, ...] = (None, "", [], {})


def merge_fields(
    target: dict[str, Any],
    update: Mapping[str, Any],
    bound: MemoryBound,
    *,
    first: Container[str] = (),
    joins_lists: bool = False,
) -> None:
    """Merge `update` into `target`. The last value of a key wins; for the keys in `first`, the first one.

    Empty values clear nothing: Azure ends with empty content_filter_results. Objects are merged key by key,
    since their fields may be sent one by one. Lists are extended only with `joins_lists`, and only at the top
    level. `target` takes over the values and may change them, so nothing else may use them. Raises
    AnswerTooLargeError if the answer takes too much memory.
    """
    for key, value in update.items():
        old = target.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merge_fields(old, value, bound)
        elif joins_lists and isinstance(old, list) and isinstance(value, list):
            bound.take(value_bytes(value))
            old.extend(value)
        elif old is None or (value not in _EMPTY and not (old and key in first)):
            if key not in target:
                bound.take(OBJECT_BYTES + len(key))
            if value != old:
                bound.take(value_bytes(value) - value_bytes(old))
            target[key] = value


def join_base64(fragments: Sequence[str]) -> str:
    """Join base64 fragments, each of which may end in padding, which is only valid at the very end."""
    if not any(fragment.endswith("=") for fragment in fragments[:-1]):
        return "".join(fragments)
    try:
        data = b"".join(base64.b64decode(fragment, validate=True) for fragment in fragments)
    except (binascii.Error, ValueError):  # cut at any character, or not base64
        return "".join(fragments)
    return base64.b64encode(data).decode("ascii")


class PartList:
    """A list that grows with each chunk. The first entry of a chunk may continue the last entry of the list.

    Entries within one chunk are never joined.
    """

    def __init__(self, bound: MemoryBound, *, is_nested: bool = False) -> None:
        self._bound = bound
        self._is_nested = is_nested  # a thought may be a list of parts; the texts of those are strings
        self._entries: list[Any] = []  # a _Part, or a value as it was sent

    def extend(self, entries: Sequence[Any]) -> None:
        """Append the entries of the next chunk."""
        for position, entry in enumerate(entries):
            text_key = _text_key(entry, is_nested=self._is_nested)
            last = self._entries[-1] if self._entries and position == 0 else None
            if isinstance(last, _Part) and last.is_continued_by(entry, text_key):
                last.add(entry)
            else:
                self._bound.take(value_bytes(entry))
                self._entries.append(_Part(entry, text_key, self._bound) if text_key else entry)

    def text(self) -> str | None:
        """The text of all entries, or None if one of them holds anything else."""
        texts = []
        for entry in self._entries:
            text = entry.plain_text() if isinstance(entry, _Part) else None
            if text is None:
                return None
            texts.append(text)
        return "".join(texts)

    def document(self) -> list[Any]:
        """The list so far."""
        return [entry.document() if isinstance(entry, _Part) else entry for entry in self._entries]


class _Part:
    """A typed part of a list: the pieces of its text, or for a thought the parts of it, and other fields."""

    def __init__(self, part: Mapping[str, Any], text_key: str, bound: MemoryBound) -> None:
        self._bound = bound
        self._text_key = text_key
        self._pieces: GrowingText | PartList | None = None
        self._fields: dict[str, Any] = {}
        self.add(part)

    def is_continued_by(self, entry: Any, text_key: str | None) -> bool:
        """Whether the entry contradicts none of the fields. A thought with a signature is complete."""
        if text_key != self._text_key:
            return False
        text = entry.get(text_key)
        if text and self._fields.get("signature"):
            return False
        is_same_kind = isinstance(text, list) is isinstance(self._pieces, PartList)
        if text is not None and self._pieces is not None and not is_same_kind:
            return False
        fields = self._fields
        return all(
            value in _EMPTY or fields.get(key) in _EMPTY or value == fields[key]
            for key, value in entry.items()
            if key != text_key
        )

    def add(self, part: Mapping[str, Any]) -> None:
        text = part.get(self._text_key)
        if isinstance(text, str):
            self._pieces = self._pieces if isinstance(self._pieces, GrowingText) else GrowingText()
            self._bound.take(len(text))
            self._pieces.add(text)
        elif isinstance(text, list):
            self._pieces = (
                self._pieces if isinstance(self._pieces, PartList) else PartList(self._bound, is_nested=True)
            )
            self._pieces.extend(text)
        rest = {key: value for key, value in part.items() if key != self._text_key or value is None}
        merge_fields(self._fields, rest, self._bound)

    def plain_text(self) -> str | None:
        if self._fields["type"] not in ("text", "output_text") or isinstance(self._pieces, PartList):
            return None
        rest = (value for key, value in self._fields.items() if key not in ("type", "index"))
        if any(value not in _EMPTY for value in rest):
            return None
        return str(self._pieces or "")

    def document(self) -> dict[str, Any]:
        if self._pieces is None:
            return self._fields
        text = self._pieces.document() if isinstance(self._pieces, PartList) else str(self._pieces)
        return {**self._fields, self._text_key: text}


def _text_key(entry: Any, *, is_nested: bool) -> str | None:
    """The text field of an entry; None if the entry has no text, or a value of another type there."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    key = _TEXT_OF_PART.get(kind) if isinstance(kind, str) else None
    if key is None:
        return None
    text = entry.get(key)
    is_text = text is None or isinstance(text, str) or (isinstance(text, list) and not is_nested)
    return key if is_text else None
