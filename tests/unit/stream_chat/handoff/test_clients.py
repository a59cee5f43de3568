"""The clients of the hand-off are created once, when they are needed or a little earlier."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from handoff.clients import ATTEMPTS, HandoffClients, Service

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def may_begin() -> threading.Event:
    """Clients are created once this is set."""
    return threading.Event()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, may_begin: threading.Event) -> list[str]:
    """The services whose clients have been created."""
    services: list[str] = []

    def make(service: str, **limits: Any) -> object:
        assert may_begin.wait(20)
        services.append(service)
        return object()

    monkeypatch.setattr("handoff.clients.boto_client", make)
    return services


def client_of(clients: HandoffClients, service: Service) -> Any:
    return clients.in_time(service, 10, lambda client: client)


def loading() -> bool:
    return "load-boto3" in {thread.name for thread in threading.enumerate()}


def test_prepare_begins_once_and_does_not_wait(made: list[str], may_begin: threading.Event) -> None:
    clients = HandoffClients()
    for _ in range(10):
        clients.prepare("lambda")
    assert loading()
    assert made == []
    may_begin.set()
    client = client_of(clients, "lambda")
    assert client_of(clients, "lambda") is client
    clients.prepare("lambda")
    assert made == ["lambda"]


def test_each_service_has_its_own_client_created_on_first_use(
    made: list[str], may_begin: threading.Event
) -> None:
    may_begin.set()
    clients = HandoffClients()
    assert client_of(clients, "sqs") is not client_of(clients, "s3")
    assert made == ["sqs", "s3"]


def test_a_client_that_cannot_be_created_early_is_created_when_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[str] = []

    def fail(service: str, **limits: Any) -> object:
        attempts.append(service)
        if len(attempts) == 1:
            raise OSError("not yet")
        return "client"

    monkeypatch.setattr("handoff.clients.boto_client", fail)
    clients = HandoffClients()
    clients.prepare("lambda")
    while loading():
        time.sleep(0.01)
    assert client_of(clients, "lambda") == "client"


def test_clients_retry_in_botocores_standard_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = client_of(HandoffClients(), "lambda")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": ATTEMPTS}
    client.close()
