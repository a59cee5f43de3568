"""Every test of the upstream client runs with both transports: the relay's own and httpx's."""

from __future__ import annotations

import httpx
import pytest

from upstream.transport.transport import FastTransport


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize `transport`. A test marked `fast_transport_only` names what httpx's transport lacks."""
    only_fast = metafunc.definition.get_closest_marker("fast_transport_only")
    transports = [FastTransport] if only_fast else [FastTransport, httpx.HTTPTransport]
    metafunc.parametrize("transport", transports, indirect=True)


@pytest.fixture(autouse=True)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `connect` create clients with this transport."""
    monkeypatch.setattr("tests.support.upstreams.exchanges.TRANSPORT", request.param)
