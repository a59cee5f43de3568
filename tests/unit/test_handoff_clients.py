"""The hand-off's clients, made once, and its calls, which end in time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from handoff_clients import ATTEMPTS, HandoffClients, in_time

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The services whose clients have been made."""
    services: list[str] = []

    def make(service: str, **limits: Any) -> object:
        time.sleep(0.05)
        services.append(service)
        return object()

    monkeypatch.setattr("handoff_clients.aws_client", make)
    return services


def loading() -> bool:
    return "load-boto3" in {thread.name for thread in threading.enumerate()}


def test_prepare_begins_once_and_does_not_wait(made: list[str]) -> None:
    clients = HandoffClients()
    started_at = time.monotonic()
    for _ in range(10):
        clients.prepare("lambda")
    assert time.monotonic() - started_at < 0.05
    assert loading()
    client = clients.client("lambda")
    assert clients.client("lambda") is client
    clients.prepare("lambda")
    assert made == ["lambda"]


def test_each_service_has_a_client_of_its_own_made_when_it_is_first_needed(made: list[str]) -> None:
    clients = HandoffClients()
    assert clients.client("sqs") is not clients.client("s3")
    assert made == ["sqs", "s3"]


def test_a_client_that_cannot_be_made_early_is_made_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[str] = []

    def fail(service: str, **limits: Any) -> object:
        attempts.append(service)
        if len(attempts) == 1:
            raise OSError("not yet")
        return "client"

    monkeypatch.setattr("handoff_clients.aws_client", fail)
    clients = HandoffClients()
    clients.prepare("lambda")
    while loading():
        time.sleep(0.01)
    assert clients.client("lambda") == "client"


def test_clients_retry_in_botocores_standard_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = HandoffClients().client("lambda")
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": ATTEMPTS}
    client.close()


def test_a_call_that_is_over_in_time_gives_back_what_it_did() -> None:
    assert in_time(5, lambda: 7) == 7


def test_a_call_that_fails_in_time_raises_its_own_error() -> None:
    def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        in_time(5, fail)


@pytest.mark.parametrize("limit_s", [0.1, 0, -1])
def test_a_call_that_is_not_over_in_time_is_given_up_and_goes_on_alone(limit_s: float) -> None:
    let_go, done = threading.Event(), threading.Event()

    def call() -> None:
        let_go.wait(10)
        done.set()

    started_at = time.monotonic()
    with pytest.raises(TimeoutError):
        in_time(limit_s, call)
    assert time.monotonic() - started_at < 1
    let_go.set()
    assert done.wait(10)
