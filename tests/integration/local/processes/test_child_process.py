"""The output of a child process."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from local.processes.child_process import ChildProcess, OrphanGuard


def output_of(program: str, folder: Path) -> list[str]:
    """The lines in which the output of a Python program is passed on."""
    lines: list[str] = []

    async def run() -> None:
        guard = OrphanGuard()
        await guard.start()
        child = ChildProcess(guard, lines.append)
        await child.start([sys.executable, "-c", program], {}, folder)
        await child.wait()
        await guard.stop()

    asyncio.run(run())
    return lines


def test_the_lines_of_a_log_record_are_printed_below_each_other(tmp_path: Path) -> None:
    record = r"[ERROR] ValueError: no\rTraceback (most recent call last):\r\xa0\xa0File 1\n"
    lines = output_of(f"import sys; sys.stdout.write('{record}next')", tmp_path)
    assert lines == ["[ERROR] ValueError: no", "Traceback (most recent call last):", "\xa0\xa0File 1", "next"]


def test_a_line_of_any_length_arrives_whole(tmp_path: Path) -> None:
    (line,) = output_of("print('x' * 3_000_000)", tmp_path)
    assert len(line) == 3_000_000
