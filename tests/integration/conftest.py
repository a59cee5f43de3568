"""Fixtures that several integration tests share."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.support.network.loopback_tls import server_tls
from tests.support.runtime.relaying import RelayCall, relay_to
from tests.support.transcripts.handing_off import InvokeEndpoint
from tests.support.upstreams.exchanges import StartExchange, exchanges
from tests.support.upstreams.replay_upstream import ReplayUpstream


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
    """Retries with waits that are too short to notice."""
    monkeypatch.setattr("upstream.exchange.BACKOFF_S", 0.01)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that the test names."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's side of TLS, with a certificate that the relay trusts."""
    certificate = tmp_path / "certificate.pem"
    context = server_tls(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


@pytest.fixture
def start(replay: ReplayUpstream, model: str) -> Iterator[StartExchange]:
    """Begin an exchange of the upstream client with the replayed upstream."""
    with exchanges(replay, model) as start_exchange:
        yield start_exchange


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """moto's server as AWS. It is empty, although all moto servers of one process share their state."""
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


@pytest.fixture
def endpoint() -> Iterator[InvokeEndpoint]:
    """Lambda's Invoke endpoint, for the hand-off."""
    with InvokeEndpoint(202) as server:
        yield server


@pytest.fixture
def handoff_aws(monkeypatch: pytest.MonkeyPatch, endpoint: InvokeEndpoint, moto_url: str) -> None:
    """The environment of the hand-off: that endpoint as Lambda, and moto as every other service."""
    variables = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL_LAMBDA": endpoint.url,
        "AWS_ENDPOINT_URL_S3": moto_url,
        "AWS_ENDPOINT_URL_SQS": moto_url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def dead_letters(handoff_aws: None) -> Iterator[str]:
    """The URL of the queue for transcripts with which the companion cannot be invoked."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="undelivered")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)
    sqs.close()
