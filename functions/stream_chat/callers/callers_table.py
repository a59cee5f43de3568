"""The callers whose keys are in DynamoDB, where they are added and revoked while the function runs.

An item has the key's SHA-256 (`sha256`, 64 hex digits) and the caller's name (`name`). The table is read
whole and kept, so that wrong keys cost no call each.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from aws_client import CallLimits, aws_client, error_code
from callers.key_hashes import holder
from errors import unavailable
from settings import CALLER_KEY

FRESH_S = 300.0  # a revoked key is refused within five minutes
REREAD_WAIT_S = 10.0  # a new key is accepted within ten seconds; a flood of wrong keys causes no more calls
STALE_S = 24 * 3600.0  # during an outage of DynamoDB

LIMITS: CallLimits = {"connect_timeout_s": 1, "read_timeout_s": 1, "attempts": 2}
LIMIT_S = 5.0  # for all pages: the caller is waiting for the first byte

Keys = tuple[tuple[str, str], ...]

logger = logging.getLogger(__name__)


class CallersTable:
    """The table's keys in one environment. It serves one request at a time, so nothing here needs a lock.

    Args:
        name: the table's.
        clock: seconds. Not the monotonic clock: it may stand still while Lambda has frozen the environment,
            and a revoked key would stay good for that long.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._clock = clock
        self._client: Any = aws_client("dynamodb", **LIMITS)
        self._keys: Keys = ()
        self._read_at = self._next_read_at = -math.inf
        self._failed = False

    def holder(self, sha256: str) -> str | None:
        """The name beside this hash, or None. Reads the table if its copy is not fresh or lacks the hash.

        Raises:
            RequestError: 503, the table cannot be read, and the hash is not among those known before.
        """
        age_s = self._clock() - self._read_at
        if age_s >= STALE_S:
            self._keys = ()
        name = holder(sha256, self._keys)
        is_fresh = name is not None and 0 <= age_s < FRESH_S  # below 0 the clock has been set back
        if not is_fresh and not 0 < self._wait_s() <= REREAD_WAIT_S:
            self._read()
            name = holder(sha256, self._keys)
        if name is None and self._failed:
            message = "The table of callers is unavailable at the moment, so the key cannot be checked."
            raise unavailable("callers_unavailable", message, self._wait_s())
        return name

    def _wait_s(self) -> float:
        return self._next_read_at - self._clock()

    def _read(self) -> None:
        """Read the whole table; if that fails, the keys stay."""
        begun_at = self._clock()
        try:
            self._keys = tuple(self._items())
            self._read_at = begun_at
            self._failed = False
        except Exception as error:  # noqa: BLE001 - whatever it is, known callers are not at fault
            logger.warning("the table of callers cannot be read: %s", error_code(error))
            self._failed = True
        self._next_read_at = self._clock() + REREAD_WAIT_S

    def _items(self) -> Iterator[tuple[str, str]]:
        """Each valid item's name and hash. Raises whatever the client raises, and TimeoutError."""
        until = time.monotonic() + LIMIT_S
        request: dict[str, Any] = {"TableName": self._name, "ConsistentRead": True}
        faulty = 0
        while True:
            page = self._client.within(until - time.monotonic()).scan(**request)
            for item in page["Items"]:
                name, sha256 = (item.get(key, {}).get("S", "") for key in ("name", "sha256"))
                if match := CALLER_KEY.fullmatch(f"{name}:{sha256}"):
                    yield match["name"], match["sha256"].lower()
                else:  # not quoted: it may be a key in plain text
                    faulty += 1
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        if faulty:
            logger.warning("the table of callers has %d items without a name and a hash", faulty)
