"""An httpx transport that reads chunked bodies past httpcore and h11.

How it works: httpcore keeps the connections and h11 reads each head. A chunked body, the form of streamed
answers, is then read here, straight from the socket. One read yields one piece, however many chunks it holds.

Why: httpcore and h11 cost as much processor time per chunk as all the rest of the relay. `make bench` has a
row with `httpx.HTTPTransport` in its place (docs/performance.md).

Left to httpcore and h11: the request, the head, bodies with a known length or that end with their connection,
TLS, proxies, and the choice of the connection to reuse.

Added: a connection whose framing leaves any doubt is closed after its response; its socket can be shut down
in every phase, also during a TLS handshake; the connect timeout covers the name's look-up and all its
addresses; a failure leaves no socket open; `Transfer-Encoding: chunked` may be repeated. Tests that
`httpx.HTTPTransport` fails are marked `fast_transport_only`, with the reason.
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
    """Replaces `httpx.HTTPTransport`, with the same arguments, for HTTP/1.1 and one request at a time.

    Args:
        verify: the trusted certificates; False if no connection uses TLS.
        proxy: the proxy for every request.
        limits: the number of connections to keep, and for how long.
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
        """Send a request and return its response, with the body unread.

        Raises httpx.TransportError; so does reading the body.
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
        """Close the kept connections."""
        self._connections.close()


class _Body(httpx.SyncByteStream):
    """The body of a response, without the transfer coding."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self._pieces = _body_pieces(response)

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._pieces

    def close(self) -> None:
        """Return the connection to the pool if the body was read to its end, otherwise close it."""
        self._response.close()


def _body_pieces(response: httpcore.Response) -> Iterable[bytes]:
    connection = response.extensions.get("network_stream")
    if isinstance(connection, Connection):
        headers = {name.lower(): value for name, value in response.headers}
        if response.status in (204, 304):  # "always terminated by the first empty line" (RFC 9112, 6.3)
            connection.pass_body(0)
        elif b"transfer-encoding" not in headers:
            length = headers.get(b"content-length")
            connection.pass_body(None if length is None else int(length))
        elif connection.take_body():  # h11 accepts no other transfer coding than chunked
            return _read_chunked(response, connection)
    return response.iter_stream()


def _read_chunked(response: httpcore.Response, connection: Connection) -> Iterator[bytes]:
    """The decoded body without h11, one piece per read."""
    decoder = ChunkedDecoder()
    while not decoder.ended:
        data = connection.read_body()
        if not data:  # the message of h11's own error
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
    if not (decoder.excess or decoder.is_in_doubt):  # otherwise the connection cannot be reused
        connection.end_body()
        next(response.iter_stream(), None)  # the body is empty now: this tells httpcore that it ended


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Translate httpcore's errors into httpx's."""
    try:
        yield
    except tuple(_HTTPX_ERRORS) as error:
        kind = next(to for kind, to in _HTTPX_ERRORS.items() if isinstance(error, kind))
        raise kind(str(error)) from error
