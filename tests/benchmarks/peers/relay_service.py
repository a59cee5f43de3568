"""This relay: its runtime process under the local emulator, without the companion.

`python -m tests.benchmarks.peers.relay_service`, with OPENAI_BASE_URL for the upstream.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from local.function_url.server import FunctionUrl
from local.lambda_service.environment_pool import EnvironmentPool
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from local.settings import LAYER, LocalSettings, stream_chat
from tests.support.runtime.local_stack import runtime_processes_of


async def main() -> None:
    """Serve until the process is killed; the guard then ends the runtime process."""
    sys.path.append(str(LAYER))  # as `python -m local` does
    settings = LocalSettings.from_environment(os.environ)
    variables = settings.chat_variables("") | {"TRANSCRIPT_FUNCTION_NAME": "", "LIMITS_TABLE_NAME": ""}
    guard = OrphanGuard()
    await guard.start()
    pool = EnvironmentPool(stream_chat(settings, variables, {}), guard, _print_line)
    service = HttpService(FunctionUrl(pool.invoke, _print_line), listening_socket())
    pool.start()
    await pool.first_is_settled.wait()
    service.start()
    [pid] = runtime_processes_of(os.getpid(), "app.handle")
    print(json.dumps({"url": service.url, "pid": pid}), flush=True)
    await asyncio.Event().wait()


def _print_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    asyncio.run(main())
