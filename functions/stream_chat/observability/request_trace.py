"""The facts known about a request so far: for its log record and metrics, even if it is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

OTHER_ROUTE = "other"  # for every unknown path: a path may hold anything, at any length

# https://www.w3.org/TR/trace-context/#traceparent-header: version ff, and ids of zeros only, are invalid.
# Compiled when it is first needed: most callers send none, and no cold start waits for it.
_TRACEPARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_SIZE = 55


class RequestTrace:
    """Filled in while the request is parsed and authorized.

    Attributes:
        route: one of the routes, or OTHER_ROUTE.
        caller: the caller's name, once they are identified.
        traceparent: the caller's own trace, if they sent a valid `traceparent` header.
    """

    __slots__ = ("caller", "route", "traceparent")

    def __init__(self) -> None:
        self.route = OTHER_ROUTE
        self.caller: str | None = None
        self.traceparent: str | None = None


def traceparent(headers: Mapping[str, str]) -> str | None:
    """The W3C trace context in a request's headers (by lower-case name), or None if there is no valid one."""
    value = headers.get("traceparent", "")
    version, size = value[:2], len(value)
    # Version 00 has no more fields than these; those that a later version appends are left out.
    has_right_size = size == _SIZE or (version != "00" and value[_SIZE : _SIZE + 1] == "-")
    return value[:_SIZE] if has_right_size and re.fullmatch(_TRACEPARENT, value[:_SIZE]) else None
