"""The HTTP client for the OpenAI-compatible API: one `httpx.Client` per execution environment."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlsplit

import httpx

from settings import Settings
from settings_reading.readers import SettingsError, is_this_machine
from upstream.certificates import trusted_certificates
from upstream.exchange import Exchange
from upstream.key import OpenAIKey
from upstream.proxy import proxy_for
from upstream.transport.transport import FastTransport

CONNECTIONS = httpx.Limits(max_keepalive_connections=1, keepalive_expiry=60.0)

_DEFAULT_PORT = {"http": ":80", "https": ":443"}  # left out of the host header: some servers reject it

logger = logging.getLogger(__name__)


class Upstream:
    """The HTTP client and the key of one execution environment. It keeps a connection between invocations.

    Args:
        make_transport: FastTransport, or `httpx.HTTPTransport`, which is slower.

    Raises SettingsError if a plain-text request would show the key to a remote proxy, or if httpx cannot read
    the base URL.
    """

    def __init__(
        self, settings: Settings, make_transport: Callable[..., httpx.BaseTransport] = FastTransport
    ) -> None:
        self.settings = settings
        self.key = OpenAIKey(settings)
        base_url = urlsplit(settings.openai_base_url)
        self.host = base_url.netloc.removesuffix(_DEFAULT_PORT[base_url.scheme])
        self._urls: dict[str, httpx.URL] = {}  # parsing a URL takes as long as relaying several events
        try:
            self.url("")
        except httpx.InvalidURL as error:
            raise SettingsError(f"OPENAI_BASE_URL cannot be used: {error}") from None
        proxy = proxy_for(settings.openai_base_url)
        if proxy and base_url.scheme == "http":  # allowed on this machine only, not through a remote proxy
            host = base_url.hostname or ""
            if is_this_machine(host) and not is_this_machine(proxy.url.host):
                raise SettingsError(
                    f"NO_PROXY must name {host}: the key would leave this machine in the clear"
                )
        self.client = httpx.Client(
            transport=make_transport(
                verify=trusted_certificates() if base_url.scheme == "https" else False,
                proxy=proxy,
                limits=CONNECTIONS,
            ),
            cookies=_NoCookies(),
            event_hooks={"response": [_forget_redirect]},
            trust_env=False,  # its proxies and certificates are read above
        )
        self._connection: Any = None  # the most recent one

    def close(self) -> None:
        """Close the kept connection."""
        self.client.close()

    def url(self, path: str) -> httpx.URL:
        """The URL of an endpoint below the base URL."""
        if path not in self._urls:
            version = self.settings.openai_api_version
            query = f"?api-version={version}" if version else ""
            self._urls[path] = httpx.URL(f"{self.settings.openai_base_url}{path}{query}")
        return self._urls[path]

    def exchange(
        self, path: str, content: bytes, *, streamed: bool, deadline_at: float, method: str = "POST"
    ) -> Exchange:
        """A new exchange; `open` sends its request.

        Args:
            path: the endpoint's path below the base URL.
            content: the JSON for the upstream; b"" for none.
            streamed: whether events are requested, or one document.
            deadline_at: `time.monotonic()` when the answer must have ended.
        """
        return Exchange(self, path, content, streamed=streamed, deadline_at=deadline_at, method=method)

    def note_connection(self, event: str, info: dict[str, Any]) -> None:
        """Keep the connection from httpx's `trace` extension: the response names it only after its head."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):  # also through a proxy
            self._connection = info["return_value"]

    def shut_connection(self) -> None:
        """Unblock a thread that waits on the connection; httpx has no way to interrupt it."""
        if self._connection is None:
            return
        try:
            # Not SSLSocket.shutdown, which drops the TLS object while another thread reads from it.
            socket.socket.shutdown(self._connection.get_extra_info("socket"), socket.SHUT_RDWR)
        except OSError:
            logger.debug("the upstream's connection was already closed")


class _NoCookies(CookieJar):
    """Keeps no cookies: they could mix up callers, and reading them takes time."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Ignore them."""


def _forget_redirect(response: httpx.Response) -> None:
    """Remove a redirect's target: httpx parses it even without following it, and fails on an invalid one."""
    response.headers.pop("location", None)
