"""Renders the benchmark's report as Markdown (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from tests.benchmarks.bench_cold_start import RUNS as COLD_RUNS
from tests.benchmarks.bench_cold_start import ColdStart
from tests.benchmarks.bench_parsers import PATTERNS
from tests.benchmarks.bench_parsers import RUNS as PARSER_RUNS
from tests.benchmarks.bench_relays import PACES, RUNS, SHORT, Costs, Spread, added
from tests.benchmarks.contestants import DIRECT, Contestant
from tests.benchmarks.targets import Verdict, cpu_us


def report(
    machine: str,
    costs: Mapping[Contestant, Costs],
    cold: Mapping[str, ColdStart],
    parsers: Mapping[str, Mapping[str, float]],
    verdicts: Sequence[Verdict],
) -> str:
    """The report's text.

    Args:
        machine: date, processor and versions, in one sentence.
    """
    served = [contestant for contestant in costs if contestant is not DIRECT]
    sections = [
        "# Benchmark",
        f"{machine} Times differ between machines, ratios hardly do. Written by `make bench`.",
        *_event_costs(served, costs),
        *_delay_section(served, costs),
        *_short_answers(served, costs),
        *_cold_starts(cold),
        *_parsers(parsers),
        *_promises(verdicts),
    ]
    return "\n\n".join(sections) + "\n"


def _event_costs(served: Sequence[Contestant], costs: Mapping[Contestant, Costs]) -> list[str]:
    return [
        "## Processor time per event",
        "Microseconds of user and system time of each service's process, from the first delta on: medians of"
        f" {RUNS} runs in turn. An event has 330 bytes and is one TCP write of the upstream.",
        _table(
            ["", *PACES],
            [[c.name, *(_us(cpu_us(costs, c, pace)) for pace in PACES)] for c in served],
        ),
    ]


def _delay_section(served: Sequence[Contestant], costs: Mapping[Contestant, Costs]) -> list[str]:
    return [
        "## Added delay",
        "Milliseconds from the upstream's write to the caller's read, minus the same without a service in"
        " between: median / 99th percentile. The relay is called through the local emulator, which causes a"
        " part of the delay; the others are called directly.",
        _table(
            ["", "first byte", *(pace for pace in PACES if pace != "unpaced")],
            [_delays(c, costs) for c in served],
        ),
    ]


def _short_answers(served: Sequence[Contestant], costs: Mapping[Contestant, Costs]) -> list[str]:
    return [
        "## Short answers, memory",
        f"Answers of {SHORT.events} events, one after the other on one connection.",
        _table(
            ["", "answers/s", "CPU per answer", "peak memory"],
            [
                [
                    c.name,
                    f"{statistics.median(costs[c].requests_per_s):.0f}",
                    f"{statistics.median(costs[c].short_cpu_us) / 1000:.2f} ms",
                    f"{costs[c].memory_mb:.0f} MB",
                ]
                for c in served
            ],
        ),
    ]


def _cold_starts(cold: Mapping[str, ColdStart]) -> list[str]:
    return [
        "## Cold start",
        f"Milliseconds from exec, medians of {COLD_RUNS} runs in turn. The relay waits for work once it has"
        " asked for its first invocation, a web server once it listens.",
        _table(
            ["", "waits for work", "first byte of the first answer"],
            [
                [name, f"{c.ready_ms:.0f}", "" if c.first_byte_ms is None else f"{c.first_byte_ms:.0f}"]
                for name, c in cold.items()
            ],
        ),
    ]


def _parsers(parsers: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        "## Parsers of server-sent events",
        f"Microseconds of processor time per event, medians of {PARSER_RUNS} runs in turn.",
        _table(
            ["", *(reads.name for reads in PATTERNS)],
            [
                [name, *(_us(by_reads[reads.name]) for reads in PATTERNS)]
                for name, by_reads in parsers.items()
            ],
        ),
    ]


def _promises(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        "## Promises",
        _table(
            ["", "at most", "measured", ""],
            [
                [
                    v.figure,
                    f"{v.limit:g} {v.unit}",
                    f"{v.measured:.2f} {v.unit}",
                    "kept" if v.holds else "not kept",
                ]
                for v in verdicts
            ],
        ),
    ]


def _delays(contestant: Contestant, costs: Mapping[Contestant, Costs]) -> list[str]:
    seen, without = costs[contestant], costs[DIRECT]
    spreads = [added(seen.first_bytes_ms, without.first_bytes_ms)]
    spreads += [added(seen.delays_ms[p], without.delays_ms[p]) for p in PACES if p != "unpaced"]
    return [contestant.name, *map(_spread, spreads)]


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} / {spread.p99:.2f}"


def _us(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
