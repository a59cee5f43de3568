"""The proxy that the environment names for what goes out: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


class OutboundProxy(NamedTuple):
    """A proxy's URL, without the credentials that it may hold, and these: user and password."""

    url: str
    credentials: tuple[str, str] | None


def proxy_for(url: str) -> OutboundProxy | None:
    """The proxy for this URL, None for a direct way.

    Raises ValueError for a proxy that speaks no HTTP.
    """
    if not any(value and name.lower() in _VARIABLES for name, value in os.environ.items()):
        return None
    from urllib.request import getproxies, proxy_bypass  # not before it is needed

    proxies = getproxies()
    parts = urlsplit(url)
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if found.scheme not in ("http", "https") or not found.hostname:
        raise ValueError(
            "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY must be http or https URLs"
        )  # may hold a password
    address = f"{found.scheme}://{found.netloc.rpartition('@')[2]}"
    credentials = None if found.username is None else (unquote(found.username), unquote(found.password or ""))
    return OutboundProxy(address, credentials)
