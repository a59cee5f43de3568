"""`sam local invoke` of every event and `start-api` of every route, in containers: `make sam-local`.

Not part of `make test`: it takes about three minutes, and needs a Docker engine or the right to start one.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from public.routes import OPEN_ROUTES
from routing import ROUTES
from tests.support.aws.lambda_image import docker_engine, make_image
from tests.support.aws.sam import find_sam
from tests.support.aws.sam_local_answers import EVENTS, SAID_BY, check_answer, check_return, function_of
from tests.support.interpreters import find_python
from tests.support.project import PROJECT

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not shutil.which("docker"), reason="no Docker on this machine"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the image is made for x86_64"),
]
OVERRIDES = ["--parameter-overrides", "Architecture=x86_64"]  # in place of all that samconfig.toml sets
PATIENCE_S = 120


@dataclass(frozen=True)
class SamLocal:
    """The SAM CLI with a built template and an engine that has the image."""

    sam: Path
    template: Path
    environ: dict[str, str]

    def command(self, *arguments: str | Path) -> list[str | Path]:
        built: list[str | Path] = ["--template", self.template, "--skip-pull-image", *OVERRIDES]
        return [self.sam, "local", *arguments, *built]


@pytest.fixture(scope="module")
def sam_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamLocal]:
    sam, python = find_sam(), find_python("3.13")
    if sam is None or python is None:
        pytest.skip("needs the SAM CLI and a python3.13")
    folder = tmp_path_factory.mktemp("docker")
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENAI_"))}
    environ = {**own, "PATH": path, "AWS_DEFAULT_REGION": "eu-central-1", "SAM_CLI_TELEMETRY": "0"}
    build: list[str | Path] = [sam, "build", "--build-dir", folder / "build", "--cache-dir", folder / "cache"]
    subprocess.run(build, cwd=PROJECT, env=environ, check=True, capture_output=True)
    try:
        with docker_engine(folder) as engine:
            make_image(engine, python, folder)
            yield SamLocal(sam, folder / "build" / "template.yaml", {**environ, **engine})
    finally:
        shutil.rmtree(
            folder, ignore_errors=True
        )  # the engine's layers are too large to be kept for three runs


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_every_event_is_answered_with_the_templates_defaults(event: Path, sam_local: SamLocal) -> None:
    function = function_of(event.stem)
    run = subprocess.run(
        sam_local.command("invoke", function, "--event", event),
        cwd=PROJECT,
        env=sam_local.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count(SAID_BY[function]) == 1
    assert "/var/task/" not in run.stderr, "a traceback of the function's code"
    returned = json.loads(run.stdout) if run.stdout.strip() else None
    check_return(event.stem, returned, has_key=False)


@pytest.fixture(scope="module")
def api_port(sam_local: SamLocal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    command = sam_local.command("start-api", "--port", str(port), "--warm-containers", "LAZY")
    log = tmp_path_factory.mktemp("api") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=sam_local.environ, stdout=output, stderr=output)
        try:
            give_up_at = time.monotonic() + PATIENCE_S
            while b"Running on" not in log.read_bytes():
                assert process.poll() is None, log.read_text("utf-8")
                assert time.monotonic() < give_up_at, log.read_text("utf-8")
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("method", "path"),
    [(method, path) for path, methods in ROUTES.items() for method in methods if method != "HEAD"],
)
def test_every_route_is_answered_with_the_templates_defaults(api_port: int, method: str, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", api_port, timeout=PATIENCE_S)
    try:
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}) if method == "POST" else None
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode()
    finally:
        connection.close()
    if path in OPEN_ROUTES and path not in ("/", "/health"):
        assert status == 200
    else:
        event = {"/": "playground", "/health": "health"}.get(path, "chat")
        check_answer(event, status, text, has_key=False)
