"""Bodies that come compressed although identity was asked for, inflated as they arrive (pure)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

COMPRESSIONS = ("gzip", "x-gzip", "deflate")  # that can be taken off
MAX_PIECE_BYTES = 64 * 1024  # of what one inflated piece may hold: a thousandfold is easily packed

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # told by the first bytes
_NO_WRAPPER = -zlib.MAX_WBITS


class MalformedCompression(ValueError):  # noqa: N818 - says what is wrong, as UnicodeDecodeError does
    """The bytes are not what their content-encoding says, or end too early."""


def content_encoding(headers: Mapping[str, str]) -> str:
    """How a body is encoded, in lower case; "" for one that is not.

    Args:
        headers: by lower-case name.
    """
    encoding = headers.get("content-encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def inflated(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The body of a compressed one, a piece of at most MAX_PIECE_BYTES at a time.

    Args:
        pieces: the body as it arrives.
        encoding: one of COMPRESSIONS.

    Raises MalformedCompression.
    """
    inflater, start = None, b""
    for piece in pieces:
        rest, is_more_held = piece, False
        if inflater is None:
            rest = start = start + piece
            if len(start) < 2:
                continue
            inflater = zlib.decompressobj(_wrapper(start, encoding))
        while rest or is_more_held:
            if inflater.eof:  # "A gzip file consists of a series of members" (RFC 1952, section 2.2)
                inflater = zlib.decompressobj(_GZIP)
            try:
                data = inflater.decompress(rest, MAX_PIECE_BYTES)
            except zlib.error as error:
                raise MalformedCompression(str(error)) from None
            if data:
                yield data
            is_more_held = len(data) == MAX_PIECE_BYTES and not inflater.eof  # with all that came taken in
            rest = inflater.unused_data or inflater.unconsumed_tail
    if start and (inflater is None or not inflater.eof):
        raise MalformedCompression("the compressed body ends too early")


def _wrapper(start: bytes, encoding: str) -> int:
    """What zlib takes off around the compressed data that begin with these two bytes."""
    is_zlib = start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2]) % 31 == 0  # RFC 1950, section 2.2
    if encoding == "deflate" and not is_zlib:
        # "Some non-conformant implementations send the "deflate" compressed data without the zlib wrapper."
        # (RFC 9110, section 8.4.1.2)
        return _NO_WRAPPER
    return _GZIP_OR_ZLIB
