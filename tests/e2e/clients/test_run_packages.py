"""The packages that `make run` installs suffice to serve: a stack in an environment with no others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

from tests.support.locked_packages import Pin, pins
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import LocalStack
from tests.support.tokens.token_issuer import TokenIssuer
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

MODEL = "run-packages"
LONG_ANSWER = [f"part {number}: " + "x" * 100_000 for number in range(12)]  # its transcript needs the bucket
MESSAGES = [{"role": "user", "content": "hi"}]
UI_MESSAGES = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]
ROUTES = [
    ("GET", "/", None),
    ("GET", "/health", None),
    ("GET", "/stream.js", None),
    ("GET", f"/chatCompletion?message=hi&model={MODEL}", None),
    ("POST", "/chatCompletion", {"model": MODEL, "messages": MESSAGES}),
    ("POST", "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES, "stream": True}),
    ("POST", "/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}),
    ("POST", "/api/chat", {"model": MODEL, "messages": UI_MESSAGES}),
]


def served_with() -> set[Pin]:
    """The packages of requirements-run.txt, without the one for another platform."""
    lock = (PROJECT / "requirements-run.txt").read_text(encoding="utf-8")
    return {pin for pin in pins(lock) if pin[0] != "pywin32"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with links to the packages of requirements-run.txt, and no others."""
    folder = tmp_path_factory.mktemp("run") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    for name, version in served_with():
        installed = distribution(name)
        assert installed.version == version
        tops = {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}
        for top in tops:
            (packages / top).symlink_to(Path(str(installed.locate_file(top))))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def served(replay: ReplayUpstream, issuer: TokenIssuer, python: Path) -> Iterator[LocalStack]:
    """A stack that uses every package: it checks tokens, counts limits, delivers and archives transcripts."""
    replay.answer(MODEL, Reply(answer(*LONG_ANSWER)))
    limits = {"CALLER_LIMITS": json.dumps({"*": {"requests_per_minute": 1000}})}
    settings = {"OPENAI_BASE_URL": replay.url, **issuer.environment, **limits}
    with LocalStack(settings, python=python) as running:
        yield running


def test_nothing_but_the_lock_file_is_in_the_environment(python: Path) -> None:
    program = "import importlib.metadata as m; print(*(found.name for found in m.distributions()))"
    names = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {name.lower().replace("_", "-") for name in names.split()} == {name for name, _ in served_with()}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES, ids=[f"{m} {p}" for m, p, _ in ROUTES])
def test_every_route_is_served(
    served: LocalStack, issuer: TokenIssuer, method: str, path: str, body: dict[str, object] | None
) -> None:
    headers = {"authorization": f"Bearer {issuer.token()}"}
    response = httpx.request(
        method, served.url + path, json=body, headers=headers, timeout=60, trust_env=False
    )
    assert response.status_code == 200, response.text
    if MODEL in path or body:
        assert "part 11: " in response.text


def test_transcripts_reach_terminal_and_archive_and_dead_letters_are_redriven(
    served: LocalStack, issuer: TokenIssuer
) -> None:
    headers = {"authorization": f"Bearer {issuer.token()}"}
    url = f"{served.url}/chatCompletion?message=hi&model={MODEL}"
    response = httpx.get(url, headers=headers, timeout=60, trust_env=False)
    request_id = response.headers["x-relay-request-id"]
    served.line_with(request_id)
    document = json.loads(served.archived_file(request_id).read_text("ascii"))
    assert document["response"]["choices"][0]["content"] == response.text
    functions = served.client("lambda")
    reply = functions.invoke(FunctionName="redrive-transcripts", Payload=b"{}")
    functions.close()
    assert json.loads(reply["Payload"].read())["transcripts-undelivered"]["redriven"] == 0


def test_signatures_can_be_verified(python: Path) -> None:
    subprocess.run([python, "-c", "import local.function_url.signature"], cwd=PROJECT, check=True)
