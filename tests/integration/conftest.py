"""What several integration tests start from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
def relay(replay: ReplayUpstream, model: str, quick_backoff: None) -> RelayCall:
    """Relay one answer of the replayed upstream."""
    return relay_to(replay, model)
