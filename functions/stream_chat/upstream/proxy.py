"""The proxy for outgoing requests, from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import os
from base64 import b64encode
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> httpx.Proxy | None:
    """The proxy for this URL; None for a direct connection.

    Raises ValueError if the proxy is not an HTTP proxy or its URL is invalid.
    """
    if not any(value and name.lower() in _VARIABLES for name, value in os.environ.items()):
        return None
    proxies = getproxies()
    proxy = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    if not proxy or _is_excepted(url, proxies.get("no", "")):
        return None
    try:
        found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        is_usable = found.scheme in _DEFAULT_PORTS and found.hostname and found.port != 0 and proxy.isascii()
        address = httpx.URL(f"{found.scheme}://{found.netloc.rpartition('@')[2]}")
    except (ValueError, httpx.InvalidURL):
        is_usable = False
    if not is_usable:
        raise ValueError(  # without the URL, which may contain a password
            "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY must be http or https URLs in ASCII,"
            " with special characters of a password percent-encoded"
        ) from None
    headers = {}
    if found.username or found.password:  # not by httpx, which decodes them as UTF-8
        pair = unquote_to_bytes(found.username or "") + b":" + unquote_to_bytes(found.password or "")
        headers["Proxy-Authorization"] = f"Basic {b64encode(pair).decode()}"
    return httpx.Proxy(address, headers=headers)


def _is_excepted(url: str, no_proxy: str) -> bool:
    """Whether NO_PROXY lists the URL's host, with or without its port, a parent domain, or `*`."""
    if "*" in (entry.strip() for entry in no_proxy.split(",")):
        return True
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    return bool(proxy_bypass(f"{host}:{port}"))
