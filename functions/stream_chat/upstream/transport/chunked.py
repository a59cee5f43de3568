"""HTTP's chunked transfer coding, taken off a body (pure): https://www.rfc-editor.org/rfc/rfc9112#section-7.1.

One read of a fast upstream holds a hundred chunks, one for each event: as one piece they cost the rest of
the way no more than one.
"""

from __future__ import annotations

import re

from upstream.transport.framing import is_certain_trailer

LAST_CHUNK = b"0\r\n\r\n"
MAX_HEAD_BYTES = 16 * 1024  # of a chunk, or of all trailers: an upstream that never ends one fills no memory

# The line end of the chunk before; a size, of as many digits as h11 takes; and extensions, which "a recipient
# MUST ignore" that does not know them.
_NEXT_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,20})[ \t]*(?:;[^\r\n]*)?\r\n")
_BEGINS_NEXT_CHUNK = re.compile(rb"\r(?:\n(?:[0-9A-Fa-f]{1,20}[ \t]*(?:;[^\r\n]*)?\r?)?)?")


class MalformedChunksError(ValueError):
    """The bytes are no chunked body.

    Attributes:
        decoded: the bytes of the body that were decoded before the error, in the last feed.
    """

    def __init__(self, message: str, decoded: bytes = b"") -> None:
        super().__init__(message)
        self.decoded = decoded


class ChunkedDecoder:
    """Takes the coding off one body, whatever the sizes of the pieces it comes in.

    Attributes:
        ended: the last chunk has come, and the trailers behind it.
        excess: what has come behind the end: it belongs to no body.
        is_in_doubt: another reader might see another end.
    """

    def __init__(self) -> None:
        self.ended = False
        self.excess = b""
        self.is_in_doubt = False
        self._left_bytes = 0  # of the chunk that has begun
        self._pending = b"\r\n"  # what has come of the next chunk's head: a body begins as if behind a chunk
        self._in_trailers = False
        self._trailer_bytes = 0  # of whole lines

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return what of the body they hold, often nothing.

        Raises MalformedChunksError.
        """
        if self._pending:
            data = self._pending + data
        if self._in_trailers:
            self._skip_trailers(data)
            return b""
        pieces: list[bytes] = []
        start, end = 0, self._left_bytes  # of the chunk
        size = len(data)
        while end < size and (head := _NEXT_CHUNK.match(data, end)):
            if end > start:
                pieces.append(data[start:end])
            start = head.end()
            end = start + int(head[1], 16)
            if end == start:
                self._in_trailers = True
                body = b"".join(pieces)
                self._skip_trailers(data[start:], body)
                return body
        pieces.append(data[start:end])
        body = b"".join(pieces)
        pending = self._pending = data[end:]
        self._left_bytes = 0 if pending else end - size
        if pending and pending != b"\r\n" and not _may_become_a_head(pending):
            raise MalformedChunksError("the body is not chunked as it should be", body)
        return body

    def _skip_trailers(self, data: bytes, body: bytes = b"") -> None:
        """Their lines say nothing to us; a blank one ends them, and the body."""
        start = 0
        while end := data.find(b"\n", start) + 1:
            line = data[start:end]
            start = end
            if line in (b"\r\n", b"\n"):
                self.ended = True
                self.is_in_doubt = self.is_in_doubt or line == b"\n"
                self.excess, self._pending = data[start:], b""
                return
            if b":" not in line:
                raise MalformedChunksError("something other than trailers follows the last chunk", body)
            self.is_in_doubt = self.is_in_doubt or not is_certain_trailer(line)
        self._trailer_bytes += start
        self._pending = data[start:]
        if self._trailer_bytes + len(self._pending) > MAX_HEAD_BYTES:
            raise MalformedChunksError("the trailers are too long", body)


def _may_become_a_head(pending: bytes) -> bool:
    return len(pending) <= MAX_HEAD_BYTES and _BEGINS_NEXT_CHUNK.fullmatch(pending) is not None
