"""How long inputs take for their length: what takes more than linear time stands out.

The promise is that no input takes over ten times the median time per byte. Measured is the processor time of
this process. An input's time per byte is its time divided by the bytes that were read for it, and by
`fixed_bytes` more: however short it is, there is a request to be made and an answer to be ended, which costs
the same for each, and would otherwise be the "time per byte" of all short inputs. The median is that of the
inputs of the same kind (the same status, say; what a kind says behind a colon does not count), as a refused
request does less than an answered one. A kind of which hardly any were seen is measured by the highest median
of the others.

A machine that does other things makes any input look slow now and then. So an input that stands out is timed
again, several times and at several moments, and its shortest time counts.
"""

from __future__ import annotations

import heapq
import math
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

LIMIT = 10.0

_FEW = 5
_KEPT = 40  # of the slowest of each kind, in which the very slowest must be
_TIMES = 7  # at each moment
_MOMENTS = 5
_PAUSE_S = 0.2


class Seen(NamedTuple):
    """What a target tells of an input.

    Attributes:
        kind: what it was, such as the status of the answer.
        made_bytes: how many bytes the target has made of it and read again: a document stands for a stream
            that may be many times as long.
    """

    kind: str
    made_bytes: int = 0


Run = Callable[[bytes], Seen]


class Slowest(NamedTuple):
    """The input that takes longest for its length, once timed again."""

    ratio: float
    kind: str
    data: bytes


class Timings:
    """The times of all inputs of a run.

    Args:
        fixed_bytes: what is added to the length of each.

    Attributes:
        counts: how many inputs there were of each kind.
    """

    def __init__(self, fixed_bytes: int) -> None:
        self._fixed_bytes = fixed_bytes
        self._all: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._slowest: dict[str, list[tuple[float, int, bytes]]] = defaultdict(list)
        self._count = 0
        self.counts: Counter[str] = Counter()

    def run(self, run: Run, data: bytes) -> None:
        """Run the target on an input, and take its time. Raises what the target raises."""
        kind, ns_per_byte = self._timed(run, data)
        self.counts[kind] += 1
        self._count += 1
        group = kind.partition(":")[0]
        self._all[group].append(ns_per_byte)
        kept = self._slowest[group]
        if len(kept) < _KEPT:
            heapq.heappush(kept, (ns_per_byte, self._count, data))
        elif ns_per_byte > kept[0][0]:
            heapq.heapreplace(kept, (ns_per_byte, self._count, data))

    @property
    def median_ns_per_byte(self) -> float:
        """Of all inputs."""
        return median(time_ for times in self._all.values() for time_ in times)

    def slowest(self, run: Run) -> Slowest:
        """The input with the highest ratio to its median, once those that stand out were timed again."""
        return max(self._timed_again(run), key=lambda slowest: slowest.ratio)

    def _timed_again(self, run: Run) -> Iterator[Slowest]:
        medians = {group: median(times) for group, times in self._all.items() if len(times) >= _FEW}
        highest = max(medians.values(), default=self.median_ns_per_byte)
        for group, kept in self._slowest.items():
            usual = medians.get(group, highest)
            best = 0.0
            for ns_per_byte, _, data in sorted(kept, reverse=True):
                if ns_per_byte / usual <= best:
                    break  # no later one can be slower than what was confirmed
                ratio = min(ns_per_byte, self._best(run, data, usual)) / usual
                if ratio > best:
                    best = ratio
                    yield Slowest(ratio, group, data)

    def _best(self, run: Run, data: bytes, usual: float) -> float:
        """The input's shortest time per byte; it is only looked for until that is well within the limit."""
        best = math.inf
        for _ in range(_MOMENTS):
            best = min(best, *(self._timed(run, data)[1] for _ in range(_TIMES)))
            if best < usual * LIMIT / 2:
                break
            time.sleep(_PAUSE_S)
        return best

    def _timed(self, run: Run, data: bytes) -> tuple[str, float]:
        """The input's kind and its time per byte, in nanoseconds."""
        started_ns = time.process_time_ns()
        seen = run(data)
        taken_ns = time.process_time_ns() - started_ns
        return seen.kind, taken_ns / (len(data) + seen.made_bytes + self._fixed_bytes)
