"""An exchange whose upstream is mocked by respx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from settings import Settings
from tests.support.upstreams.exchanges import StartExchange
from tests.support.upstreams.respx_answers import BASE_URL, Answer
from upstream.client import Upstream
from upstream.time_limits import TimeLimits


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in seconds; the tests do not actually wait."""
    waited: list[float] = []
    monkeypatch.setattr(TimeLimits, "wait", lambda limits, wait_s: waited.append(wait_s))
    return waited


@pytest.fixture
def model(respx_mock: respx.MockRouter) -> respx.Route:
    """The upstream's endpoint."""
    return respx_mock.post(f"{BASE_URL}/chat/completions")


@pytest.fixture
def start(model: respx.Route, waits: list[float]) -> Iterator[StartExchange]:
    """Start an exchange that gets these answers; the last one repeats."""
    clients = []

    def start(
        *answers: Answer | Exception, streamed: bool = True, timeout_s: float = 20.0, **values: Any
    ) -> Any:
        left = list(answers)

        def answer(_: httpx.Request) -> httpx.Response:
            reply = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(reply, Exception):
                raise reply
            return reply()

        model.side_effect = answer
        settings = {"openai_base_url": BASE_URL, "openai_api_key": "sk-relay", **values}
        client = Upstream(Settings(**settings))
        clients.append(client)
        deadline_at = time.monotonic() + timeout_s
        return client.exchange("/chat/completions", b"{}", streamed=streamed, deadline_at=deadline_at)

    yield start
    for client in clients:
        client.close()
