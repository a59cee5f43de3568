"""Surrogates: JSON may split a pair over two strings, or hold half of one; UTF-8 can do neither."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def has_surrogates(text: str) -> bool:
    """Whether there is any surrogate in the text, which UTF-8 cannot encode."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD: what UTF-8 can encode."""
    if not has_surrogates(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class PairJoiner:
    """Joins the pairs that were split over two pieces of a text [eliza#30904].

    Several texts may grow side by side: each is named by a key.
    """

    def __init__(self) -> None:
        self._held: dict[str | int, str] = {}  # the first half of a pair, whose second is yet to come

    def joined(self, key: str | int, piece: str) -> str:
        """The next piece of this text, well-formed: with the half held before, without one at the end."""
        if not piece:
            return ""
        if self._held:
            piece = self._held.pop(key, "") + piece
        if "\ud800" <= piece[-1] <= "\udbff":
            self._held[key] = piece[-1]
            piece = piece[:-1]
        return well_formed(piece)

    def abandoned(self) -> list[str | int]:
        """The keys of the texts that have ended in half a pair, which is U+FFFD then. Nothing is held now."""
        held, self._held = self._held, {}
        return list(held)
