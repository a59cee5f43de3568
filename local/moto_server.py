"""moto's server, in a process of its own so that it cannot slow the stream."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path

from local.aws_services import AwsServicesFailed
from local.child_process import ChildProcess, OrphanGuard

START_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.02


class MotoServer:
    """AWS's services on 127.0.0.1:`port`; `last_lines` is the last of what the server has printed."""

    def __init__(self, guard: OrphanGuard, port: int) -> None:
        self.last_lines: deque[str] = deque(maxlen=20)  # moto logs every request: shown only if it fails
        self._port = port
        self._process = ChildProcess(guard, self.last_lines.append)
        self._running = False

    async def start(self, path: str) -> None:
        """Start the server; PATH is all it is given."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        await self._process.start(command, {"PATH": path}, Path.cwd())
        self._running = True

    async def until_it_listens(self) -> None:
        """Wait for it to take connections. Raises AwsServicesFailed."""
        for _ in range(int(START_LIMIT_S / LOOK_AGAIN_S)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if self._process.has_ended:
                    break
                await asyncio.sleep(LOOK_AGAIN_S)
            else:
                writer.close()
                return
        raise AwsServicesFailed("\n".join(self.last_lines) or "moto's server did not come up")

    async def stop(self) -> None:
        """End the server; a receive that waits there ends with it."""
        if self._running:
            await self._process.stop()
