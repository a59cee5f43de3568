"""The headers sent to the upstream, and the response headers passed on to the caller (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from product import PRODUCT

# Headers that clients act upon (OpenAI's SDKs: x-request-id, x-should-retry) or that people read: ids for the
# provider's support, the processing time, the remaining rate limit.
_SHOWN = frozenset((
    "apim-request-id", "openai-processing-ms", "openai-version", "ratelimit", "ratelimit-policy",
    "retry-after", "retry-after-ms", "x-request-id", "x-should-retry",
))  # fmt: skip
_SHOWN_PREFIXES = ("ratelimit-", "x-ratelimit-")
_VALUE = re.compile(r"[\x20-\x7e]{1,256}")


def request_headers(host: str, body_bytes: int, key: Mapping[str, str], *, streamed: bool) -> dict[str, str]:
    """The headers of a request.

    Args:
        body_bytes: the size of the body; 0 without one.
        key: the header with the relay's key; empty without a key.
        streamed: whether events are requested, or one document.
    """
    body = {"content-type": "application/json", "content-length": str(body_bytes)} if body_bytes else {}
    return {
        "host": host,
        "user-agent": PRODUCT,
        "accept": "text/event-stream" if streamed else "application/json",
        "accept-encoding": "identity",
        **body,
        **key,
    }


def caller_headers(headers: Mapping[str, str], redacted: Callable[[str], str]) -> dict[str, str]:
    """The headers for the caller. A header with an unusual value, or with the relay's key in it, is dropped.

    Args:
        headers: by lower-case name.
        redacted: removes the relay's key from a text.
    """
    return {
        name: value
        for name, value in headers.items()
        if (name in _SHOWN or name.startswith(_SHOWN_PREFIXES))
        and _VALUE.fullmatch(value)
        and redacted(value) == value
    }
