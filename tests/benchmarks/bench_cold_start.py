"""Measures how long a new process takes until it waits for work, and until its first answer's first byte."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.benchmarks.contestants import (
    PEERS,
    START_LIMIT_S,
    openai_sdk_command,
    paced_upstream,
    peer_variables,
)
from tests.benchmarks.layer import layer_python
from tests.benchmarks.paced_upstream import Pace
from tests.support.clients.node_programs import install_packages
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports

RUNS = 9
ANSWER = Pace(0, 1, 3)
WRAPPER = PROJECT / "shared" / "lambda_stream" / "exec-wrapper"
EVENT = (
    '{"version":"2.0","rawPath":"/chatCompletion","rawQueryString":"message=hi&model=%s","headers":{},'
    '"requestContext":{"http":{"method":"GET"}}}'
)

RELAY, BARE, SDK, NODE = (
    "this relay",
    "python -c pass",
    "FastAPI and openai SDK on uvicorn",
    "Node: fetch, eventsource-parser, Express",
)


class ColdStart(NamedTuple):
    """Milliseconds from exec until the process waits for work, and until its first answer's first byte."""

    ready_ms: float
    first_byte_ms: float | None


def measure() -> dict[str, ColdStart]:
    """Medians of RUNS cold starts of every service that this machine has, started in turn."""
    python = layer_python()
    with paced_upstream() as upstream_url:
        starts: dict[str, Callable[[], ColdStart]] = {
            BARE: lambda: _bare(python),
            RELAY: lambda: _relay(python, upstream_url),
            SDK: lambda: _http_service(openai_sdk_command, upstream_url),
        }
        if shutil.which("node") and shutil.which("npm"):
            install_packages(PEERS)
            node = ["node", str(PEERS / "article_service.mjs")]
            starts[NODE] = lambda: _http_service(lambda port: node, upstream_url)
        for start in starts.values():
            start()  # warms up the file cache and byte code
        seen: dict[str, list[ColdStart]] = {name: [] for name in starts}
        for _ in range(RUNS):
            for name, start in starts.items():
                seen[name].append(start())
    return {name: _median(values) for name, values in seen.items()}


def _median(values: list[ColdStart]) -> ColdStart:
    first_bytes = [value.first_byte_ms for value in values if value.first_byte_ms is not None]
    return ColdStart(
        statistics.median(value.ready_ms for value in values),
        statistics.median(first_bytes) if first_bytes else None,
    )


def _bare(python: str) -> ColdStart:
    started_at = time.perf_counter()
    subprocess.run([python, "-c", "pass"], check=True)
    return ColdStart(_since_ms(started_at), None)


def _since_ms(started_at: float) -> float:
    return (time.perf_counter() - started_at) * 1000


def _relay(python: str, upstream_url: str) -> ColdStart:
    """Starts the wrapper twice, as Lambda's bootstrap execs it.

    The first start loads the TLS that a deployed relay needs, and is measured until it waits for work. The
    second one uses the local upstream, and is measured until the first byte of its first answer.
    """
    with _runtime(python, "https://api.openai.com/v1") as (_, started_at):
        ready_ms = _since_ms(started_at)
    with _runtime(python, upstream_url) as (runtime, started_at):
        event = (EVENT % ANSWER.model).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        head += b"Lambda-Runtime-Aws-Request-Id: r-1\r\nLambda-Runtime-Deadline-Ms: %d\r\n\r\n"
        runtime.sendall(head % (len(event), (time.time() + START_LIMIT_S) * 1000) + event)
        _read_until(runtime, rb"\0{8}\r\n[1-9a-f]+\r\n")  # the first chunk after the prelude
        return ColdStart(ready_ms, _since_ms(started_at))


@contextlib.contextmanager
def _runtime(python: str, upstream_url: str) -> Iterator[tuple[socket.socket, float]]:
    """A runtime process that has asked for its first invocation: the socket to it, and its start time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        variables = {
            "PATH": os.environ["PATH"],
            "_HANDLER": "app.handle",
            "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.getsockname()[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "stream-chat",
            "AUTH_MODE": "none",
            "OPENAI_BASE_URL": upstream_url,
            "OPENAI_API_KEY": "sk-of-the-benchmark",
        }
        started_at = time.perf_counter()
        with _killed_at_end([str(WRAPPER), python, "bootstrap.py"], variables):
            runtime, _ = server.accept()
            with runtime:
                _read_until(runtime, rb"\r\n\r\n")
                yield runtime, started_at


def _http_service(command: Callable[[int], list[str]], upstream_url: str) -> ColdStart:
    """A web server waits for work as soon as it listens."""
    port = free_ports(1)
    variables = {**peer_variables(upstream_url), "PORT": str(port)}
    started_at = time.perf_counter()
    with _killed_at_end(command(port), variables):
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            assert time.perf_counter() < started_at + START_LIMIT_S, f"{command(port)} does not listen"
            time.sleep(0.001)
        ready_ms = _since_ms(started_at)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT_S)
        connection.request("GET", f"/chatCompletion?message=hi&model={ANSWER.model}")
        connection.getresponse().read(1)
        first_byte_ms = _since_ms(started_at)
        connection.close()
        return ColdStart(ready_ms, first_byte_ms)


@contextlib.contextmanager
def _killed_at_end(command: list[str], variables: dict[str, str]) -> Iterator[None]:
    """A process that is killed when the block ends; only its first byte matters."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=PROJECT, env=variables, stdout=silent, stderr=silent)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _read_until(connection: socket.socket, pattern: bytes) -> None:
    connection.settimeout(START_LIMIT_S)
    got = b""
    while not re.search(pattern, got):
        data = connection.recv(65536)
        assert data, f"closed before {pattern!r}: {got!r}"
        got += data
