"""When the pieces of an answer arrived, and whether something held them back on the way (pure).

A slow model and a buffering proxy look alike to a caller, so the arrivals are compared with the relay's own
timings of the same answer (docs/api.md, "Timings"). The comparison uses durations only, never points in time:
the two clocks need not agree, and a cold start or a slow network moves all pieces alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

# Pieces closer together than this are one arrival: the relay's writes may share a packet.
MERGED_S = 0.01
# Shorter answers and differences are noise: a busy machine or network delays a reader by as much.
MIN_SPREAD_S = 0.4
MIN_DIFFERENCE_S = 0.3
MIN_READS = 4
# An answer that took the relay one second arrives within 0.35 s only if it was held back.
BURST_SHARE = 0.35
# How much longer the longest pause may be than the relay's own. Between two answers of a model pauses differ.
PAUSE_SLACK_S = 0.75
PAUSE_SLACK_OTHER_ANSWER_S = 2.0
SLOWED_SLACK_S = 1.0
# A group: less than a quarter of the relay's writes arrived, at intervals that a reader sees.
GROUP_SHARE = 0.25
MIN_GROUP_INTERVAL_S = 0.15

PICTURE_COLUMNS = 48
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = ".:=#"


class Arrival(NamedTuple):
    """A piece of the body: when it arrived, in seconds after the request was sent, and its size."""

    at_s: float
    size_bytes: int


class RelayTimings(NamedTuple):
    """The relay's own timings of an answer, in seconds; `reads` is how many writes it made at most."""

    spread_s: float
    longest_pause_s: float
    reads: int


class Pace(Enum):
    """How an answer arrived, compared with how the relay sent it."""

    STREAMED = "piece by piece"
    BURST = "in one burst"
    GROUPED = "in groups"
    SLOWED = "more slowly than sent"
    TOO_SHORT = "too quickly to tell"


def spread_s(arrivals: Sequence[Arrival]) -> float:
    """The time from the first piece to the last."""
    return arrivals[-1].at_s - arrivals[0].at_s if arrivals else 0.0


def merged(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """The arrivals with those that belong together as one."""
    together: list[Arrival] = []
    for arrival in arrivals:
        if together and arrival.at_s - together[-1].at_s < MERGED_S:
            together[-1] = together[-1]._replace(size_bytes=together[-1].size_bytes + arrival.size_bytes)
        else:
            together.append(arrival)
    return together


def longest_pause_s(arrivals: Sequence[Arrival]) -> float:
    """The longest time between two pieces."""
    return max((later.at_s - earlier.at_s for earlier, later in pairwise(arrivals)), default=0.0)


def pace(arrivals: Sequence[Arrival], relay: RelayTimings, *, same_answer: bool, held_s: float) -> Pace:
    """How the answer arrived.

    Args:
        relay: the relay's timings of this answer, or of another answer to the same question.
        same_answer: which of the two.
        held_s: how much later than the relay's head the first piece arrived. Counts only for another answer:
            a model may answer faster the second time, but then its first piece is not late.
    """
    if relay.spread_s < MIN_SPREAD_S or relay.reads < MIN_READS:
        return Pace.TOO_SHORT
    pieces = merged(arrivals)
    spread = spread_s(pieces)
    is_compressed = spread < BURST_SHARE * relay.spread_s and relay.spread_s - spread > MIN_DIFFERENCE_S
    if is_compressed and (same_answer or held_s > max(MIN_DIFFERENCE_S, relay.spread_s / 2)):
        return Pace.BURST
    if spread > (1.5 if same_answer else 4) * relay.spread_s + SLOWED_SLACK_S:
        return Pace.SLOWED
    slack_s = PAUSE_SLACK_S if same_answer else PAUSE_SLACK_OTHER_ANSWER_S
    if longest_pause_s(pieces) > 3 * relay.longest_pause_s + slack_s:
        return Pace.GROUPED
    interval_s = spread / max(len(pieces) - 1, 1)
    if (
        len(pieces) < GROUP_SHARE * relay.reads
        and interval_s > MIN_GROUP_INTERVAL_S
        and interval_s > 2 * relay.spread_s / relay.reads
    ):
        return Pace.GROUPED
    return Pace.STREAMED


def rate_after(arrivals: Sequence[Arrival], skipped_bytes: int) -> float | None:
    """Bytes per second after the first `skipped_bytes`; None if nothing follows them."""
    received, began_at_s, counted = 0, None, 0
    for arrival in arrivals:
        if began_at_s is not None:
            counted += arrival.size_bytes
        received += arrival.size_bytes
        if began_at_s is None and received >= skipped_bytes:
            began_at_s = arrival.at_s
    if began_at_s is None or not counted:
        return None
    return counted / max(arrivals[-1].at_s - began_at_s, 0.001)


def picture(arrivals: Sequence[Arrival], ended_s: float, *, ascii_only: bool = False) -> str:
    """One line that shows when the bytes arrived, from the request to the end of the answer."""
    columns = [0] * PICTURE_COLUMNS
    for arrival in arrivals:
        share = min(max(arrival.at_s / ended_s, 0.0), 1.0) if ended_s > 0 else 0.0
        columns[min(int(share * PICTURE_COLUMNS), PICTURE_COLUMNS - 1)] += arrival.size_bytes
    blocks, most = (ASCII_BLOCKS if ascii_only else BLOCKS), max([*columns, 1])
    shown = (blocks[(len(blocks) - 1) * size // most] if size else " " for size in columns)
    return f"|{''.join(shown)}|"


def in_numbers(arrivals: Sequence[Arrival]) -> str:
    """The arrivals as numbers: how many, when the first and the last, and a few in between."""
    pieces = merged(arrivals)
    if not pieces:
        return "no piece arrived"
    if len(pieces) == 1:
        return f"1 arrival at {pieces[0].at_s:.2f} s"
    step = (len(pieces) - 1) / min(len(pieces) - 1, 5)
    shown = sorted({round(number * step) for number in range(min(len(pieces), 6))})
    times = " ".join(f"{pieces[number].at_s:.2f}" for number in shown)
    return f"{len(pieces)} arrivals ({times} s)"
