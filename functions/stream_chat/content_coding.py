"""Bodies that come compressed although identity was asked for, inflated as they arrive (pure)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # told by the first bytes
KNOWN_ENCODINGS = ("identity", "", "gzip", "x-gzip", "deflate")
MAX_PIECE_BYTES = 64 * 1024  # of what one inflated piece may hold: a thousandfold is easily packed


class MalformedCompression(ValueError):  # noqa: N818 - says what is wrong, as UnicodeDecodeError does
    """The bytes are not what their content-encoding says, or end too early."""


def inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The body of a compressed one, a piece of at most MAX_PIECE_BYTES at a time.

    Raises MalformedCompression.
    """
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    begun = False
    for piece in pieces:
        rest = piece
        while rest:
            try:
                data = inflater.decompress(rest, MAX_PIECE_BYTES)
            except zlib.error as error:
                if begun:
                    raise MalformedCompression(str(error)) from None
                # "Some non-conformant implementations send the "deflate" compressed data without the zlib
                # wrapper." (RFC 9110, section 8.4.1.2)
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
                begun = True
                continue
            begun = True
            if data:
                yield data
            rest = inflater.unconsumed_tail
    if begun and not inflater.eof:
        raise MalformedCompression("the compressed body ends too early")
