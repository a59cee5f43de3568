"""AWS for the hand-off: clients made when the caller already has his first bytes, calls that end in time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from aws_client import aws_client, error_code

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
        self._making = threading.Lock()
        self._prepared = False

    def prepare(self, service: Service) -> None:
        """Begin to make the service's client: called often, it does something once."""
        if not self._prepared:
            self._prepared = True
            threading.Thread(target=self._make_early, args=(service,), name="load-boto3", daemon=True).start()

    def client(self, service: Service) -> Any:
        """The service's client; waits for what `prepare` has begun."""
        with self._making:
            if service not in self._made:
                self._made[service] = aws_client(
                    service,
                    connect_timeout_s=CONNECT_TIMEOUT_S,
                    read_timeout_s=READ_TIMEOUT_S[service],
                    attempts=ATTEMPTS,
                )
            return self._made[service]

    def _make_early(self, service: Service) -> None:
        try:
            self.client(service)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call meets it again and reports it
            logger.debug("the %s client could not be made early: %s", service, error_code(error))


def in_time(limit_s: float, call: Callable[[], Result]) -> Result:
    """What the call gives back, or raises, if it is over within the limit.

    botocore's timeouts are those of each read and write: a peer that is slow, and not silent, exceeds them
    all. So the call has a thread of its own, which goes on alone when it is given up.

    Raises:
        TimeoutError: when it is not over in time. It may have its effect all the same.
    """
    from concurrent.futures import Future

    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the one who waits gets it
            outcome.set_exception(error)

    threading.Thread(target=run, name="hand-off", daemon=True).start()
    return outcome.result(timeout=max(limit_s, 0))
