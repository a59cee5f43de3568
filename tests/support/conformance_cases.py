"""The cases of tests/conformance: streams as bytes, the expected results, and ways to cut the streams."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import strategies

from chat_stream.reading import last_events
from chat_stream.sse import EventStreamParser, ServerSentEvent
from tests.support.project import PROJECT

FOLDER = PROJECT / "tests" / "conformance"

SPLIT_SIZES: tuple[int | None, ...] = (1, 2, 3, 7, None)  # bytes per read; None is everything in one read
LARGE_BYTES = 100_000  # a body as large as this is read in pieces that are LARGE_FACTOR times as long
LARGE_FACTOR = 61


@dataclass(frozen=True)
class SseVector:
    """A body, its events by the standard, and the offset at which each event is complete."""

    name: str
    body: bytes
    expected: list[dict[str, Any]]
    deliver_by_offset: list[int]
    last_event_id: str
    reconnection_time_ms: int | None


@dataclass(frozen=True)
class StreamCase:
    """A provider's complete response body, and its .expected.json (INDEX.json explains the fields)."""

    name: str
    body: bytes
    expected: dict[str, Any]

    def reads(self, size: int | None) -> Iterator[bytes]:
        """The body in reads of `size` bytes; those of a large body are longer, or it would take a million."""
        return split(self.body, size and size * (LARGE_FACTOR if len(self.body) >= LARGE_BYTES else 1))


def sse_vectors() -> list[SseVector]:
    """Every vector of sse_vectors.json."""
    return [
        SseVector(
            name=vector["name"],
            body=base64.b64decode(vector["input_base64"]),
            expected=vector["expected"],
            deliver_by_offset=vector["deliver_by_offset"],
            last_event_id=vector["final"]["last_event_id"],
            reconnection_time_ms=vector["final"]["reconnection_time"],
        )
        for vector in json.loads((FOLDER / "sse_vectors.json").read_bytes())["vectors"]
    ]


def stream_cases(api: str | None = None) -> list[StreamCase]:
    """Every stream of openai_streams, or only those of one API ("chat", "responses")."""
    folder = FOLDER / "openai_streams"
    names = json.loads((folder / "INDEX.json").read_bytes())["streams"]
    cases = [
        StreamCase(
            name,
            (folder / f"{name}.sse").read_bytes(),
            json.loads((folder / f"{name}.expected.json").read_bytes()),
        )
        for name in names
    ]
    return [case for case in cases if api in (None, case.expected["api"])]


def events_of(case: StreamCase) -> Iterator[ServerSentEvent]:
    """The case's events, including a last one without its blank line if the body is complete."""
    parser = EventStreamParser()
    yield from parser.feed(case.body)
    if case.expected["http"]["ends"] == "clean":
        yield from last_events(parser)


def choices_of(case: StreamCase) -> int:
    """The number of choices that the caller of a case asks for."""
    return int(case.expected.get("n") or max(len(case.expected.get("choices", [])), 1))


def split(body: bytes, size: int | None) -> Iterator[bytes]:
    """The body in reads of `size` bytes; None is one read."""
    size = size or max(len(body), 1)
    return (body[start : start + size] for start in range(0, len(body), size))


def split_at(body: bytes, offsets: Sequence[int]) -> list[bytes]:
    """The body split at the offsets; empty pieces are kept."""
    edges = [0, *sorted(min(offset, len(body)) for offset in offsets), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def cuts(length: int) -> strategies.SearchStrategy[list[int]]:
    """Offsets for split_at, drawn by hypothesis."""
    return strategies.lists(strategies.integers(0, length), max_size=12)
