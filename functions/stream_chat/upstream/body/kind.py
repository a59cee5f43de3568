"""The kind of a body with status 200, detected from its first bytes rather than its content type.

Gateways send HTML with status 200, completions instead of the requested events, and events with any type.
"""

from __future__ import annotations

from typing import Literal

BodyKind = Literal["events", "document", "other"]

# An event stream begins with a comment or any of the standard's fields.
_EVENT_STARTS = (b"data", b"event", b"id", b"retry", b":")
_LONGEST_START = max(map(len, _EVENT_STARTS))
_BLANK = b"\xef\xbb\xbf \t\r\n"  # byte order mark and white space may precede anything


def kind_of_body(head: bytes, content_type: str, *, is_whole: bool) -> BodyKind | None:
    """The kind of the body that begins with `head`; None while that is too little to tell.

    Args:
        head: all bytes so far.
        content_type: the value of the header.
        is_whole: nothing follows. A body of only white space is empty: None even then.
    """
    start = head.lstrip(_BLANK)
    if not start:
        return None
    if start.startswith(b"{"):
        return "document"
    if start.startswith(b"<"):
        return "other"
    if content_type.split(";")[0].strip().lower() == "text/event-stream" or start.startswith(_EVENT_STARTS):
        return "events"
    return "other" if is_whole or len(start) >= _LONGEST_START else None
