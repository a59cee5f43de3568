"""The fuzz targets: each takes any bytes, and raises AssertionError if a promise is broken.

A target returns the kind of the input, such as the status of the answer: a run with a single kind has tested
little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.fuzz.fuzz_timing import Run
from tests.fuzz.targets.journeys import answer_event, answer_request, relay_upstream
from tests.fuzz.targets.streams import decode_events, parse_events, read_document
from tests.fuzz.targets.tokens import identify_token


class Target(NamedTuple):
    """One fuzz target.

    Attributes:
        run: runs one input and returns its kind.
        kinds: the kinds that a run must have seen.
        max_bytes: the maximum size of an input.
        fixed_bytes: the fixed cost of every input, expressed as the number of bytes that take the same time.
    """

    run: Run
    kinds: frozenset[str]
    max_bytes: int
    fixed_bytes: int


_STATUSES_OF_REQUESTS = frozenset({"200", "health", "400", "401", "404", "405", "413"})
_OUTCOMES = frozenset({"completed", "incomplete", "failed", "truncated"})
_DOCUMENTS = frozenset({"answer", "error", "no answer", "no object", "no JSON"})

TARGETS: Mapping[str, Target] = {
    "events": Target(answer_event, _STATUSES_OF_REQUESTS, 8192, 1024),
    "requests": Target(answer_request, _STATUSES_OF_REQUESTS | {"410"}, 16384, 1024),
    "relay": Target(relay_upstream, frozenset({"200", "400", "429", "502", "504"}), 4096, 1024),
    "sse": Target(parse_events, frozenset({"events", "none", "capped", "capped: too large"}), 4096, 64),
    "decoders": Target(decode_events, _OUTCOMES, 8192, 256),
    "tokens": Target(identify_token, frozenset({"taken", "refused", "no token"}), 4096, 2048),
    "documents": Target(read_document, _DOCUMENTS, 4096, 256),
}
