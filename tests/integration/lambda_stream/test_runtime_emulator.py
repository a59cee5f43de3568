"""The runtime under AWS's Runtime Interface Emulator, whose HTTP server is Go's."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.network.foreign_servers import wait_for_port
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports
from tests.support.runtime.recording_runtime_api import EXEC_WRAPPER, HANDLERS, PATIENCE_S


def emulator_binary() -> Path | None:
    """Return DELTA_RELAY_RIE or the emulator in the SAM CLI's environment; None if there is neither."""
    machine = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower())
    if platform.system() != "Linux" or machine is None:
        return None
    folders = [Path(os.environ["DELTA_RELAY_RIE"])] if os.environ.get("DELTA_RELAY_RIE") else []
    folders += PROJECT.glob(".venv-sam/lib/python3*/site-packages/samcli/local/rapid")
    files = [folder if folder.is_file() else folder / f"aws-lambda-rie-{machine}" for folder in folders]
    return next((file for file in files if file.is_file()), None)


BINARY = emulator_binary()
pytestmark = pytest.mark.skipif(
    BINARY is None, reason="no Runtime Interface Emulator here (DELTA_RELAY_RIE, or the SAM CLI in .venv-sam)"
)


@contextmanager
def emulator(folder: Path, handler: str) -> Iterator[int]:
    """The emulator with a runtime; yields the port for invocations."""
    assert BINARY is not None
    program = Path(shutil.copy(BINARY, folder / "rie"))
    program.chmod(0o755)
    port = free_ports(2)
    api_port = port + 1
    command: list[str | Path] = [program, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{api_port}", EXEC_WRAPPER, sys.executable, "-", handler]
    environ = {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(HANDLERS), "_HANDLER": handler}
    with (folder / "rie.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            wait_for_port(port)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def invoke(port: int, event: object) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/2015-03-31/functions/function/invocations", json.dumps(event))
        return connection.getresponse().read()
    finally:
        connection.close()


PRELUDE = b'{"statusCode": 200, "headers": {}, "cookies": []}' + bytes(8)
HELLO = (
    b'{"statusCode": 201, "headers": {"content-type": "text/plain"}, "cookies": ["a=b; Secure", "c=d"]}'
    + bytes(8)
    + b"hello world"
)


def test_the_emulator_accepts_answers_and_errors_and_continues_after_each(tmp_path: Path) -> None:
    with emulator(tmp_path, "stream_handlers.handle") as port:
        assert invoke(port, {"do": "hello"}) == HELLO
        first = invoke(port, {"do": "state"})
        assert invoke(port, {"do": "empty"}) == PRELUDE + b"\n"
        assert invoke(port, {"do": "only status", "status": 200, "abort": True}) == PRELUDE + b"\n"
        assert json.loads(invoke(port, {"do": "raise before"}))["errorType"] == "ValueError"
        assert invoke(port, {"do": "raise after"}) == PRELUDE + b"half an ans"
        # Trailers over 4 KiB would crash the emulator: its log says "suspiciously long trailer".
        assert invoke(port, {"do": "raise after", "times": 10_000}) == PRELUDE + b"half an ans"
        assert invoke(port, {"do": "abort after"}) == PRELUDE + b"half an ans"
        assert json.loads(invoke(port, {"do": "abort before"}))["errorType"] == "Upstream.Interrupted"
        assert invoke(port, {"do": "hello"}) == HELLO
        last = invoke(port, {"do": "state"})
    assert pid(first) == pid(last), "one process served all of them"


def pid(answer: bytes) -> int:
    number: int = json.loads(answer.removeprefix(PRELUDE))["pid"]
    return number
