"""A decoder for HTTP's chunked transfer coding (pure): https://www.rfc-editor.org/rfc/rfc9112#section-7.1.

One read from a fast upstream can hold a hundred chunks, one per event. Joined into one piece, they cost the
rest of the relay no more than a single chunk.
"""

from __future__ import annotations

import re

from upstream.transport.framing import is_certain_trailer

LAST_CHUNK = b"0\r\n\r\n"
MAX_HEAD_BYTES = 16 * 1024  # per chunk head, and for all trailers: endless ones must not fill the memory

# The previous chunk's line end; a size, with as many digits as h11 accepts; and extensions, which a recipient
# that does not know them "MUST ignore".
_NEXT_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,20})[ \t]*(?:;[^\r\n]*)?\r\n")
_BEGINS_NEXT_CHUNK = re.compile(rb"\r(?:\n(?:[0-9A-Fa-f]{1,20}[ \t]*(?:;[^\r\n]*)?\r?)?)?")


class MalformedChunksError(ValueError):
    """The bytes are not a valid chunked body.

    Attributes:
        decoded: the body bytes that the last `feed` decoded before the error.
    """

    def __init__(self, message: str, decoded: bytes = b"") -> None:
        super().__init__(message)
        self.decoded = decoded


class ChunkedDecoder:
    """Decodes one body, which may be fed in pieces of any size.

    Attributes:
        ended: the last chunk and its trailers have been read.
        excess: the bytes after the body's end.
        is_in_doubt: another reader might find a different end.
    """

    def __init__(self) -> None:
        self.ended = False
        self.excess = b""
        self.is_in_doubt = False
        self._left_bytes = 0  # of the current chunk
        self._pending = b"\r\n"  # the start of the next chunk's head; the body begins as if after a chunk
        self._in_trailers = False
        self._trailer_bytes = 0  # of complete lines

    def feed(self, data: bytes) -> bytes:
        """Decode the next bytes and return the body bytes in them, often none.

        Raises MalformedChunksError.
        """
        if self._pending:
            data = self._pending + data
        if self._in_trailers:
            self._skip_trailers(data)
            return b""
        pieces: list[bytes] = []
        start, end = 0, self._left_bytes  # of the current chunk
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
            raise MalformedChunksError("the body is not validly chunked", body)
        return body

    def _skip_trailers(self, data: bytes, body: bytes = b"") -> None:
        """Ignore the trailers' lines up to the blank line that ends them and the body."""
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
