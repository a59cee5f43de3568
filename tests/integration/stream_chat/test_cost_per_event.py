"""What an event costs on its way through the relay, counted in calls, which do not depend on the machine.

A call is one of a function, a method or a built-in. Each costs about a microsecond where an event comes every
few milliseconds, for the processor's caches have forgotten it by then.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.replay_upstream import DONE, Reply, event

FEW, MANY = 40, 140
PAUSE_S = 0.002  # so that each event is read separately
ATTEMPTS = 3  # on a busy machine one read may bring several events
MAX_CALLS = 85  # about 72 when this was written; over 250 with httpx and json for each event


def calls(relay: RelayCall, fmt: str, events: int) -> Counter[str]:
    """The calls made while an answer of this many events is relayed."""
    counted: Counter[str] = Counter()

    def count(frame: Any, kind: str, argument: Any) -> None:
        if kind == "call":
            counted[frame.f_code.co_qualname] += 1
        elif kind == "c_call":
            counted[argument.__qualname__] += 1

    pieces = [piece for number in range(events) for piece in (event(f"word{number} "), PAUSE_S)]
    sys.setprofile(count)
    try:
        relayed = relay(Reply([*pieces, event(finish="stop"), DONE]), fmt=fmt)
    finally:
        sys.setprofile(None)
    assert relayed.transcript["timings"]["delta_count"] == events
    return counted


def calls_of_an_event(relay: RelayCall, fmt: str) -> dict[str, float]:
    """How often an event calls each function, from a short and a long answer."""
    few, many = calls(relay, fmt, FEW), calls(relay, fmt, MANY)
    return {name: (number - few[name]) / (MANY - FEW) for name, number in many.items()}


@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_an_event_takes_few_calls_from_read_to_write(relay: RelayCall, fmt: str) -> None:
    each = min((calls_of_an_event(relay, fmt) for _ in range(ATTEMPTS)), key=lambda each: sum(each.values()))
    assert sum(each.values()) <= MAX_CALLS, sorted(each.items(), key=lambda item: -item[1])[:40]
