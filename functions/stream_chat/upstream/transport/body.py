"""The body of the upstream's answer as it arrives: bytes off the wire, without the codings around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import httpcore

from upstream.content_coding import MalformedCompression, content_codings, decoded
from upstream.transport.chunked import ChunkedDecoder, MalformedCoding
from upstream.transport.connection import UpstreamSocket

# What can end a body before its time: bytes that are not what the headers say, ...
MALFORMED_BODY = (MalformedCoding, MalformedCompression)
# ... or the connection.
BROKEN_BODY = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, *MALFORMED_BODY)


def body_pieces(response: httpcore.Response, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The body, one item for each read; its connection can be used again behind the last.

    Args:
        response: as it came, with nothing of its body read.
        headers: of the response, by lower-case name.

    Raises:
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException: the body broke off.
        MalformedCoding, MalformedCompression: it is not what the headers say.
    """
    pieces = _pieces_off_the_wire(response, headers)
    return decoded(pieces, content_codings(headers))


def error_body(pieces: Iterable[bytes], max_bytes: int) -> bytes:
    """The body of an error; empty if it is larger than `max_bytes`, for its status says enough.

    Raises as `body_pieces` does.
    """
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            return b""
    return bytes(body)


def _pieces_off_the_wire(response: httpcore.Response, headers: Mapping[str, str]) -> Iterable[bytes]:
    """The body without the transfer coding, which httpcore leaves to h11, as the latter tells the framing."""
    connection = response.extensions.get("network_stream")
    if isinstance(connection, UpstreamSocket):
        if response.status in (204, 304):  # "always terminated by the first empty line" (RFC 9112, 6.3)
            connection.pass_body(0)
        elif "transfer-encoding" not in headers:
            connection.pass_body(int(headers["content-length"]) if "content-length" in headers else None)
        elif connection.take_body():  # h11 knows no other transfer coding than chunked
            return _read_here(response, connection)
    return response.iter_stream()


def _read_here(response: httpcore.Response, connection: UpstreamSocket) -> Iterator[bytes]:
    """The fast way, for the form in which answers are streamed: past h11, a whole read as one piece."""
    decoder = ChunkedDecoder()
    while not decoder.ended:
        data = connection.read_body()
        if not data:
            raise httpcore.RemoteProtocolError("the connection was closed before the last chunk")
        try:
            piece = decoder.feed(data)
        except MalformedCoding as error:
            if error.before:
                yield error.before
            raise
        if piece:
            yield piece
    if not (
        decoder.excess or decoder.is_in_doubt
    ):  # else nothing that comes on this connection can be trusted
        connection.end_body()
        next(response.iter_stream(), None)  # nothing is left of it: httpcore only learns that it is over
