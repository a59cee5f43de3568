"""Whether a response's head or trailers leave any doubt about where its body ends (pure).

If two readers could disagree about that, bytes after the body could be read as the response to the next
request (response splitting: https://www.rfc-editor.org/rfc/rfc9112#section-11.1). Such a response is still
read, as h11 reads it, but it is the last one on its connection.
"""

from __future__ import annotations

import re

_FIELD = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n"  # no line folding, no bare line end
_TRAILER = re.compile(_FIELD)
_HEAD = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [^\r\n\0]*)?\r\n((?:%b)*)\r\n" % _FIELD)
_FRAMING = re.compile(
    rb"^(content-length|transfer-encoding):[ \t]*(.*?)[ \t]*\r$", re.IGNORECASE | re.MULTILINE
)
_CODING = re.compile(rb"(?<=\n)transfer-encoding:[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.IGNORECASE)
_CODING_NAME = re.compile(rb"\ntransfer-encoding:", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")  # a size that fits every reader's integers


def is_certain_head(head: bytes) -> bool:
    """Whether every reader finds the same end for the response with this head.

    Args:
        head: from the status line to the blank line, of the final response or of a 1xx before it.
    """
    parts = _HEAD.fullmatch(head)
    if parts is None:
        return False
    status, framing = int(parts[1]), _FRAMING.findall(parts[2])
    if status < 200:
        return status != 101 and not framing
    if status in (204, 304) or len(framing) != 1:  # no body, or one that ends with the connection
        return False
    name, value = framing[0]
    if name.lower() == b"content-length":
        return _LENGTH.fullmatch(value) is not None
    return bool(value.lower() == b"chunked")


def names_framing(head: bytes) -> bool:
    """Whether a head, possibly incomplete, names a transfer coding."""
    return _CODING_NAME.search(head) is not None


def readable_head(head: bytes) -> bytes:
    """The head with repeated `Transfer-Encoding: chunked` fields reduced to one; any other head unchanged.

    h11 rejects repeated fields. Two proxies that each add one mean the same body [httpx#1862].

    Nothing changes before the first field's value.
    """
    lines = list(_CODING.finditer(head))
    codings = [coding.strip().lower() for line in lines for coding in line[1].split(b",")]
    if len(codings) < 2 or set(codings) != {b"chunked"}:
        return head
    for line in reversed(lines[1:]):
        head = head[: line.start()] + head[line.end() :]
    first = lines[0]
    return head[: first.start(1)] + b"chunked" + head[first.end(1) :]


def is_certain_trailer(line: bytes) -> bool:
    """Whether a line after the last chunk is a valid field that does not concern framing."""
    return _TRAILER.fullmatch(line) is not None and _FRAMING.match(line[:-1]) is None
