"""Bodies that arrive compressed although identity was asked for, inflated as they arrive (pure).

Not by httpx's own decoders: they take a body that was cut off for a whole one, drop what follows the first
gzip member, and inflate a piece of any size at once.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

COMPRESSIONS = ("gzip", "x-gzip", "deflate")  # that can be taken off
MAX_PIECE_BYTES = 64 * 1024  # of what one inflated piece may hold: a thousandfold is easily packed

# Names of no coding that servers send: to keep proxies from compressing, or meant for other headers.
_NO_CODINGS = ("", "identity", "none", "utf-8", "utf8", "binary", "7bit", "8bit", "aws-chunked", "chunked")
_GZIP_MAGIC = b"\x1f\x8b"
_LOOK_BYTES = 64  # with more blanks than that before it, it is no text
_NAME_BYTES = 5  # of the longest field of an event
_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?:data|event|id|retry|:|<|\{\s*(?:[\"}]|$)|$)")

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # told by the first bytes
_NO_WRAPPER = -zlib.MAX_WBITS


class MalformedCompressionError(ValueError):
    """The bytes are not what their content-encoding says, or end too early."""


class UnknownCodingError(MalformedCompressionError):
    """The bytes are neither text nor in a coding that can be decoded."""


def content_codings(content_encoding: str) -> list[str]:
    """The codings that the header names, in lower case, without names that are no coding."""
    names = (name.strip().lower() for name in content_encoding.split(","))
    return [name for name in names if name not in _NO_CODINGS]


def decoded(pieces: Iterable[bytes], codings: Sequence[str]) -> Iterator[bytes]:
    """A body without its content coding, which is judged by its first bytes more than by its name.

    Text is read as it is, whatever it is called: servers name codings that they do not apply, and words that
    are none. What begins as gzip does is inflated, even without a name, but not layer upon layer: each could
    inflate the one below it a thousandfold.

    Args:
        pieces: the body as it arrives.
        codings: as `content_codings` gives them.

    Raises:
        UnknownCodingError: the body cannot be read at all.
        MalformedCompressionError: it is not what its coding says, or ends too early.
    """
    pieces, head = iter(pieces), b""
    for piece in pieces:
        head += piece
        if _tells_enough(head) if codings else len(head) >= len(_GZIP_MAGIC):
            break
    body = chain((head,) if head else (), pieces)
    is_gzip = head.startswith(_GZIP_MAGIC)
    if (not codings and not is_gzip) or _TEXT.match(head):
        yield from body
        return
    compressions = [coding for coding in codings if coding in COMPRESSIONS]
    if len(compressions) > 1 or not (is_gzip or codings == compressions):
        raise UnknownCodingError("neither text nor a known coding")
    yield from inflated(body, "gzip" if is_gzip else compressions[0])


def _tells_enough(head: bytes) -> bool:
    """Whether the first bytes of a body show whether it is text, however small the pieces it comes in."""
    said = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return len(said) >= _NAME_BYTES or len(head) >= _LOOK_BYTES or bool(said and _TEXT.match(head))


def inflated(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The body of a compressed one, a piece of at most MAX_PIECE_BYTES at a time.

    Args:
        pieces: the body as it arrives.
        encoding: one of COMPRESSIONS.

    Raises MalformedCompressionError: it is not what its coding says, or ends too early.
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
                raise MalformedCompressionError(str(error)) from None
            if data:
                yield data
            is_more_held = len(data) == MAX_PIECE_BYTES and not inflater.eof  # with all that came taken in
            rest = inflater.unused_data or inflater.unconsumed_tail
    if start and (inflater is None or not inflater.eof):
        raise MalformedCompressionError("the compressed body ends too early")


def _wrapper(start: bytes, encoding: str) -> int:
    """What zlib takes off around the compressed data that begin with these two bytes."""
    is_zlib = start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2]) % 31 == 0  # RFC 1950, section 2.2
    if encoding == "deflate" and not is_zlib:
        # "Some non-conformant implementations send the "deflate" compressed data without the zlib wrapper."
        # (RFC 9110, section 8.4.1.2)
        return _NO_WRAPPER
    return _GZIP_OR_ZLIB
