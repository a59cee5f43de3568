"""OpenAI's own packages, with nothing changed but the base URL."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.local_stack import LocalStack
from tests.support.replay_upstream import DONE, ReplayUpstream, Reply, answer, completion, event

CLIENTS = Path(__file__).parent.parent / "clients"
MIDSTREAM_ERROR = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": "busy"}}\n\n'

Asked = dict[str, Any]  # deltas, finish_reason, usage, error: as ask_openai.mjs prints them
Ask = Callable[[str, str], Asked]


def ask_by_python(url: str, model: str, mode: str) -> Asked:
    seen: Asked = {"deltas": [], "finish_reason": None, "usage": None, "error": None}
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    try:
        if mode == "stream":
            chunks = client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "hi"}], stream=True
            )
            for chunk in chunks:
                for choice in chunk.choices:
                    seen["deltas"] += [choice.delta.content] if choice.delta.content else []
                    seen["finish_reason"] = choice.finish_reason or seen["finish_reason"]
        else:
            whole = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
            seen["deltas"].append(whole.choices[0].message.content)
            seen["finish_reason"] = whole.choices[0].finish_reason
            assert whole.usage is not None
            seen["usage"] = whole.usage.model_dump(exclude_none=True)
    except openai.APIError as error:
        seen["error"] = {
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "message": error.message,
        }
    finally:
        client.close()
    return seen


def ask_by_node(url: str, model: str, mode: str) -> Asked:
    command = ["node", "ask_openai.mjs", f"{url}/v1", "any", model, mode]
    ended = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    seen: Asked = json.loads(ended.stdout)
    return seen


@pytest.fixture(scope="module")
def npm_package() -> None:
    """Install the package from its lock file; without Node these tests skip with this one line."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no Node on this machine: OpenAI's npm package is not tried here")
    installed = CLIENTS / "node_modules" / ".package-lock.json"
    lock = CLIENTS / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=CLIENTS, check=True, capture_output=True)


@pytest.fixture(params=["python", "node"])
def ask(request: pytest.FixtureRequest, stack: LocalStack) -> Ask:
    if request.param == "node":
        request.getfixturevalue("npm_package")
    by = ask_by_node if request.param == "node" else ask_by_python
    return lambda model, mode: by(stack.url, model, mode)


def test_it_streams(ask: Ask, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hel", "lo ", "👋")))
    seen = ask(model, "stream")
    assert seen == {"deltas": ["Hel", "lo ", "👋"], "finish_reason": "stop", "usage": None, "error": None}


def test_it_does_not_stream(ask: Ask, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply.json(completion("Hello 👋")))
    seen = ask(model, "whole")
    assert seen["deltas"] == ["Hello 👋"]
    assert seen["usage"]["total_tokens"] == 3


def test_it_raises_on_an_error_in_mid_stream(ask: Ask, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply([event("Par"), 0.1, MIDSTREAM_ERROR, DONE]))
    seen = ask(model, "stream")
    assert seen["deltas"] == ["Par"]
    assert "overloaded" in seen["error"]["message"]


def test_it_raises_on_a_cut(ask: Ask, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply([event("Par"), 0.1], ends="cut"))
    seen = ask(model, "stream")
    assert seen["deltas"] == ["Par"]
    assert seen["error"]["code"] == "upstream_interrupted"


@pytest.mark.parametrize("mode", ["stream", "whole"])
def test_it_raises_by_status_before_the_first_byte(
    ask: Ask, replay: ReplayUpstream, model: str, mode: str
) -> None:
    replay.answer(model, Reply.json({"error": {"message": "no such model", "code": "model_not_found"}}, 404))
    error = ask(model, mode)["error"]
    assert (error["status"], error["code"]) == (404, "model_not_found")
