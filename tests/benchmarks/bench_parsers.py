"""Measures the processor time of parsers of server-sent events: this project's and other common ones."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import httpx
import sseclient
from httpx_sse import EventSource
from openai._streaming import SSEDecoder

from chat_stream.sse import EventStreamParser
from tests.benchmarks.contestants import PEERS
from tests.benchmarks.paced_upstream import EVENT_BYTES, stamped_event
from tests.support.clients.node_programs import install_packages

RUNS = 5
OURS, HTTPX_SSE, OPENAI = "this project", "httpx-sse", "openai SDK"
MIB = 1024 * 1024
LINE_MIB = (1, 4, 16)


class Reads(NamedTuple):
    """A stream of equal events, and the size of the reads in which it arrives."""

    name: str
    events: int
    event_bytes: int
    read_bytes: int


EACH = Reads("one event a read", 10_000, EVENT_BYTES, EVENT_BYTES)
LARGE = Reads("64 KiB reads", 10_000, EVENT_BYTES, 64 * 1024)
SMALL = Reads("7-byte reads", 1_000, EVENT_BYTES, 7)
LINES = tuple(Reads(f"a line of {size} MiB", 1, size * MIB, 64 * 1024) for size in LINE_MIB)
PATTERNS = (EACH, LARGE, SMALL, *LINES)


def pieces(reads: Reads) -> list[bytes]:
    """The stream, cut into its reads."""
    event = stamped_event()
    if reads.event_bytes != EVENT_BYTES:
        event = b"data: " + b"x" * reads.event_bytes + b"\n\n"
    stream = event * reads.events
    return [stream[at : at + reads.read_bytes] for at in range(0, len(stream), reads.read_bytes)]


def ours(stream: list[bytes]) -> int:
    """The number of events that this project's parser finds."""
    parser = EventStreamParser(max_event_bytes=64 * MIB)
    return sum(len(parser.feed(piece)) for piece in stream)


class _Pieces(httpx.SyncByteStream):
    def __init__(self, stream: list[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)


def by_httpx_sse(stream: list[bytes]) -> int:
    """The number of events that httpx-sse finds in an httpx response."""
    headers = {"content-type": "text/event-stream"}
    response = httpx.Response(200, headers=headers, stream=_Pieces(stream))
    return sum(1 for _ in EventSource(response).iter_sse())


def by_openai(stream: list[bytes]) -> int:
    """The number of events that the decoder of OpenAI's SDK finds."""
    return sum(1 for _ in SSEDecoder().iter_bytes(iter(stream)))


def by_sseclient(stream: list[bytes]) -> int:
    """The number of events that sseclient-py finds."""
    return sum(1 for _ in sseclient.SSEClient(iter(stream)).events())


PARSERS: Mapping[str, Callable[[list[bytes]], int]] = {
    OURS: ours,
    HTTPX_SSE: by_httpx_sse,
    OPENAI: by_openai,
    "sseclient-py": by_sseclient,
}

Costs = dict[str, dict[str, float]]
"""Parser → name of the reads → microseconds of processor time per event."""


def measure() -> Costs:
    """Medians of RUNS runs in turn. eventsource-parser is included if this machine has Node."""
    seen: dict[str, dict[str, list[float]]] = {name: {} for name in PARSERS}
    for reads in PATTERNS:
        stream = pieces(reads)
        for _ in range(RUNS):
            for name, parser in PARSERS.items():
                started_at = time.process_time()
                found = parser(stream)
                took_us = (time.process_time() - started_at) * 1e6
                assert found == reads.events, (name, reads, found)
                seen[name].setdefault(reads.name, []).append(took_us / reads.events)
    costs = {
        name: {reads: statistics.median(values) for reads, values in by_reads.items()}
        for name, by_reads in seen.items()
    }
    if shutil.which("node") and shutil.which("npm"):
        install_packages(PEERS)
        jobs = [{**reads._asdict(), "event": stamped_event().decode()} for reads in PATTERNS]
        command = ["node", str(PEERS / "parse.mjs"), json.dumps({"runs": RUNS, "jobs": jobs})]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        costs["eventsource-parser in Node"] = json.loads(ended.stdout)
    return costs
