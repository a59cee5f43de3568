"""The measured services: each is a separate process between the same upstream and the same caller."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.clients.node_programs import install_packages
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports

PEERS = Path(__file__).parent / "peers"
START_LIMIT_S = 30.0

Request = Literal["GET text", "POST events"]


@dataclass(frozen=True)
class Running:
    """A process that serves at `url`; its costs are those of the process `pid`."""

    url: str
    pid: int


@dataclass(frozen=True)
class Contestant:
    """A service, and the kind of request that it is measured with.

    `start` takes the upstream's URL and returns a context in which the service runs.
    """

    name: str
    request: Request
    start: Callable[[str], contextlib.AbstractContextManager[Running]]


def peer_variables(upstream_url: str) -> dict[str, str]:
    """The environment variables of a service."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {
        "PYTHONPATH": str(PROJECT / "shared"),
        "OPENAI_BASE_URL": upstream_url,
        "OPENAI_API_KEY": "sk-of-the-benchmark",
        "MAX_ENVIRONMENTS": "1",
    }


@contextlib.contextmanager
def program(command: Sequence[str], variables: dict[str, str]) -> Iterator[dict[str, object]]:
    """A program that runs during the block. Yields the JSON on its first line of output."""
    process = subprocess.Popen(
        command, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"{command} has ended: run it by hand to see why"
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def paced_upstream() -> Iterator[str]:
    """The paced upstream. Yields its URL for OPENAI_BASE_URL."""
    with program([sys.executable, "-m", "tests.benchmarks.paced_upstream"], peer_variables("")) as ready:
        yield str(ready["url"])


@contextlib.contextmanager
def direct(upstream_url: str) -> Iterator[Running]:
    """No service between caller and upstream: the costs are those of the benchmark itself."""
    yield Running(upstream_url.removesuffix("/v1"), os.getpid())


@contextlib.contextmanager
def relay(upstream_url: str) -> Iterator[Running]:
    """This relay: the runtime process under the local emulator."""
    with _reporting([sys.executable, "-m", "tests.benchmarks.peers.relay_service"], upstream_url) as running:
        yield running


@contextlib.contextmanager
def stock_relay(upstream_url: str) -> Iterator[Running]:
    """The same with httpx's own transport."""
    command = [sys.executable, "-m", "tests.benchmarks.peers.relay_service", "stock_transport.handle"]
    with _reporting(command, upstream_url) as running:
        yield running


@contextlib.contextmanager
def article_service(upstream_url: str) -> Iterator[Running]:
    """The Node service, as in the article."""
    install_packages(PEERS)
    with _reporting(["node", str(PEERS / "article_service.mjs")], upstream_url) as running:
        yield running


@contextlib.contextmanager
def socket_copy(upstream_url: str) -> Iterator[Running]:
    """The lower bound: a copy from socket to socket."""
    address = upstream_url.removeprefix("http://").partition("/")[0]
    with _reporting([sys.executable, str(PEERS / "socket_copy.py"), address], upstream_url) as running:
        yield running


def openai_sdk_command(port: int) -> list[str]:
    """The command that starts FastAPI's service."""
    service = "tests.benchmarks.peers.openai_sdk_service:app"
    return [sys.executable, "-m", "uvicorn", service, "--port", str(port), "--log-level", "warning"]


@contextlib.contextmanager
def openai_sdk_service(upstream_url: str) -> Iterator[Running]:
    """FastAPI and the openai SDK on uvicorn."""
    port = free_ports(1)
    with _listening(openai_sdk_command(port), peer_variables(upstream_url), port) as running:
        yield running


@contextlib.contextmanager
def nginx(upstream_url: str) -> Iterator[Running]:
    """nginx as a proxy without buffering."""
    port = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(
            (PEERS / "nginx.conf")
            .read_text()
            .replace("PORT", str(port))
            .replace("UPSTREAM", upstream_url.removeprefix("http://").removesuffix("/v1"))
        )
        command = ["nginx", "-e", "stderr", "-p", folder, "-c", str(configuration)]
        with _listening(command, peer_variables(""), port) as running:
            yield running


@contextlib.contextmanager
def _reporting(command: Sequence[str], upstream_url: str) -> Iterator[Running]:
    with program(command, peer_variables(upstream_url)) as ready:
        yield Running(str(ready["url"]), int(str(ready["pid"])))


@contextlib.contextmanager
def _listening(command: Sequence[str], variables: dict[str, str], port: int) -> Iterator[Running]:
    process = subprocess.Popen(command, cwd=PROJECT, env=variables)
    try:
        limit_at = time.monotonic() + START_LIMIT_S
        while True:
            assert process.poll() is None, f"{command} has ended"
            assert time.monotonic() < limit_at, f"{command} does not listen"
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.05)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(START_LIMIT_S)


RELAY_TEXT = Contestant("this relay, text", "GET text", relay)
RELAY_SSE = Contestant("this relay, events", "POST events", relay)
STOCK_TEXT = Contestant("this relay with httpx.HTTPTransport, text", "GET text", stock_relay)
NODE = Contestant("Node: fetch, eventsource-parser, Express", "GET text", article_service)
SDK = Contestant("FastAPI and openai SDK on uvicorn", "GET text", openai_sdk_service)
DIRECT = Contestant("nothing in between", "POST events", direct)
COPY = Contestant("socket copy in Python", "POST events", socket_copy)
NGINX = Contestant("nginx", "POST events", nginx)


def present() -> list[Contestant]:
    """The contestants on this machine: those in Node and nginx only if it has these programs."""
    contestants = [DIRECT, RELAY_TEXT, RELAY_SSE, STOCK_TEXT]
    contestants += [NODE] if shutil.which("node") and shutil.which("npm") else []
    contestants.append(SDK)
    contestants.append(COPY)
    contestants += [NGINX] if shutil.which("nginx") else []
    return contestants
