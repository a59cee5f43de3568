"""This relay's handler with httpx's own transport in place of the fast one."""

from __future__ import annotations

import httpx

from upstream.client import Upstream

Upstream.__init__.__defaults__ = (httpx.HTTPTransport,)

from app import handle  # noqa: E402 - it makes its client while it is imported

__all__ = ["handle"]
