"""The runtime under cargo-lambda's emulator, whose HTTP server is Hyper. Skipped if it is not installed.

The program alone is enough (`pip install --no-deps cargo-lambda`, about 14 MB): Zig is needed only for Rust.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.support.network.foreign_servers import wait_for_port
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports
from tests.support.runtime.recording_runtime_api import EXEC_WRAPPER, HANDLERS, PATIENCE_S
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

PROGRAM = shutil.which(os.environ.get("DELTA_RELAY_CARGO_LAMBDA") or "cargo-lambda")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no cargo-lambda here (DELTA_RELAY_CARGO_LAMBDA, or the search path)"
)

# The emulator asks cargo about the project in its folder, even if it starts none of its functions.
MANIFEST = '[package]\nname = "none"\nversion = "0.0.0"\n'
CARGO = "#!/bin/sh\ncat <<'END'\n%s\nEND\n"


def stand_in_for_cargo(folder: Path) -> None:
    (folder / "Cargo.toml").write_text(MANIFEST)
    identity = f"path+file://{folder}#none@0.0.0"
    target: dict[str, Any] = {
        "kind": ["bin"],
        "crate_types": ["bin"],
        "name": "none",
        "src_path": str(folder / "main.rs"),
    }
    target |= {"edition": "2021", "doc": True, "doctest": False, "test": True}
    package: dict[str, Any] = {
        "name": "none",
        "version": "0.0.0",
        "id": identity,
        "dependencies": [],
        "targets": [target],
    }
    package |= {"features": {}, "manifest_path": str(folder / "Cargo.toml"), "edition": "2021"}
    metadata: dict[str, Any] = {
        "packages": [package],
        "workspace_members": [identity],
        "resolve": None,
        "version": 1,
    }
    metadata |= {"target_directory": str(folder / "target"), "workspace_root": str(folder)}
    (folder / "cargo").write_text(CARGO % json.dumps(metadata))
    (folder / "cargo").chmod(0o755)


@contextmanager
def emulator(folder: Path, handler: str, environ: dict[str, str]) -> Iterator[int]:
    """The emulator and a runtime that polls it; yields the port of its function URL."""
    assert PROGRAM is not None
    stand_in_for_cargo(folder)
    port = free_ports(1)
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


def test_cargo_lambda_streams_several_answers_of_one_process(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    environ = {"LAMBDA_TASK_ROOT": f"{tmp_path}:{HANDLERS}", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with emulator(tmp_path, "echo.handle", environ) as port:
        answers = [ask(port, f"/{number}") for number in range(5)]
        status, headers, body = ask(port, "/cookies")
        assert ask(port, "/fail")[0] == 500
        last = ask(port, "/last")
    for number, answered in enumerate(answers):
        assert (answered[0], answered[2]) == (201, f"one two /{number}".encode())
    assert (status, body) == (201, b"one two /cookies")
    assert headers["set-cookie"] in ("a=b; Secure", "c=d"), "only one: its headers are a dict"
    assert {answered[1]["x-pid"] for answered in answers} == {last[1]["x-pid"]}, "one process served them all"
    log = (tmp_path / "log").read_text()
    assert "caller is gone" not in log
    assert log.count("Lambda-Runtime-Deadline-Ms is '600000'") == 1


def test_cargo_lambda_serves_the_streaming_function(tmp_path: Path) -> None:
    question = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello?"}]}
    with ReplayUpstream() as upstream:
        upstream.answer("m", Reply(answer("Hello ", "there")))
        environ = {
            "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
            "AUTH_MODE": "none",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": upstream.url,
        }
        with emulator(tmp_path, "app.handle", environ) as port:
            for _ in range(2):
                status, headers, body = ask(port, "/v1/chat/completions", json.dumps(question))
                assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
                assert b"Hello " in body
                assert body.endswith(b"data: [DONE]\n\n")
            assert ask(port, "/nowhere")[0] == 404
    assert "caller is gone" not in (tmp_path / "log").read_text()
