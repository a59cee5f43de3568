"""What several integration tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.support.exchanges import StartExchange, exchanges
from tests.support.relaying import RelayCall, relay_to
from tests.support.replay_upstream import ReplayUpstream


@pytest.fixture(scope="module")
def replay() -> Iterator[ReplayUpstream]:
    with ReplayUpstream() as upstream:
        yield upstream


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model name of the test's own, by which the upstream knows what to answer."""
    return str(request.node.name)


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without waits that show."""
    monkeypatch.setattr("upstream.BACKOFF_S", 0.01)


@pytest.fixture
def start(replay: ReplayUpstream, model: str) -> Iterator[StartExchange]:
    """Begin an exchange of the upstream client with the replayed upstream."""
    with exchanges(replay, model) as start_exchange:
        yield start_exchange


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """AWS, as far as moto's server is it: empty, although all servers of one process share what they hold."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False).raise_for_status()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def relay(replay: ReplayUpstream, model: str, quick_backoff: None) -> RelayCall:
    """Relay one answer of the replayed upstream."""
    return relay_to(replay, model)
