"""Runs 5,000 inputs of the coverage-guided fuzzer; `make fuzz` runs a million."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.fuzz_run import NO_ATHERIS, SHARES
from tests.support.project import PROJECT

RUNS = 5_000


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason=NO_ATHERIS)
@pytest.mark.parametrize("target", SHARES)
def test_no_input_breaks_a_promise_or_takes_more_than_linear_time(target: str, tmp_path: Path) -> None:
    runs = RUNS * SHARES[target] // 100
    # libFuzzer's memory limit includes the peak memory inherited from the parent process, and this process
    # may hold gigabytes by now. So a small process starts the fuzzer.
    command = [
        sys.executable,
        "-c",
        "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))",
        sys.executable,
        "-m",
        "tests.fuzz.fuzz_run",
        target,
        "--runs",
        str(runs),
        "--found",
        str(tmp_path),
    ]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}  # pytest removes the folder
    assert ended.returncode == 0, (ended.stdout, ended.stderr[-3000:], kept)
    assert f"{target}: {runs} inputs" in ended.stdout
