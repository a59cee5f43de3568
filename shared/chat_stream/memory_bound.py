"""What reading an answer may keep in memory: every part that keeps something counts it (pure)."""

from __future__ import annotations

from io import StringIO
from typing import Any

MAX_ANSWER_BYTES = 4 * 1024 * 1024  # of text: about a million tokens, eight times what any model writes
MAX_PIECE_BYTES = 8 * 1024 * 1024  # of one event or document, which is held several times while it is read
MAX_KEPT_BYTES = 16 * 1024 * 1024  # of documents that are put together, with what their objects take

# What CPython takes for an object or a list of a few entries, and so for the state of a choice or a call.
OBJECT_BYTES = 256
STATE_BYTES = 1024
_SCALAR_BYTES = 56


class AnswerTooLarge(ValueError):  # noqa: N818 - says what happened, as EventTooLarge does
    """An answer holds more than may be kept of it."""


class AnswerBound:
    """Counts what is kept of one answer."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self.max_bytes = max_bytes
        self.left_bytes = max_bytes

    def take(self, size_bytes: int) -> None:
        """Count so many bytes more. Raises AnswerTooLarge when that is more than is left."""
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise AnswerTooLarge(f"the answer is larger than {self.max_bytes} bytes")


class GrowingText:
    """A text that comes in pieces and takes no more memory than its characters do, however short they are."""

    __slots__ = ("_buffer", "_text", "length")

    def __init__(self, text: str = "") -> None:
        self._buffer = StringIO(text, newline="\n")  # which translates no line ends
        self._buffer.seek(0, 2)
        self._text: str | None = text
        self.length = len(text)

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self._buffer.write(piece)
        self.length += len(piece)
        self._text = None

    def __str__(self) -> str:
        if self._text is None:
            self._text = self._buffer.getvalue()
        return self._text


def value_bytes(value: Any) -> int:
    """About what a JSON value takes in memory, with all that it holds."""
    size_bytes, pending = 0, [value]  # not by recursion: it may be nested deeper than that goes
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
    """About what the value of this JSON text takes in memory, without parsing it."""
    return len(json_text) + OBJECT_BYTES * (json_text.count("{") + json_text.count("["))
