"""The conformance cases as replies of the replay upstream, over real HTTP."""

from __future__ import annotations

import gzip
import zlib

from tests.support.conformance_cases import StreamCase
from tests.support.upstreams.replay_upstream import Piece, Reply

MAX_WRITES = 10_000


def case_reply(case: StreamCase, size: int | None, *, compressed: bool = False) -> Reply:
    """The case as a reply, served as its `http` field says.

    Args:
        size: the bytes in each HTTP chunk; None is one chunk.
        compressed: use gzip even if the case does not; each chunk is flushed, as a streaming server does.
    """
    http = case.expected["http"]
    headers = {"content-type": http["content_type"]}
    pieces = list(case.reads(size))
    coding = http["content_encoding"] or ""
    if coding:
        headers["content-encoding"] = coding
    if compressed or ("gzip" in coding and http.get("compressed", True)):
        headers.setdefault("content-encoding", "gzip")
        squeezer = zlib.compressobj(wbits=31)
        pieces = [squeezer.compress(piece) + squeezer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
        pieces.append(squeezer.flush())
        assert gzip.decompress(b"".join(pieces)) == case.body
    # "abort: close without the last HTTP chunk (incomplete chunked read)"
    is_cut = http["ends"] != "clean"
    whole = [piece for piece in pieces if piece]
    # One MiB would be many thousands of writes. In a single write the reader gets the same chunks.
    sent: list[Piece] = [*whole] if len(whole) < MAX_WRITES else [tuple(whole)]
    return Reply(sent, http["status"], headers, ends="cut" if is_cut else "clean")
