"""Whether an upstream streams, by when its pieces arrive (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from chat_stream.json_values import object_in

MIN_DELTAS = 10
# Twice what the fastest hardware writes: an answer that comes faster was finished before it was sent.
MAX_TOKENS_PER_S = 5000.0
MIN_WAIT_S = 0.3  # a model without delay, as in tests, holds nothing back
GROUP_DELTAS = 4
GROUP_INTERVAL_S = 0.3


class Read(NamedTuple):
    """A piece of the answer: when it arrived, in seconds after the question, and how many deltas it held."""

    at_s: float
    deltas: int


class Flow(Enum):
    """How the answer came."""

    STREAMED = "piece by piece"
    AT_ONCE = "all at once, after it was finished"
    GROUPED = "in groups"
    TOO_SHORT = "too short to tell"


def flow(reads: Sequence[Read], tokens: int | None) -> Flow:
    """How the upstream sent its answer.

    Args:
        tokens: the tokens of the visible answer, if the upstream counts them.
    """
    deltas = sum(read.deltas for read in reads)
    if deltas < MIN_DELTAS:
        # One delta with a hundred tokens is an answer that was finished before it was sent.
        is_whole = bool(reads) and (tokens or 0) >= MIN_DELTAS * GROUP_DELTAS and reads[0].at_s > MIN_WAIT_S
        return Flow.AT_ONCE if is_whole and len(reads) == 1 else Flow.TOO_SHORT
    spread_s = reads[-1].at_s - reads[0].at_s
    is_too_fast = spread_s < max(tokens or 0, deltas) / MAX_TOKENS_PER_S
    if is_too_fast and reads[0].at_s > max(MIN_WAIT_S, 5 * spread_s):
        return Flow.AT_ONCE
    interval_s = spread_s / max(len(reads) - 1, 1)
    if deltas >= GROUP_DELTAS * len(reads) and interval_s > GROUP_INTERVAL_S:
        return Flow.GROUPED
    return Flow.STREAMED


def visible_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """The output tokens without those of the reasoning, in the usage of either API; None if not counted."""
    usage = usage or {}
    for total in ("completion_tokens", "output_tokens"):
        if isinstance(count := usage.get(total), int):
            hidden = object_in(usage.get(f"{total}_details")).get("reasoning_tokens")
            return max(count - (hidden if isinstance(hidden, int) else 0), 0)
    return None
