"""How long inputs take for their length: what takes more than linear time stands out.

The promise is that no input takes over ten times the median time per byte. Measured is the processor time of
this process. An input's time per byte is its time divided by its length and `fixed_bytes` more: however short
it is, there is a request to be made and an answer to be ended, which costs the same for each, and would
otherwise be the "time per byte" of all short inputs. The median is that of the inputs of the same kind (the
same status, say; whatever a kind says behind a colon does not count), as a refused request does less than an
answered one. A kind of which hardly any were seen is measured by the highest median of the others.

A machine that does other things makes any input look slow now and then. So an input that stands out is timed
again, several times, and its shortest time counts.
"""

from __future__ import annotations

import heapq
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

LIMIT = 10.0

_FEW = 5
_KEPT = 40  # of the slowest of each kind, in which the very slowest must be
_TIMES = 7


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

    def add(self, kind: str, data: bytes, taken_ns: int) -> None:
        """Take the time of one input, of the kind that its target told."""
        ns_per_byte = self._per_byte(data, taken_ns)
        self.counts[kind] += 1
        kind = kind.partition(":")[0]
        self._all[kind].append(ns_per_byte)
        self._count += 1
        kept = self._slowest[kind]
        if len(kept) < _KEPT:
            heapq.heappush(kept, (ns_per_byte, self._count, data))
        elif ns_per_byte > kept[0][0]:
            heapq.heapreplace(kept, (ns_per_byte, self._count, data))

    @property
    def median_ns_per_byte(self) -> float:
        """Of all inputs."""
        return median(time_ for times in self._all.values() for time_ in times)

    def slowest(self, run: Callable[[bytes], object]) -> Slowest:
        """The input with the highest ratio to its median, once those that stand out were timed again."""
        return max(self._timed_again(run), key=lambda slowest: slowest.ratio)

    def _timed_again(self, run: Callable[[bytes], object]) -> Iterator[Slowest]:
        medians = {kind: median(times) for kind, times in self._all.items() if len(times) >= _FEW}
        highest = max(medians.values(), default=self.median_ns_per_byte)
        for kind, kept in self._slowest.items():
            usual = medians.get(kind, highest)
            best = 0.0
            for ns_per_byte, _, data in sorted(kept, reverse=True):
                if ns_per_byte / usual <= best:
                    break  # no later one can be slower than what was confirmed
                ratio = (
                    min(ns_per_byte, *(self._per_byte(data, timed(run, data)) for _ in range(_TIMES))) / usual
                )
                if ratio > best:
                    best = ratio
                    yield Slowest(ratio, kind, data)

    def _per_byte(self, data: bytes, taken_ns: int) -> float:
        return taken_ns / (len(data) + self._fixed_bytes)


def timed(run: Callable[[bytes], object], data: bytes) -> int:
    """The processor time that one input takes, in nanoseconds."""
    started = time.process_time_ns()
    run(data)
    return time.process_time_ns() - started
