"""Run the programs of tests/clients, which use client libraries from npm, once for a whole list of jobs."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import PROJECT

CLIENTS = PROJECT / "tests" / "clients"

_INSTALL_LIMIT_S = 100.0
_RUN_LIMIT_S = 60.0


def run_node_program(program: str, *arguments: str, jobs: Sequence[Any]) -> list[Any]:
    """The result of each job, in order. Skips the test if this machine has no Node."""
    seen: list[Any] = json.loads(run_node(program, *arguments, given=json.dumps(jobs)))
    assert len(seen) == len(jobs)
    return seen


def run_node(program: str, *arguments: str, given: str = "") -> str:
    """The output of a program of tests/clients. Skips the test if this machine has no Node."""
    install_packages()
    ended = subprocess.run(
        ["node", program, *arguments],
        cwd=CLIENTS,
        input=given,
        capture_output=True,
        text=True,
        timeout=_RUN_LIMIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def install_packages(folder: Path = CLIENTS) -> None:
    """Install the packages of the folder's lock file, once; concurrent callers wait."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs Node and npm, which this machine does not have")
    lock = folder / "package-lock.json"
    installed = folder / "node_modules" / ".package-lock.json"  # npm writes it last
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
            return
        ended = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_LIMIT_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
