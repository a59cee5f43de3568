"""Limits on the memory that one answer may take: whatever is kept of an answer is counted against them."""

from __future__ import annotations

from io import StringIO
from typing import Any

# The text of an answer: about a million tokens, eight times the output of any model.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
# One event or document. Several copies of it exist while it is read.
MAX_PIECE_BYTES = 8 * 1024 * 1024
# Everything that is kept to decode or assemble an answer, objects included.
MAX_KEPT_BYTES = 16 * 1024 * 1024

# What CPython needs for an object or a list with a few entries, and for the state of a choice or a call.
OBJECT_BYTES = 256
STATE_BYTES = 1024
_SCALAR_BYTES = 56


class AnswerTooLargeError(ValueError):
    """The answer needs more memory than its limit allows."""


class MemoryBound:
    """Counts the memory that one answer takes."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.left_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Count `size_bytes` more. Raises AnswerTooLargeError if fewer are left."""
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise AnswerTooLargeError(f"the answer is larger than {self.max_bytes} bytes")


class GrowingText:
    """Text collected from pieces. Takes the memory of its characters only, however short the pieces are."""

    __slots__ = ("_buffer", "_text", "length")

    def __init__(self, text: str = "") -> None:
        self._buffer = StringIO(text, newline="\n")  # keeps line ends as they are
        self._buffer.seek(0, 2)
        self._text: str | None = text
        self.length = len(text)

    def add(self, piece: str) -> None:
        """Append the next piece."""
        self._buffer.write(piece)
        self.length += len(piece)
        self._text = None

    def __str__(self) -> str:
        if self._text is None:
            self._text = self._buffer.getvalue()
        return self._text


def value_bytes(value: Any) -> int:
    """The approximate size in memory of a JSON value, nested values included."""
    size_bytes, pending = 0, [value]  # a loop: the nesting may exceed the recursion limit
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            size_bytes += OBJECT_BYTES + sum(map(len, value))
            pending += value.values()
        elif isinstance(value, list):
            size_bytes += OBJECT_BYTES
            pending += value
        else:
            size_bytes += _SCALAR_BYTES + (len(value) if isinstance(value, str) else 0)
    return size_bytes


def cost_bytes(json_text: str) -> int:
    """The approximate size in memory of the value of a JSON text, estimated without parsing it."""
    return len(json_text) + OBJECT_BYTES * (json_text.count("{") + json_text.count("["))
