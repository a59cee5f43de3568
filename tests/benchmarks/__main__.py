"""`python -m tests.benchmarks`, with shared/ on the path: measure, and write the report."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path

from tests.benchmarks import bench_cold_start, bench_parsers, bench_relays
from tests.benchmarks.report import report
from tests.benchmarks.targets import verdicts

REPORT = Path(__file__).parent / "report.md"


def machine() -> str:
    """The date, processor and versions, in one sentence."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    node = shutil.which("node") and subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=True
    )
    versions = [f"Python {platform.python_version()}", *([f"Node {node.stdout.strip()}"] if node else [])]
    return (
        f"{datetime.now(UTC).date()}, {cpu_count()} cores of {model[1] if model else platform.machine()},"
        f" Linux {platform.release().split('-')[0]}, {', '.join(versions)}."
    )


def main() -> None:
    """Measure, then print and write the report. Nothing else should run on the machine meanwhile."""
    if sys.platform != "linux":
        sys.exit("make bench needs Linux, which reports the CPU time of other processes")
    cold, parsers = bench_cold_start.measure(), bench_parsers.measure()
    costs = bench_relays.measure()
    text = report(machine(), costs, cold, parsers, verdicts(costs, cold, parsers))
    REPORT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
