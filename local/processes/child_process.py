"""Child processes that never outlive the stack: each has its own process group, which a guard watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local.processes import orphan_guard

STOP_GRACE_S = 2.0  # between SIGTERM and SIGKILL
READ_BYTES = 64 * 1024


class OrphanGuard:
    """A process that kills the stack's children if the stack itself is killed and cannot do so."""

    async def start(self) -> None:
        """Start the guard; it runs until the pipe to it is closed."""
        command = [sys.executable, "-S", "-E", str(Path(orphan_guard.__file__))]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        """Add a process group to those that end with the stack."""
        self._print_line(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """Take out a process group that has ended: the system may reuse its id."""
        self._print_line(f"-{pid}\n")

    async def stop(self) -> None:
        """Close the pipe and wait for the guard to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def _print_line(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())


class ChildProcess:
    """A process whose output is passed on line by line, to `on_line`."""

    def __init__(self, guard: OrphanGuard, on_line: Callable[[str], None]) -> None:
        self._guard = guard
        self._on_line = on_line
        self._has_started = False

    async def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start the process. Raises OSError if the program cannot be run."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C reaches the stack only, which then ends its children in order.
            start_new_session=True,
        )
        self._has_started = True
        self._guard.watch(self.pid)
        self._watching = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has started and not ended."""
        return self._has_started and self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end and the rest of its output. Returns the exit code, negative for a signal."""
        return await asyncio.shield(self._watching)

    def kill(self) -> None:
        """Kill the process and everything in its group, if it was started."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """If it was started, send SIGTERM, and SIGKILL if it has not ended after STOP_GRACE_S."""
        if not self._has_started:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), STOP_GRACE_S)
        except TimeoutError:
            self.kill()
            await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.pid, number)

    async def _watch(self) -> int:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        outputs = [
            asyncio.create_task(self._relay(pipe)) for pipe in (self._process.stdout, self._process.stderr)
        ]
        code = await self._process.wait()
        # Kill what it left running in its group: this also closes the last ends of the pipes.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.gather(*outputs)
        self._guard.forget(self.pid)
        return code

    async def _relay(self, pipe: asyncio.StreamReader) -> None:
        """Pass on lines of any length: StreamReader.readline has a limit, a logged transcript has none."""
        pending = b""
        while data := await pipe.read(READ_BYTES):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._print_record(line)
        if pending:
            self._print_record(pending)

    def _print_record(self, record: bytes) -> None:
        # Lambda's text log format separates the lines of a record by CR: a terminal would print them on top
        # of each other.
        for line in record.decode(errors="replace").rstrip("\r").split("\r"):
            self._on_line(line)
