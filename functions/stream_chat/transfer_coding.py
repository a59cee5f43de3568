"""HTTP's chunked transfer coding, taken off a body (pure): https://www.rfc-editor.org/rfc/rfc9112#section-7.1.

One read of a fast upstream holds a hundred chunks, one for each event: as one piece they cost the rest of
the way no more than one.
"""

from __future__ import annotations

import re

LAST_CHUNK = b"0\r\n\r\n"
MAX_HEAD_BYTES = 16 * 1024  # of a chunk, or of all trailers: an upstream that never ends one fills no memory

# A size, of at most 256 terabytes, and extensions, which "a recipient MUST ignore" that does not know them.
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r\n")


class MalformedCoding(ValueError):  # noqa: N818 - says what is wrong, as UnicodeDecodeError does
    """The bytes are no chunked body."""


class ChunkedDecoder:
    """Takes the coding off one body, whatever the sizes of the pieces it comes in.

    Attributes:
        ended: the last chunk has come, and the trailers behind it.
        excess: what has come behind the end: it belongs to no body.
    """

    def __init__(self) -> None:
        self.ended = False
        self.excess = b""
        self._pending = b""  # of a chunk's head, a line end or the trailers what has come so far
        self._left_bytes = 0  # of the chunk that has begun
        self._is_line_end_due = False  # behind a chunk
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return what of the body they hold, often nothing.

        Raises MalformedCoding; the body is lost then.
        """
        data = self._pending + data
        pieces: list[bytes] = []
        at = 0
        while not self._in_trailers and at < len(data):
            if self._left_bytes:
                piece = data[at : at + self._left_bytes]
                pieces.append(piece)
                at += len(piece)
                self._left_bytes -= len(piece)
                self._is_line_end_due = not self._left_bytes
            elif self._is_line_end_due:
                if data[at : at + 2] != b"\r\n":
                    break
                at += 2
                self._is_line_end_due = False
            elif head := _CHUNK_HEAD.match(data, at):
                at = head.end()
                self._left_bytes = int(head[1], 16)
                self._in_trailers = not self._left_bytes
            else:
                break
        self._pending = data[at:]
        if self._in_trailers:
            self._skip_trailers()
        if self._pending:
            self._check_pending()
        return b"".join(pieces)

    def _skip_trailers(self) -> None:
        """Their lines say nothing to us; a blank one ends them, and the body."""
        while not self.ended and b"\n" in self._pending:
            line, _, self._pending = self._pending.partition(b"\n")
            self.ended = line in (b"", b"\r")
        if self.ended:
            self.excess, self._pending = self._pending, b""

    def _check_pending(self) -> None:
        """Whether what comes next can still make it right."""
        if self._is_line_end_due:
            is_possible = self._pending == b"\r"
        else:
            is_possible = len(self._pending) <= MAX_HEAD_BYTES and (
                self._in_trailers or b"\n" not in self._pending
            )
        if not is_possible:
            raise MalformedCoding("the body is not chunked as it should be")
