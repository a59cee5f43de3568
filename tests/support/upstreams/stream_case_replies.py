"""The conformance cases over real HTTP: as replies of the replayed upstream."""

from __future__ import annotations

import gzip
import zlib

from tests.support.conformance_cases import StreamCase, split
from tests.support.upstreams.replay_upstream import Piece, Reply

MAX_WRITES = 10_000


def case_reply(case: StreamCase, size: int | None, *, compressed: bool = False) -> Reply:
    """The case as its `http` says a server must serve it.

    Args:
        size: bytes in each chunk of HTTP's; None is the whole in one.
        compressed: by gzip, whatever the case says, each chunk flushed as a streaming server does.
    """
    http = case.expected["http"]
    headers = {"content-type": http["content_type"]}
    pieces = list(split(case.body, size))
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
    # A case of a MiB byte by byte would be a million writes; to its reader it is as many chunks either way.
    sent: list[Piece] = [*whole] if len(whole) < MAX_WRITES else [tuple(whole)]
    return Reply(sent, http["status"], headers, ends="cut" if is_cut else "clean")
