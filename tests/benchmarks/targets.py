"""The promised costs of the relay, compared with those measured in the same run (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.benchmarks import bench_cold_start, bench_parsers
from tests.benchmarks.bench_cold_start import ColdStart
from tests.benchmarks.bench_relays import PACES, Costs, added
from tests.benchmarks.contestants import COPY, DIRECT, NODE, RELAY_SSE, RELAY_TEXT, SDK, Contestant

MAX_MEMORY_MB = 40
MAX_FIRST_BYTE_MS, MAX_FIRST_BYTE_P99_MS, MAX_DELAY_MS = 3, 8, 1


class Verdict(NamedTuple):
    """One promise: `measured` must not exceed `limit`, both in the same unit or as a ratio."""

    figure: str
    limit: float
    measured: float
    unit: str = "times"

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.measured <= self.limit


def verdicts(
    costs: Mapping[Contestant, Costs],
    cold: Mapping[str, ColdStart],
    parsers: Mapping[str, Mapping[str, float]],
) -> list[Verdict]:
    """Every promise, except those about peers that were not measured."""
    return [*_of_relays(costs), *_of_parsers(parsers), *_of_cold_starts(cold)]


def cpu_us(costs: Mapping[Contestant, Costs], contestant: Contestant, pace: str) -> float:
    """Median processor time per event, in microseconds."""
    return statistics.median(costs[contestant].cpu_us[pace])


def _of_relays(costs: Mapping[Contestant, Costs]) -> Iterator[Verdict]:
    limits = {"200/s": {NODE: 0.5, SDK: 0.25, COPY: 3.0}, "unpaced": {NODE: 0.75, SDK: 0.15}}
    for pace, by_peer in limits.items():
        for peer, limit in by_peer.items():
            if peer in costs:
                ratio = cpu_us(costs, RELAY_TEXT, pace) / cpu_us(costs, peer, pace)
                yield Verdict(f"CPU per event, {pace}, text, to {peer.name}", limit, ratio)
    for pace in PACES:
        ratio = cpu_us(costs, RELAY_SSE, pace) / cpu_us(costs, RELAY_TEXT, pace)
        yield Verdict(f"CPU per event, {pace}, events, to text", 1.0, ratio)
    first = added(costs[RELAY_TEXT].first_bytes_ms, costs[DIRECT].first_bytes_ms)
    yield Verdict("added to the first byte, warm, median", MAX_FIRST_BYTE_MS, first.median, "ms")
    yield Verdict("added to the first byte, warm, p99", MAX_FIRST_BYTE_P99_MS, first.p99, "ms")
    if NODE in costs:
        node_first = added(costs[NODE].first_bytes_ms, costs[DIRECT].first_bytes_ms)
        ratio = first.median / node_first.median
        yield Verdict(f"added to the first byte, warm, to {NODE.name}", 2.0, ratio)
        short_us = [statistics.median(costs[one].short_cpu_us) for one in (RELAY_TEXT, NODE)]
        yield Verdict(f"CPU per short answer, text, to {NODE.name}", 1.0, short_us[0] / short_us[1])
    delay = added(costs[RELAY_TEXT].delays_ms["200/s"], costs[DIRECT].delays_ms["200/s"])
    yield Verdict("added delay per event, 200/s, median", MAX_DELAY_MS, delay.median, "ms")
    memory_mb = costs[RELAY_TEXT].memory_mb
    yield Verdict("peak memory after 1,000 requests and more", MAX_MEMORY_MB, memory_mb, "MB")


def _of_parsers(parsers: Mapping[str, Mapping[str, float]]) -> Iterator[Verdict]:
    each, ours = bench_parsers.EACH.name, parsers[bench_parsers.OURS]
    for peer, limit in ((bench_parsers.HTTPX_SSE, 0.27), (bench_parsers.OPENAI, 0.15)):
        yield Verdict(f"parser, {each}, to {peer}", limit, ours[each] / parsers[peer][each])
    # Not compared with the line of 1 MiB: it fits into the processor's cache and takes a third of the time.
    _, middle, last = bench_parsers.LINES
    growth = ours[last.name] / ours[middle.name] / (last.event_bytes / middle.event_bytes)
    yield Verdict(f"parser, time per byte: {last.name} to {middle.name}", 1.5, growth)


def _of_cold_starts(cold: Mapping[str, ColdStart]) -> Iterator[Verdict]:
    ready_ms, first_byte_ms = cold[bench_cold_start.RELAY]
    for peer, limit in ((bench_cold_start.BARE, 10.0), (bench_cold_start.SDK, 0.16)):
        yield Verdict(f"exec to the first `next`, to {peer}", limit, ready_ms / cold[peer].ready_ms)
    node = cold.get(bench_cold_start.NODE)
    if node and node.first_byte_ms and first_byte_ms:
        figure = f"exec to the first byte of the first answer, to {bench_cold_start.NODE}"
        yield Verdict(figure, 1.0, first_byte_ms / node.first_byte_ms)
