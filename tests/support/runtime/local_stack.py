"""`python -m local` in its own process on free ports, observed through its terminal output."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.project import PROJECT
from tests.support.runtime.handler_process import client_of

START_LIMIT_S = 90.0
STOP_LIMIT_S = 60.0
ARCHIVE_LIMIT_S = 30.0


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive free ports."""
    while True:
        # Below the ephemeral ports, which the system could assign to someone else before these are used.
        port = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for offset in range(count):
                held.enter_context(socket.create_server(("127.0.0.1", port + offset)))
            return port


def stack_environment(port: int, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return PATH, the port and these settings; by default the scripted model answers without pauses."""
    basis = {"PATH": os.environ["PATH"], "PORT": str(port), "SCRIPTED_MODEL_WORDS_PER_S": "0"}
    return basis | dict(settings or {})


class LocalStack:
    """A running stack: `url`, `endpoint`, `invoke_endpoint`, `queue_url(name)`.

    `archive_folder` has the archived transcripts, `log_folder` the functions' own logs, `output` every line
    of terminal output.

    Args:
        settings: environment variables.
        port: the first of three consecutive free ports.
        python: the interpreter, to run it in another virtual environment.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        python: str | Path = sys.executable,
    ) -> None:
        self._python = python
        self.port = port or free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.endpoint = f"http://127.0.0.1:{self.port + 1}"
        self.invoke_endpoint = f"http://127.0.0.1:{self.port + 2}"
        self.output: list[str] = []
        self._scratch = tempfile.TemporaryDirectory()
        self.archive_folder = Path(self._scratch.name) / "archive"
        self.undelivered_folder = Path(self._scratch.name) / "undelivered"
        self.log_folder = Path(self._scratch.name) / "logs"
        folders = {
            "ARCHIVE_FOLDER": str(self.archive_folder),
            "UNDELIVERED_FOLDER": str(self.undelivered_folder),
            "LOG_FOLDER": str(self.log_folder),
        }
        self._environment = stack_environment(self.port, folders | dict(settings or {}))
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def queue_url(self, name: str) -> str:
        """Return the URL of the queue with this name."""
        return f"{self.endpoint}/123456789012/{name}"

    def client(self, service: str) -> Any:
        """Create a boto3 client of one of the stack's services."""
        return client_of(service, self.invoke_endpoint if service == "lambda" else self.endpoint, "us-east-1")

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [self._python, "-m", "local"],
            cwd=PROJECT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.line_with("ready: ", START_LIMIT_S)
            self.line_with("lambda: ")
        except BaseException:
            self.process.kill()
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop()

    def line_with(self, text: str, limit_s: float = 60.0) -> str:
        """Wait for a line that contains `text`, skipping others."""
        moment = time.monotonic() + limit_s
        while True:
            try:
                line = self._lines.get(timeout=max(0, moment - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line with {text!r} in:\n" + "\n".join(self.output))
            if text in line:
                return line

    def log(self, function: str = "stream-chat") -> str:
        """Return what the function has logged so far."""
        path = self.log_folder / f"{function}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def archived_file(self, request_id: str) -> Path:
        """Wait for the archived transcript with this id and return its file."""
        give_up_at = time.monotonic() + ARCHIVE_LIMIT_S
        while not (found := list(self.archive_folder.glob(f"transcripts/date=*/{request_id}.jsonl"))):
            assert time.monotonic() < give_up_at, "\n".join(self.output)
            time.sleep(0.05)
        (path,) = found
        return path

    def children(self) -> list[int]:
        """Return the ids of the stack's running child processes."""
        return children_of(self.process.pid)

    def runtime_processes(self, handler: str) -> list[int]:
        """Return the runtime processes of the function with this handler (Linux only: reads /proc)."""
        return runtime_processes_of(self.process.pid, f"_HANDLER={handler}")

    def wait(self, limit_s: float = STOP_LIMIT_S) -> int:
        """Wait for the end of the stack and of its output. Returns the exit status."""
        code = self.process.wait(limit_s)
        self._reader.join(limit_s)
        return code

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Stop it as Ctrl-C does. It must exit with 0, print no traceback and leave no process running."""
        if self.process.poll() is not None:
            self._close()
            return
        children = self.children()
        self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        finally:
            self.process.kill()
            self._close()
        assert code == 0, f"exit {code}:\n" + "\n".join(self.output)
        # Only its own: lines of functions begin with the name of their environment.
        assert not any(line.startswith("Traceback") for line in self.output), "\n".join(self.output)
        assert_all_end(children, limit_s=0)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))
            self._lines.put(self.output[-1])
        self._lines.put(None)

    def _close(self) -> None:
        self.process.wait(STOP_LIMIT_S)
        self._reader.join(STOP_LIMIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._scratch.cleanup()


def runtime_processes_of(parent: int, variable: str) -> list[int]:
    """Return an emulator's runtime processes with this variable, as `NAME=value` (Linux only)."""
    wanted = variable.encode()
    found = []
    for pid in children_of(parent):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def children_of(parent: int) -> list[int]:
    """Return the ids of the running child processes of `parent`."""
    return [pid for pid, (its_parent, _) in _processes().items() if its_parent == parent]


def assert_all_end(pids: list[int], limit_s: float) -> None:
    """Fail if one of these processes still runs after `limit_s`."""
    moment = time.monotonic() + limit_s
    while left := [pid for pid in pids if _processes().get(pid, (0, "Z"))[1] != "Z"]:
        assert time.monotonic() < moment, f"still running: {left}"
        time.sleep(0.05)


def listeners_of(parent: int) -> dict[int, str]:
    """Return port → address on which a process and its children listen (Linux only)."""
    inodes = set()
    for pid in (parent, *children_of(parent)):
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in inodes:
                address, port = local.split(":")
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found[int(port, 16)] = socket.inet_ntop(family, b"".join(words))
    return found


def _processes() -> dict[int, tuple[int, str]]:
    """Return the parent and state of every process; a zombie (Z) has ended."""
    if Path("/proc/self/stat").exists():
        found = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
            found[int(entry.parent.name)] = (int(parent), state)
        return found
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listing.stdout.splitlines()]
    return {int(pid): (int(parent), state[0]) for pid, parent, state in rows}
