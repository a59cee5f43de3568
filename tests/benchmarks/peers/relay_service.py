"""This relay: its runtime process under the local emulator, without the companion.

`python -m tests.benchmarks.peers.relay_service [HANDLER]`, with OPENAI_BASE_URL for the upstream. The handler
is `app.handle`, or that of a module in this folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from local.function_url.server import FunctionUrl
from local.lambda_service.environment_pool import EnvironmentPool
from local.processes.child_process import OrphanGuard
from local.processes.http_service import HttpService, listening_socket
from local.settings import STREAM_CHAT, LocalSettings, deployed_function
from tests.support.runtime.local_stack import runtime_processes_of

NOT_SERVED = ("TRANSCRIPT_FUNCTION_NAME", "LIMITS_TABLE_NAME", "CALLERS_TABLE_NAME")


async def main() -> None:
    """Serve until the process is killed; the guard then ends the runtime process."""
    settings = LocalSettings.from_environment(os.environ)
    variables = settings.chat_variables("") | dict.fromkeys(NOT_SERVED, "")
    function = deployed_function(settings, STREAM_CHAT, variables)
    handler = (sys.argv[1:] or [function.variables["_HANDLER"]])[0]
    path = os.pathsep.join((function.variables["PYTHONPATH"], str(Path(__file__).parent)))
    function = replace(function, variables={**function.variables, "_HANDLER": handler, "PYTHONPATH": path})
    guard = OrphanGuard()
    await guard.start()
    pool = EnvironmentPool(function, guard, _print_line)
    service = HttpService(FunctionUrl(pool.invoke, _print_line), listening_socket())
    pool.start()
    await pool.first_is_settled.wait()
    service.start()
    [pid] = runtime_processes_of(os.getpid(), f"_HANDLER={handler}")
    print(json.dumps({"url": service.url, "pid": pid}), flush=True)
    await asyncio.Event().wait()


def _print_line(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    asyncio.run(main())
