"""Splits a body into reads of various sizes."""

from __future__ import annotations


def even_reads(body: bytes, size: int) -> list[bytes]:
    """The body in reads of `size` bytes; 0 is one read."""
    size = size or max(len(body), 1)
    return [body[start : start + size] for start in range(0, len(body), size)]


def uneven_reads(body: bytes, steer: int) -> list[bytes]:
    """The body in reads of 1 to 61 bytes, in a sequence that depends on `steer`."""
    reads, start, size = [], 0, steer or 1
    while start < len(body):
        reads.append(body[start : start + size % 61 + 1])
        start += size % 61 + 1
        size = size * 37 + 11
    return reads


def reads_of_events(body: bytes) -> list[bytes]:
    """The body in reads that end with a blank line, as upstreams usually write it."""
    *events, rest = body.split(b"\n\n")
    return [*(event + b"\n\n" for event in events), rest]
