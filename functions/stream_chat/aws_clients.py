"""boto3 for the hand-off: loaded late, and as patient as there is time."""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any, Literal

Service = Literal["lambda", "s3", "sqs"]

MAX_ATTEMPTS = 5
CONNECT_TIMEOUT_S = 1.0
# Lambda takes an asynchronous invoke in milliseconds. The others are given a bad day: to give up on what they
# do at last makes a duplicate of it.
READ_TIMEOUT_S: dict[Service, float] = {"lambda": 1.0, "s3": 5.0, "sqs": 6.0}
LEAST_TIMEOUT_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a call is attempted, and how long each attempt waits to connect and for each read."""

    attempts: int
    connect_timeout_s: float
    read_timeout_s: float

    @classmethod
    def within(cls, service: Service, budget_s: float) -> Patience:
        """As many attempts as are over within the budget even if each of them hangs; at least a short one."""
        attempt_s = CONNECT_TIMEOUT_S + READ_TIMEOUT_S[service]
        for attempts in range(MAX_ATTEMPTS, 0, -1):
            # botocore waits up to 1, 2, 4, 8 seconds between them (its standard mode).
            if attempts * attempt_s + 2 ** (attempts - 1) - 1 <= budget_s:
                return cls(attempts, CONNECT_TIMEOUT_S, READ_TIMEOUT_S[service])
        timeout_s = max(budget_s / 2, LEAST_TIMEOUT_S)
        return cls(1, min(timeout_s, CONNECT_TIMEOUT_S), timeout_s)


class AwsClients:
    """Makes boto3 clients, and keeps the patient ones, which serve every ordinary answer.

    To import boto3 takes a third of a second. `prepare` does that on a thread of its own.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Service, Patience], Any] = {}
        self._preparing: threading.Thread | None = None

    def prepare(self, service: Service) -> None:
        """Begin to make the service's client, once for each environment."""
        if not self._kept and self._preparing is None:
            self._preparing = threading.Thread(
                target=self._make_early, args=(service,), name="load-boto3", daemon=True
            )
            self._preparing.start()

    def client(self, service: Service, budget_s: float) -> Any:
        """A client for one call that may take `budget_s`; waits for what `prepare` has begun."""
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        patience = Patience.within(service, budget_s)
        client = self._kept.get((service, patience)) or _make(service, patience)
        if patience.attempts == MAX_ATTEMPTS:
            self._kept[service, patience] = client
        return client

    def _make_early(self, service: Service) -> None:
        patience = Patience.within(service, float("inf"))
        try:
            self._kept[service, patience] = _make(service, patience)
        except Exception as error:  # noqa: BLE001 - whatever it is, `client` meets it again and raises it
            logger.debug("the %s client could not be made early: %s", service, type(error).__name__)


def _make(service: Service, patience: Patience) -> Any:
    boto3 = importlib.import_module("boto3")
    config = importlib.import_module("botocore.config").Config(
        connect_timeout=patience.connect_timeout_s,
        read_timeout=patience.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
    )
    return boto3.client(service, config=config)
