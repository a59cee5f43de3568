"""AWS for the hand-off: clients made when the caller already has his first bytes, calls that end in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from aws_client import boto_client, error_code
from timed_calls import TimedCalls

Service = Literal["lambda", "s3", "sqs"]
Result = TypeVar("Result")

# A bad day of AWS's is waited for: to give up on what it does at last makes a duplicate of that.
CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S: dict[Service, float] = {"lambda": 3, "s3": 6, "sqs": 6}
ATTEMPTS = 5

logger = logging.getLogger(__name__)


class HandoffClients:
    """Makes each client once for each environment. `prepare` makes one on a thread of its own, meanwhile."""

    def __init__(self) -> None:
        self._made: dict[Service, Any] = {}
        self._calls = {service: TimedCalls(f"hand-off-{service}") for service in READ_TIMEOUT_S}
        self._making = threading.Lock()
        self._prepared = False

    def prepare(self, service: Service) -> None:
        """Begin to make the service's client: called often, it does something once."""
        if not self._prepared:
            self._prepared = True
            threading.Thread(target=self._make_early, args=(service,), name="load-boto3", daemon=True).start()

    def in_time(self, service: Service, limit_s: float, call: Callable[[Any], Result]) -> Result:
        """What `call` gives back, or raises, when it is given the service's client.

        The time that it takes to make the client counts.

        Raises:
            TimeoutError: when it is not over in time. It may have its effect all the same.
        """
        return self._calls[service].in_time(limit_s, lambda: call(self._client(service)))

    def _client(self, service: Service) -> Any:
        """The service's client; waits for what `prepare` has begun."""
        with self._making:
            if service not in self._made:
                self._made[service] = boto_client(
                    service,
                    connect_timeout_s=CONNECT_TIMEOUT_S,
                    read_timeout_s=READ_TIMEOUT_S[service],
                    attempts=ATTEMPTS,
                )
            return self._made[service]

    def _make_early(self, service: Service) -> None:
        try:
            self._client(service)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call meets it again and reports it
            logger.debug("the %s client could not be made early: %s", service, error_code(error))
