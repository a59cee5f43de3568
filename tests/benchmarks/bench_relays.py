"""Measures a relayed answer's costs in each service: processor time, delay, memory, requests per second."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from typing import NamedTuple

from tests.benchmarks.caller import Caller
from tests.benchmarks.contestants import Contestant, Running, paced_upstream, present
from tests.benchmarks.paced_upstream import Pace
from tests.support.process_costs import cpu_us, peak_memory_mb

RUNS = 7
PACES = {
    "50/s": Pace(50, 1, 100),
    "200/s": Pace(200, 1, 400),
    "200/s in eights": Pace(200, 8, 400),
    "1000/s": Pace(1000, 1, 2000),
    "unpaced": Pace(0, 1, 20_000),
}
SHORT = Pace(0, 1, 10)
SHORT_ROUNDS, SHORT_ANSWERS = 5, 200
SETTLED_S = 0.05  # pause after an answer, before its cost is read


class Spread(NamedTuple):
    """Median and 99th percentile of many values."""

    median: float
    p99: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """The spread of at least two values."""
        return cls(statistics.median(values), statistics.quantiles(values, n=100, method="inclusive")[98])


class Costs:
    """The measurements of one service.

    Attributes:
        cpu_us: pace → processor time per event in each run, from the first delta on.
        delays_ms: pace → time from the upstream's write to the caller's read of each delta.
        first_bytes_ms: for short answers, time from the request to the first byte of the body.
        short_cpu_us: for short answers, processor time per whole answer in each round.
        requests_per_s: for short answers one after the other, in each round.
        memory_mb: peak memory at the end.
    """

    def __init__(self) -> None:
        self.cpu_us: dict[str, list[float]] = defaultdict(list)
        self.delays_ms: dict[str, list[float]] = defaultdict(list)
        self.first_bytes_ms: list[float] = []
        self.short_cpu_us: list[float] = []
        self.requests_per_s: list[float] = []
        self.memory_mb = 0.0


def measure() -> dict[Contestant, Costs]:
    """Costs of every service that this machine has. All run at the same time and are called in turn."""
    costs = {contestant: Costs() for contestant in present()}
    with contextlib.ExitStack() as started:
        upstream_url = started.enter_context(paced_upstream())
        running = _started(list(costs), upstream_url, started)
        callers = {contestant: Caller(running[contestant].url, contestant.request) for contestant in costs}
        for caller in callers.values():
            started.callback(caller.close)
        for name, pace in PACES.items():
            for _ in range(RUNS):
                for contestant, caller in callers.items():
                    _ask_at(pace, name, caller, running[contestant].pid, costs[contestant])
        for _ in range(SHORT_ROUNDS):
            for contestant, caller in callers.items():
                _ask_shortly(caller, running[contestant].pid, costs[contestant])
        for contestant, seen in costs.items():
            seen.memory_mb = peak_memory_mb(running[contestant].pid)
    return costs


def _started(
    contestants: list[Contestant], upstream_url: str, started: contextlib.ExitStack
) -> dict[Contestant, Running]:
    """Starts each service once, even if it is called in several formats."""
    services = {
        start: started.enter_context(start(upstream_url))
        for start in dict.fromkeys(contestant.start for contestant in contestants)
    }
    return {contestant: services[contestant.start] for contestant in contestants}


def _ask_at(pace: Pace, name: str, caller: Caller, pid: int, costs: Costs) -> None:
    caller.warm_up()
    time.sleep(SETTLED_S)
    before_us = 0.0

    def note_begin() -> None:
        nonlocal before_us
        before_us = cpu_us(pid)

    answer = caller.ask(pace, note_begin)
    time.sleep(SETTLED_S)
    costs.cpu_us[name].append((cpu_us(pid) - before_us) / pace.events)
    costs.delays_ms[name] += answer.delays_ms


def _ask_shortly(caller: Caller, pid: int, costs: Costs) -> None:
    caller.warm_up()
    before_us, started_at = cpu_us(pid), time.monotonic()
    for _ in range(SHORT_ANSWERS):
        costs.first_bytes_ms.append(caller.ask(SHORT).first_byte_ms)
    costs.requests_per_s.append(SHORT_ANSWERS / (time.monotonic() - started_at))
    time.sleep(SETTLED_S)
    costs.short_cpu_us.append((cpu_us(pid) - before_us) / SHORT_ANSWERS)


def added(seen: list[float], direct: list[float]) -> Spread:
    """What a service adds to the median of `direct`, the time without any service."""
    without_ms = statistics.median(direct)
    return Spread.of([value - without_ms for value in seen])
