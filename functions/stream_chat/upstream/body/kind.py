"""What a body under status 200 is, told by its first bytes more than by its type.

Gateways send HTML with status 200, completions where events were asked for, and events under any type.
"""

from __future__ import annotations

from typing import Literal

BodyKind = Literal["events", "document", "other"]

# "An event stream": a comment, or one of the standard's fields, in whatever order.
_EVENT_STARTS = (b"data", b"event", b"id", b"retry", b":")
_LONGEST_START = max(map(len, _EVENT_STARTS))
_BLANK = b"\xef\xbb\xbf \t\r\n"  # byte order mark and white space may precede anything


def kind_of_body(head: bytes, content_type: str, *, is_whole: bool) -> BodyKind | None:
    """What the body is that begins with `head`, or None while that is not enough to tell.

    Args:
        head: all bytes so far.
        content_type: the value of the header.
        is_whole: nothing follows; a body of nothing but white space is still None then: it is empty.
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
