"""An httpx transport that reads chunked bodies past httpcore and h11.

What it does: httpcore keeps the connections and h11 reads each head, but once the head of an answer is there
the body is read here, off the socket, if it is chunked, which is how answers are streamed. One read is one
piece, however many chunks it holds.

Why: httpcore and h11 add to each chunk as much processor time as all the rest of the relay. `make bench` has
a row for `httpx.HTTPTransport` in its place (docs/performance.md).

What it leaves to httpcore and h11: the request, the head, bodies of a known length or that end with their
connection, TLS, proxies, and which connection is used again.

What it adds on the way (in tests/integration/stream_chat/upstream, each test that `httpx.HTTPTransport` fails is
marked `fast_transport_only`, with the reason): a connection about which any doubt is left is closed behind its
answer; its socket can be shut down in every phase, also during a TLS handshake; the timeout for connecting
covers looking up the name and all its addresses; a failure leaves no socket open; and `Transfer-Encoding:
chunked` may be named twice.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpcore
import httpx

from upstream.transport.chunked import ChunkedDecoder, MalformedChunksError
from upstream.transport.connection import Connection, Connections, Network

_HTTPX_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    MalformedChunksError: httpx.RemoteProtocolError,
}


class FastTransport(httpx.BaseTransport):
    """Stands in for `httpx.HTTPTransport`, whose arguments it takes, for HTTP/1.1 and one request at a time.

    Args:
        verify: the certificates that are trusted; False where no connection is to use TLS.
        proxy: the proxy for every request.
        limits: how many connections are kept, and for how long.
    """

    def __init__(
        self, *, verify: ssl.SSLContext | bool, proxy: httpx.Proxy | None, limits: httpx.Limits
    ) -> None:
        self._connections = Connections(
            ssl_context=verify if isinstance(verify, ssl.SSLContext) else None,
            proxy=None if proxy is None else httpcore.Proxy(_core_url(proxy.url), headers=proxy.headers.raw),
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=Network(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response, with the body still to be read.

        Raises httpx.TransportError, as the body does while it is read.
        """
        assert isinstance(request.stream, httpx.SyncByteStream)
        with _httpx_errors():
            response = self._connections.handle_request(
                httpcore.Request(
                    request.method,
                    _core_url(request.url),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        self._connections.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, without the transfer coding."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self._pieces = _pieces_off_the_wire(response)

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._pieces

    def close(self) -> None:
        """Give the connection back if the body was read to its end, otherwise close it."""
        self._response.close()


def _pieces_off_the_wire(response: httpcore.Response) -> Iterable[bytes]:
    connection = response.extensions.get("network_stream")
    if isinstance(connection, Connection):
        headers = {name.lower(): value for name, value in response.headers}
        if response.status in (204, 304):  # "always terminated by the first empty line" (RFC 9112, 6.3)
            connection.pass_body(0)
        elif b"transfer-encoding" not in headers:
            length = headers.get(b"content-length")
            connection.pass_body(None if length is None else int(length))
        elif connection.take_body():  # h11 accepts no other transfer coding than chunked
            return _read_here(response, connection)
    return response.iter_stream()


def _read_here(response: httpcore.Response, connection: Connection) -> Iterator[bytes]:
    """The fast way: past h11, a whole read as one piece."""
    decoder = ChunkedDecoder()
    while not decoder.ended:
        data = connection.read_body()
        if not data:  # in h11's words, whose error this stands for
            raise httpcore.RemoteProtocolError(
                "peer closed connection without sending complete message body (incomplete chunked read)"
            )
        try:
            piece = decoder.feed(data)
        except MalformedChunksError as error:
            if error.decoded:
                yield error.decoded
            raise
        if piece:
            yield piece
    if not (decoder.excess or decoder.is_in_doubt):  # otherwise nothing else on the connection can be trusted
        connection.end_body()
        next(response.iter_stream(), None)  # nothing is left of it: this tells httpcore that it is over


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raise httpx's error for httpcore's."""
    try:
        yield
    except tuple(_HTTPX_ERRORS) as error:
        kind = next(to for kind, to in _HTTPX_ERRORS.items() if isinstance(error, kind))
        raise kind(str(error)) from error
