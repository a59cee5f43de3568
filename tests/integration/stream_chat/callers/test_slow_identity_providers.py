"""Identity providers that drip: they send single bytes, each within the read timeout."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from callers.published_keys import FRESH_S
from callers.signing_keys import REFETCH_WAIT_S, RETRY_WAIT_S
from tests.support.tokens.clocked_keys import ClockedKeys, fetches, wait_for_fetches
from tests.support.tokens.token_issuer import Key
from tests.support.upstreams.dripping_server import DRIPS, DrippingServer
from timed_calls import MAX_ABANDONED

GOOD = Key("RS256", 1)
IN_TIME_S = 20.0  # generous, for busy machines: a drip lasts as long as the test lets it
LIMIT_S = 0.4  # of a fetch, far below the timeouts of single reads


def shorten_limit(monkeypatch: pytest.MonkeyPatch, limit_s: float = LIMIT_S) -> None:
    """Limit fetches to this time from now on."""
    monkeypatch.setattr("callers.signing_keys.FETCH_LIMIT_S", limit_s)


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_limit(monkeypatch)


def assert_unavailable_in_time(
    keys: ClockedKeys, server: DrippingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look for a key until the server has been reached: a busy machine may not connect within LIMIT_S."""
    limit_s = LIMIT_S
    while not server.begun.acquire(timeout=0):
        shorten_limit(monkeypatch, limit_s)
        with within(IN_TIME_S):
            keys.unavailable()
        keys.now += RETRY_WAIT_S
        limit_s *= 3
    assert server.ended.acquire(timeout=10)


def whole(key: Key) -> bytes:
    """A provider's complete response with this key."""
    body = json.dumps({"keys": [key.jwk]}).encode()
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started_at = time.monotonic()
    yield
    assert time.monotonic() - started_at < seconds


@pytest.mark.parametrize(
    ("name", "setting"), [("head", "jwt_issuer"), *((name, "jwt_jwks_url") for name in DRIPS)]
)
def test_a_provider_that_drips_is_unavailable_in_time_and_its_connection_is_ended(
    monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    with DrippingServer(DRIPS[name]) as server:
        assert_unavailable_in_time(ClockedKeys(**{setting: server.url}), server, monkeypatch)
        wait_for_fetches()


@pytest.mark.parametrize("name", ["head", "early hints", "continue"])
def test_a_proxy_that_drips_is_unavailable_in_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with DrippingServer(DRIPS[name]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        keys = ClockedKeys(jwt_jwks_url="https://issuer.example/keys.json")
        assert_unavailable_in_time(keys, proxy, monkeypatch)


@pytest.mark.usefixtures("short_limit")
def test_a_hanging_name_lookup_costs_a_few_threads_that_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **options: Any) -> Any:
        let_go.wait(30)
        return getaddrinfo("127.0.0.1", *rest, **options)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with DrippingServer(DRIPS["body"]) as server:
        keys = ClockedKeys(jwt_jwks_url=server.url.replace("127.0.0.1", "issuer.example"))
        for _ in range(10):
            with within(IN_TIME_S):
                keys.unavailable()
            keys.now += RETRY_WAIT_S
        assert len(fetches()) == MAX_ABANDONED
        let_go.set()
        with within(10):
            wait_for_fetches()


@pytest.mark.parametrize("name", DRIPS)
def test_stale_keys_are_used_at_once_while_their_provider_drips(name: str) -> None:
    drip = DRIPS[name]._replace(scheme="http")
    with DrippingServer(drip, whole(GOOD)) as server:
        keys = ClockedKeys(jwt_jwks_url=server.url)
        assert keys.has(GOOD)
        server.whole = None
        keys.now += FRESH_S
        for _ in range(MAX_ABANDONED + 3):
            assert keys.has(GOOD)
            if server.connections < 4:
                assert fetches()[-1].is_alive()  # it was not waited for
            for dropped in fetches()[:-1]:
                dropped.join(10)
                assert not dropped.is_alive()
            if server.connections < 4:
                assert server.begun.acquire(timeout=10)
            keys.now += 2 * REFETCH_WAIT_S


def test_keys_are_found_again_when_their_provider_stops_dripping(monkeypatch: pytest.MonkeyPatch) -> None:
    with DrippingServer(DRIPS["early hints"]) as server:
        keys = ClockedKeys(jwt_jwks_url=server.url)
        for _ in range(MAX_ABANDONED + 2):
            assert_unavailable_in_time(keys, server, monkeypatch)
        server.whole = whole(GOOD)
        monkeypatch.undo()
        assert keys.has(GOOD)


def test_only_an_unknown_key_id_waits_for_a_dripping_provider_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with DrippingServer(DRIPS["head"], whole(GOOD)) as server:
        keys = ClockedKeys(jwt_jwks_url=server.url)
        assert keys.has(GOOD)
        server.whole = None
        shorten_limit(monkeypatch, 3.0)
        keys.now += REFETCH_WAIT_S
        with within(IN_TIME_S):
            assert keys.find("made-up") is None
        for number in range(100):
            assert keys.find(f"made-up-{number}") is None
            assert keys.has(GOOD)
        assert server.connections == 2


def test_a_fetch_interrupted_by_a_freeze_is_dropped_and_restarted() -> None:
    with DrippingServer(DRIPS["head"], whole(GOOD)) as server:
        keys = ClockedKeys(jwt_jwks_url=server.url)
        assert keys.has(GOOD)
        server.whole = None
        keys.now += FRESH_S
        assert keys.has(GOOD)
        new = Key("RS256", 2)
        server.whole = whole(new)
        keys.now += 3600  # by this clock; the thread's own clock has stood still
        assert keys.has(new)
