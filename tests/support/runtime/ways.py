"""The ways from the relay to an upstream: http or https, directly or through a proxy."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.network.connect_proxy import ConnectProxy
from tests.support.upstreams.scripted_exchanges import Answer
from tests.support.upstreams.scripted_server import ScriptedServer

WAYS = [
    "http", "https",
    "http proxy to http", "http proxy to https", "https proxy to http", "https proxy to https",
]  # fmt: skip


@contextmanager
def way_to_the_upstream(
    way: str, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, *answers: Answer, **proxy_options: Any
) -> Iterator[tuple[ScriptedServer, ConnectProxy | None]]:
    """A scripted server that is reached by one of the WAYS, and the proxy if there is one."""
    through, to = way.split(" to ") if " to " in way else ("", way)
    with ScriptedServer(*answers, tls=tls if to == "https" else None) as server:
        if not through:
            yield server, None
            return
        with ConnectProxy(tls if "https" in through else None, **proxy_options) as proxy:
            monkeypatch.setenv(f"{to}_proxy", proxy.url.replace("//", "//us%40er:p%3Ass@"))
            yield server, proxy
