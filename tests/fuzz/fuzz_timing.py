"""Measures the time of inputs per byte, to find those that take more than linear time.

The promise is that no input takes more than ten times the median time per byte, in processor time of this
process. An input's time per byte is its time divided by the number of bytes read for it plus `fixed_bytes`.
The latter accounts for the costs that every input has, such as making a request and ending an answer, which
would otherwise dominate the time per byte of short inputs. The median is that of all inputs of the same kind
(the same status, for instance; the part of a kind after a colon is ignored), since a refused request does
less than an answered one. Inputs of a rare kind are compared with the highest median of the other kinds.

On a busy machine any input may look slow at times. So slow inputs are measured again, several times and with
pauses in between, and the shortest time counts.
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
_KEPT = 40  # slowest inputs kept of each kind, which are measured again
_TIMES = 7  # measurements in a row
_MOMENTS = 5  # rows, with a pause in between
_PAUSE_S = 0.2


class Seen(NamedTuple):
    """A target's report about an input.

    Attributes:
        kind: the kind of the input, such as the status of the answer.
        made_bytes: the number of bytes that the target has generated from the input and read: the stream for
            a document may be many times as long.
    """

    kind: str
    made_bytes: int = 0


Run = Callable[[bytes], Seen]


class Slowest(NamedTuple):
    """The input with the longest time per byte, after measuring it again."""

    ratio: float
    kind: str
    data: bytes


class Timings:
    """The times of all inputs of a run.

    Args:
        fixed_bytes: added to the length of each input.

    Attributes:
        counts: the number of inputs of each kind.
    """

    def __init__(self, fixed_bytes: int) -> None:
        self._fixed_bytes = fixed_bytes
        self._all: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._slowest: dict[str, list[tuple[float, int, bytes]]] = defaultdict(list)
        self._count = 0
        self.counts: Counter[str] = Counter()

    def run(self, run: Run, data: bytes) -> None:
        """Run the target on an input and measure it. Raises what the target raises."""
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
        """The median of all inputs."""
        return median(time_ for times in self._all.values() for time_ in times)

    def slowest(self, run: Run) -> Slowest:
        """The input with the highest ratio to its median, after measuring the slow inputs again."""
        return max(self._timed_again(run), key=lambda slowest: slowest.ratio)

    def _timed_again(self, run: Run) -> Iterator[Slowest]:
        medians = {group: median(times) for group, times in self._all.items() if len(times) >= _FEW}
        highest = max(medians.values(), default=self.median_ns_per_byte)
        for group, kept in self._slowest.items():
            usual = medians.get(group, highest)
            best = 0.0
            for ns_per_byte, _, data in sorted(kept, reverse=True):
                if ns_per_byte / usual <= best:
                    break  # the remaining ones were faster than this confirmed one
                ratio = min(ns_per_byte, self._best(run, data, usual)) / usual
                if ratio > best:
                    best = ratio
                    yield Slowest(ratio, group, data)

    def _best(self, run: Run, data: bytes, usual: float) -> float:
        """The input's shortest time per byte, measured until it is well within the limit."""
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
