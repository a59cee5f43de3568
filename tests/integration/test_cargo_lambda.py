"""The runtime under cargo-lambda's emulator, whose HTTP server is Hyper: a real one, where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.recording_runtime_api import EXEC_WRAPPER, HANDLERS, PATIENCE_S, ROOT

PROGRAM = shutil.which("cargo-lambda", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no cargo-lambda here (PyPI has it)")

# The emulator asks cargo what project it is started in, also where it starts no function of it.
MANIFEST = '[package]\nname = "none"\nversion = "0.0.0"\n'
CARGO = "#!/bin/sh\ncat <<'END'\n%s\nEND\n"


def stand_in_for_cargo(folder: Path) -> None:
    (folder / "Cargo.toml").write_text(MANIFEST)
    identity = f"path+file://{folder}#none@0.0.0"
    target = {"kind": ["bin"], "crate_types": ["bin"], "name": "none", "src_path": str(folder / "main.rs")}
    target |= {"edition": "2021", "doc": True, "doctest": False, "test": True}
    package = {"name": "none", "version": "0.0.0", "id": identity, "dependencies": [], "targets": [target]}
    package |= {"features": {}, "manifest_path": str(folder / "Cargo.toml"), "edition": "2021"}
    metadata = {"packages": [package], "workspace_members": [identity], "resolve": None, "version": 1}
    metadata |= {"target_directory": str(folder / "target"), "workspace_root": str(folder)}
    (folder / "cargo").write_text(CARGO % json.dumps(metadata))
    (folder / "cargo").chmod(0o755)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def emulator(folder: Path, handler: str, environ: dict[str, str]) -> Iterator[int]:
    """The emulator and a runtime that asks it for work; gives the port of its function URL."""
    assert PROGRAM is not None
    stand_in_for_cargo(folder)
    port = free_port()
    command = [PROGRAM, "lambda", "watch", "--only-lambda-apis", "-A", "127.0.0.1", "-P", str(port)]
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    own = {**path, "_HANDLER": handler, "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt"}
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, cwd=folder, env=path, stdout=log, stderr=log)]
        try:
            wait_for_port(port)
            runtime = [str(EXEC_WRAPPER), sys.executable, "-"]
            processes.append(subprocess.Popen(runtime, env={**own, **environ}, stdout=log, stderr=log))
            yield port
        finally:
            for process in reversed(processes):
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)
                process.kill()
                process.wait(PATIENCE_S)


def wait_for_port(port: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
        else:
            return


def ask(port: int, path: str, body: str | None = None) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        return (
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


ECHO = """
import os
from lambda_stream import streaming_handler

@streaming_handler
def handle(event, stream, context):
    if event["rawPath"] == "/fail":
        raise ValueError("no answer")
    cookies = ["a=b; Secure", "c=d"] if event["rawPath"] == "/cookies" else []
    stream.start(201, {"content-type": "text/plain", "x-pid": str(os.getpid())}, cookies)
    for word in ("one ", "two ", event["rawPath"]):
        stream.write(word.encode())
"""


def test_cargo_lambda_streams_answer_after_answer_of_one_process(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    environ = {"LAMBDA_TASK_ROOT": f"{tmp_path}:{HANDLERS}", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with emulator(tmp_path, "echo.handle", environ) as port:
        answers = [ask(port, f"/{number}") for number in range(5)]
        status, headers, body = ask(port, "/cookies")
        assert ask(port, "/fail")[0] == 500
        last = ask(port, "/last")
    for number, answer in enumerate(answers):
        assert (answer[0], answer[2]) == (201, f"one two /{number}".encode())
    assert (status, body) == (201, b"one two /cookies")
    assert headers["set-cookie"] in ("a=b; Secure", "c=d"), "one of the two, for a dictionary has one place"
    assert {answer[1]["x-pid"] for answer in answers} == {last[1]["x-pid"]}, "one process served them all"
    log = (tmp_path / "log").read_text()
    assert "caller is gone" not in log
    assert log.count("Lambda-Runtime-Deadline-Ms is '600000'") == 1


def test_cargo_lambda_serves_the_streaming_function_itself(tmp_path: Path) -> None:
    folders = (ROOT / "functions" / "stream_chat", ROOT / "shared")
    environ = {
        "LAMBDA_TASK_ROOT": ":".join(map(str, folders)),
        "AUTH_MODE": "none",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    }
    with emulator(tmp_path, "app.handle", environ) as port:
        assert ask(port, "/health")[::2] == (200, b'{"status":"ok"}')
        assert ask(port, "/nowhere")[0] == 404
