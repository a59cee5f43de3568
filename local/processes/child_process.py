"""Child processes that never outlive the stack: in groups of their own, watched, stopped in two steps."""

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
    """The process that kills our children should this one be killed without a chance to do so itself."""

    async def start(self) -> None:
        """Start it; it lives as long as the pipe to it is open."""
        command = [sys.executable, "-S", "-E", str(Path(orphan_guard.__file__))]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        """This process group is to end with us."""
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """It has ended; its number may be given to another."""
        self._tell(f"-{pid}\n")

    async def stop(self) -> None:
        """Close the pipe and wait for the guard to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())


class ChildProcess:
    """A process with its output passed on line by line."""

    def __init__(self, guard: OrphanGuard, on_line: Callable[[str], None]) -> None:
        self._guard = guard
        self._on_line = on_line

    async def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start it. Raises OSError when the program cannot be run."""
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal is for the stack, which then ends its children in order.
            start_new_session=True,
        )
        self._guard.watch(self.pid)
        self._watching = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        """The process id, and that of its group."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for its end and for the last of its output; the exit code, negative for a signal."""
        return await asyncio.shield(self._watching)

    def kill(self) -> None:
        """End it and whatever it started, now."""
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end; make it end after STOP_GRACE_S."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), STOP_GRACE_S)
        except TimeoutError:
            self.kill()
            await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.killpg(self.pid, number)

    async def _watch(self) -> int:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        outputs = [
            asyncio.create_task(self._relay(pipe)) for pipe in (self._process.stdout, self._process.stderr)
        ]
        code = await self._process.wait()
        # What it left running in its group ends too, and with it the last holder of the pipes.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.gather(*outputs)
        self._guard.forget(self.pid)
        return code

    async def _relay(self, pipe: asyncio.StreamReader) -> None:
        """Pass lines on, of any length (StreamReader.readline has a limit; a logged transcript has none)."""
        pending = b""
        while data := await pipe.read(READ_BYTES):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._tell_record(line)
        if pending:
            self._tell_record(pending)

    def _tell_record(self, record: bytes) -> None:
        # Lambda's text log format parts a record's lines by CR; in a terminal they would cover each other.
        for line in record.decode(errors="replace").rstrip("\r").split("\r"):
            self._on_line(line)
