"""Kill the stack's children when the stack is gone: a process of its own that reads their ids from a pipe.

Lines on standard input: `+PID` watches a process group, `-PID` forgets it. When the pipe closes, which even
SIGKILL of the stack does, every group still watched is killed. That works alike on Linux and macOS, which has
no parent-death signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def watch(lines: Iterable[str]) -> set[int]:
    """Follow the lines to their end; the ids still watched then."""
    watched: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            watched.add(int(line[1:]))
        else:
            watched.discard(int(line[1:]))
    return watched


def main() -> None:
    """Wait for the pipe's end, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes last
    for pid in watch(sys.stdin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
