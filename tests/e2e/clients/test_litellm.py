"""Limits in front of a real LiteLLM, which asks another model than the requested one if a request says so.

LITELLM is the path of its program (`pip install 'litellm[proxy]'` in an environment of its own). Without it,
these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.runtime.local_stack import LocalStack, free_ports
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion

LITELLM = os.environ.get("LITELLM", "")
KEY = "sk-loopback"
START_LIMIT_S = 90.0
CAP = 50
DEAR = {
    "model": "litellm-dear",
    "max_completion_tokens": 99_999,
    "tools": [{"type": "function", "function": {"name": "f"}}],
}

pytestmark = pytest.mark.skipif(not LITELLM, reason="LITELLM is not set")


@pytest.fixture(scope="module")
def gateway(replay: ReplayUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """LiteLLM with two models; the cheap one is down."""
    replay.answer("litellm-cheap", Reply.json({"error": {"message": "down", "type": "server_error"}}, 500))
    replay.answer("litellm-dear", Reply.json(completion("Dear.")))
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": replay.url, "api_key": "k"},
        }
        for name in ("litellm-cheap", "litellm-dear")
    ]
    folder = tmp_path_factory.mktemp("litellm")
    config = folder / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    with running(config) as url:
        yield url


class running:  # noqa: N801 - reads as a verb
    """LiteLLM in its own process, which fetches nothing from the network."""

    def __init__(self, config: Path) -> None:
        self._port = free_ports(1)
        self._url = f"http://127.0.0.1:{self._port}"
        self._config = config

    def __enter__(self) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._config.parent),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
        }
        command = [LITELLM, "--config", str(self._config), "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + START_LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, "LiteLLM ended"
            assert time.monotonic() < until, "LiteLLM has not started"
            time.sleep(0.5)
        return f"{self._url}/v1"

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/health/liveliness", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


def ask(url: str, **fields: Any) -> httpx.Response:
    body = {"model": "litellm-cheap", "messages": [{"role": "user", "content": "hi"}], **fields}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)


def limited(gateway: str, **settings: str) -> LocalStack:
    upstream = {"OPENAI_BASE_URL": gateway, "OPENAI_API_KEY": KEY, "UPSTREAM_RETRIES": "0"}
    return LocalStack({**upstream, **settings})


def test_a_fallback_bypasses_no_limit(gateway: str, replay: ReplayUpstream) -> None:
    # The attack succeeds on a LiteLLM without the relay in front of it.
    assert ask(gateway, fallbacks=[DEAR]).json()["choices"][0]["message"]["content"] == "Dear."
    (exchange,) = replay.exchanges("litellm-dear")
    assert (exchange.body["max_completion_tokens"], len(exchange.body["tools"])) == (99_999, 1)

    with limited(gateway, MAX_OUTPUT_TOKENS=str(CAP), FORBIDDEN_FIELDS="tools") as stack:
        refused = ask(f"{stack.url}/v1", fallbacks=[DEAR])
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "fallbacks")
        assert "ALLOWED_FIELDS" in refused.json()["error"]["message"]
    assert len(replay.exchanges("litellm-dear")) == 1


def test_the_limits_apply_to_a_fallback_that_is_allowed(gateway: str, replay: ReplayUpstream) -> None:
    before = len(replay.exchanges("litellm-dear"))
    limits = {"MAX_OUTPUT_TOKENS": str(CAP), "FORBIDDEN_FIELDS": "tools", "ALLOWED_FIELDS": "fallbacks"}
    with limited(gateway, **limits) as stack:
        url = f"{stack.url}/v1"
        for field, value in DEAR.items():
            if field != "model":
                refused = ask(url, fallbacks=[{"model": DEAR["model"], field: value}])
                assert (refused.status_code, refused.json()["error"]["param"]) == (400, f"fallbacks.{field}")
        assert ask(url, fallbacks=[{"model": DEAR["model"]}]).is_success
    asked = replay.exchanges("litellm-dear")[before:]
    assert [exchange.body["max_completion_tokens"] for exchange in asked] == [CAP]
