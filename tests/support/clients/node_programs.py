"""The programs of tests/clients: client libraries from npm, started once for a whole list of jobs."""

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
    """What became of each job, in order. Without Node on this machine the test is skipped."""
    seen: list[Any] = json.loads(run_node(program, *arguments, given=json.dumps(jobs)))
    assert len(seen) == len(jobs)
    return seen


def run_node(program: str, *arguments: str, given: str = "") -> str:
    """What a program of tests/clients prints. Without Node on this machine the test is skipped."""
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
    """Install what the folder's lock file says, once; who wants it at the same time waits."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no Node on this machine: client libraries from npm are not tried here")
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
