"""The benchmark's report and its promises, of made-up figures; and what the pages quote of the real one."""

from __future__ import annotations

import pytest

from tests.benchmarks import bench_cold_start, bench_parsers
from tests.benchmarks.__main__ import REPORT
from tests.benchmarks.bench_cold_start import ColdStart
from tests.benchmarks.bench_relays import PACES, Costs
from tests.benchmarks.contestants import COPY, DIRECT, NODE, RELAY_SSE, RELAY_TEXT, SDK, Contestant
from tests.benchmarks.report import report
from tests.benchmarks.targets import Verdict, verdicts
from tests.support.documentation import PAGES

README = PAGES["README.md"].partition("## What it costs\n")[2].partition("\n## ")[0]
PAGE = PAGES["docs/performance.md"].partition("\n## Where the time went\n")[0]


def costs_of(us: float, delay_ms: float = 0.5) -> Costs:
    costs = Costs()
    for pace in PACES:
        costs.cpu_us[pace] = [us * 3, us, us / 3]
        costs.delays_ms[pace] = [delay_ms] * 100
    costs.first_bytes_ms = [delay_ms * 4] * 100
    costs.short_cpu_us, costs.requests_per_s, costs.memory_mb = [us * 10], [300.0], 30.0
    return costs


def seen() -> dict[Contestant, Costs]:
    figures = {DIRECT: 1.0, RELAY_TEXT: 100.0, RELAY_SSE: 90.0, NODE: 300.0, SDK: 900.0, COPY: 40.0}
    return {
        contestant: costs_of(us, 0.1 if contestant is DIRECT else 0.5) for contestant, us in figures.items()
    }


COLD = {bench_cold_start.BARE: ColdStart(10, None), bench_cold_start.RELAY: ColdStart(80, 90)}
COLD[bench_cold_start.SDK] = ColdStart(700, 800)
COLD[bench_cold_start.NODE] = ColdStart(100, 120)
PARSERS = {
    name: {reads.name: float(us) for reads in bench_parsers.PATTERNS}
    for name, us in ((bench_parsers.OURS, 1), (bench_parsers.HTTPX_SSE, 4), (bench_parsers.OPENAI, 8))
}


def named(found: list[Verdict], part: str) -> Verdict:
    (verdict,) = (verdict for verdict in found if part in verdict.figure)
    return verdict


def test_a_broken_promise_is_reported() -> None:
    costs = seen()
    costs[RELAY_TEXT] = costs_of(1000.0)
    found = verdicts(costs, COLD, PARSERS)
    assert not named(found, "200/s, text, to Node").holds
    text = report("Today, here.", costs, COLD, PARSERS, found)
    assert (
        "| CPU per event, 200/s, text, to Node: fetch, eventsource-parser, Express | 0.5 times | 3.33 times |"
        in text
    )
    assert "not kept" in text


@pytest.mark.parametrize(("text", "least"), [(README, 6), (PAGE, 14)], ids=["README", "performance"])
def test_the_pages_quote_the_report(text: str, least: int) -> None:
    measured = REPORT.read_text(encoding="utf-8")
    quoted = [line for line in text.splitlines() if line.startswith("|")]
    rows = [line for line in measured.splitlines() if line.startswith("|")]
    assert len(quoted) >= least
    assert [line for line in quoted if line not in rows] == []
    date = measured.splitlines()[2].partition(",")[0]
    assert date in text
