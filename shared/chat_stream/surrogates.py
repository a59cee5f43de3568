"""Surrogates: JSON strings may hold half of a pair, the other half in the next string; UTF-8 cannot."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def has_surrogates(text: str) -> bool:
    """Whether the text contains a surrogate, which UTF-8 cannot encode."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def well_formed(text: str) -> str:
    """The text as UTF-8 can encode it: surrogate pairs joined, lone surrogates replaced by U+FFFD."""
    if not has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class PairJoiner:
    """Joins surrogate pairs that were split over two pieces of a text [eliza#30904].

    Keeps several texts apart by their keys.
    """

    def __init__(self) -> None:
        self._held: dict[str | int, str] = {}  # the first half of a pair, by key

    def join(self, key: str | int, piece: str) -> str:
        """The next piece of a text, well-formed: a half held before is prepended, one at the end is held."""
        if not piece:
            return ""
        if self._held:
            piece = self._held.pop(key, "") + piece
        if "\ud800" <= piece[-1] <= "\udbff":
            self._held[key] = piece[-1]
            piece = piece[:-1]
        return well_formed(piece)

    def flush(self) -> list[str | int]:
        """The keys of the texts that end in half of a pair, for which U+FFFD stands. Forgets the halves."""
        held, self._held = self._held, {}
        return list(held)
