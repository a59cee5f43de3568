"""One body in reads of many sizes."""

from __future__ import annotations


def even_reads(body: bytes, size: int) -> list[bytes]:
    """The body in reads of so many bytes; 0 is the whole in one."""
    size = size or max(len(body), 1)
    return [body[start : start + size] for start in range(0, len(body), size)]


def uneven_reads(body: bytes, steer: int) -> list[bytes]:
    """The body in reads of 1 to 61 bytes, by a rule that `steer` begins."""
    reads, start, size = [], 0, steer or 1
    while start < len(body):
        reads.append(body[start : start + size % 61 + 1])
        start += size % 61 + 1
        size = size * 37 + 11
    return reads


def reads_of_events(body: bytes) -> list[bytes]:
    """The body in reads that each end behind a blank line, as upstreams mostly write."""
    *events, rest = body.split(b"\n\n")
    return [*(event + b"\n\n" for event in events), rest]
