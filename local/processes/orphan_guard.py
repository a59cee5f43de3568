"""Kill the stack's children when the stack is gone. This program runs as a process of its own.

It reads lines from a pipe: `+PID` watches a process group, `-PID` forgets it. When the pipe closes, which
happens even if the stack is killed by SIGKILL, it kills every group that it still watches. This works on
Linux and on macOS, which has no parent-death signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def watch(lines: Iterable[str]) -> set[int]:
    """Read all lines. Returns the ids that are still watched at the end."""
    watched: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            watched.add(int(line[1:]))
        else:
            watched.discard(int(line[1:]))
    return watched


def main() -> None:
    """Wait until the pipe is closed, then kill what is still watched."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the guard must end last
    for pid in watch(sys.stdin):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
