"""Decompresses bodies as they arrive that are compressed although identity was requested (pure).

httpx's own decoders are not used: they accept a truncated body as complete, drop everything after the first
gzip member, and decompress a piece of any size at once.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

COMPRESSIONS = ("gzip", "x-gzip", "deflate")  # that can be decoded
MAX_PIECE_BYTES = 64 * 1024  # limits each decompressed piece: gzip can expand 1000 times

# Names sent by servers that are not codings: they keep proxies from compressing, or belong in other headers.
_IGNORED_NAMES = ("", "identity", "none", "utf-8", "utf8", "binary", "7bit", "8bit", "aws-chunked", "chunked")
_GZIP_MAGIC = b"\x1f\x8b"
_LOOK_BYTES = 64  # after more blanks than this, it is not text
_NAME_BYTES = 5  # the longest field name of an event
_TEXT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*(?:data|event|id|retry|:|<|\{\s*(?:[\"}]|$)|$)")

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib decides by the first bytes
_NO_WRAPPER = -zlib.MAX_WBITS


class MalformedCompressionError(ValueError):
    """The bytes do not match their content-encoding, or end too early."""


class UnknownCodingError(MalformedCompressionError):
    """The bytes are neither text nor in a coding that can be decoded."""


def content_codings(content_encoding: str) -> list[str]:
    """The codings in the header, in lower case, without names that are not codings."""
    names = (name.strip().lower() for name in content_encoding.split(","))
    return [name for name in names if name not in _IGNORED_NAMES]


def decoded(pieces: Iterable[bytes], codings: Sequence[str]) -> Iterator[bytes]:
    """A body without its content coding, which is detected from the first bytes rather than the header.

    Text is passed through, whatever coding is named: servers name codings that they do not apply, and names
    that are not codings. Bytes that begin like gzip are decompressed, even without a named coding, but only
    one layer: each layer could expand the next one 1000 times. `codings` are those of `content_codings`.

    Raises:
        UnknownCodingError: the body cannot be decoded.
        MalformedCompressionError: the body does not match its coding, or ends too early.
    """
    pieces, head = iter(pieces), b""
    for piece in pieces:
        head += piece
        if _is_decidable(head) if codings else len(head) >= len(_GZIP_MAGIC):
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


def _is_decidable(head: bytes) -> bool:
    """Whether the first bytes of a body are enough to decide if it is text."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return len(start) >= _NAME_BYTES or len(head) >= _LOOK_BYTES or bool(start and _TEXT.match(head))


def inflated(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The decompressed body, in pieces of at most MAX_PIECE_BYTES; `encoding` is one of COMPRESSIONS.

    Raises MalformedCompressionError: the body does not match its coding, or ends too early.
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
            is_more_held = len(data) == MAX_PIECE_BYTES and not inflater.eof  # although all input is consumed
            rest = inflater.unused_data or inflater.unconsumed_tail
    if start and (inflater is None or not inflater.eof):
        raise MalformedCompressionError("the compressed body ends too early")


def _wrapper(start: bytes, encoding: str) -> int:
    """zlib's `wbits` for the wrapper of compressed data that begin with these two bytes."""
    is_zlib = start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2]) % 31 == 0  # RFC 1950, section 2.2
    if encoding == "deflate" and not is_zlib:
        # "Some non-conformant implementations send the "deflate" compressed data without the zlib wrapper."
        # (RFC 9110, section 8.4.1.2)
        return _NO_WRAPPER
    return _GZIP_OR_ZLIB
