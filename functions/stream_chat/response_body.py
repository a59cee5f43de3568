"""The body of the upstream's answer as it arrives: bytes off the wire, without the codings around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import httpcore

from content_coding import inflated
from transfer_coding import ChunkedDecoder
from upstream_socket import UpstreamSocket


def body_pieces(response: httpcore.Response, headers: Mapping[str, str]) -> Iterator[bytes]:
    """The body, one item for each read; its connection can be used again behind the last.

    Args:
        headers: of the response, by lower-case name.

    Raises:
        httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException: the body broke off.
        MalformedCoding, MalformedCompression: it is not what the headers say.
    """
    pieces: Iterable[bytes] = response.iter_stream()
    connection = response.extensions.get("network_stream")
    is_chunked = headers.get("transfer-encoding", "").strip().lower() == "chunked"
    if is_chunked and isinstance(connection, UpstreamSocket) and connection.take_body():
        pieces = _read_here(response, connection)
    encoding = headers.get("content-encoding", "").strip().lower()
    return iter(pieces if encoding in ("", "identity") else inflated(pieces))


def _read_here(response: httpcore.Response, connection: UpstreamSocket) -> Iterator[bytes]:
    """The fast way, for the form in which answers are streamed: past h11, a whole read as one piece."""
    decoder = ChunkedDecoder()
    while not decoder.ended:
        data = connection.read_body()
        if not data:
            raise httpcore.RemoteProtocolError("the connection was closed before the last chunk")
        if piece := decoder.feed(data):
            yield piece
    if not decoder.excess:  # else nothing that comes on this connection can be trusted
        connection.end_body()
        for _ in response.iter_stream():
            raise httpcore.RemoteProtocolError("the body goes on behind its end")
