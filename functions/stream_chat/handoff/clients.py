"""AWS for the hand-off: clients created after the caller's first bytes, calls with a time limit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from aws_client import boto_client, error_code
from timed_calls import TimedCalls

Service = Literal["lambda", "s3", "sqs"]
Result = TypeVar("Result")

# Generous: giving up on a call that AWS later completes would duplicate it.
READ_TIMEOUT_S: dict[Service, float] = {"lambda": 3, "s3": 6, "sqs": 6}
ATTEMPTS = 5

logger = logging.getLogger(__name__)


class HandoffClients:
    """Creates each client once for each environment. `prepare` creates one early, on its own thread."""

    def __init__(self) -> None:
        self._made: dict[Service, Any] = {}
        self._calls = {service: TimedCalls(f"hand-off-{service}") for service in READ_TIMEOUT_S}
        self._making = threading.Lock()
        self._prepared = False

    def prepare(self, service: Service) -> None:
        """Begin to create the service's client. Only the first call has an effect."""
        if not self._prepared:
            self._prepared = True
            threading.Thread(target=self._make_early, args=(service,), name="load-boto3", daemon=True).start()

    def in_time(self, service: Service, limit_s: float, call: Callable[[Any], Result]) -> Result:
        """What `call` returns or raises when it is given the service's client.

        The time to create the client counts towards `limit_s`. Raises TimeoutError: the call has not ended in
        time. It may still take effect.
        """
        return self._calls[service].in_time(limit_s, lambda: call(self._client(service)))

    def _client(self, service: Service) -> Any:
        """The service's client; waits if `prepare` is still creating it."""
        with self._making:
            if service not in self._made:
                read_timeout_s = READ_TIMEOUT_S[service]
                self._made[service] = boto_client(
                    service, connect_timeout_s=1, read_timeout_s=read_timeout_s, attempts=ATTEMPTS
                )
            return self._made[service]

    def _make_early(self, service: Service) -> None:
        try:
            self._client(service)
        except Exception as error:  # noqa: BLE001 - any error occurs again in the call, which reports it
            logger.debug("the %s client could not be created early: %s", service, error_code(error))
