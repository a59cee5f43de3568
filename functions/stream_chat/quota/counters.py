"""The table of counters in DynamoDB. Only this module knows it.

Each caller and window has one item: `id`, `count` and `expires_at` (its TTL). The item of a day or month also
has `spare`: the part of its count that answers in progress reserve beyond their estimates, and most of which
they will probably return. One conditional update checks for room and takes it, so concurrent requests see
each other: if a hundred arrive and fifty have room, fifty are admitted.

Each call may be made twice. If only the response to the first is lost, it counts twice: this costs the caller
one request, and correcting a day may return too much by what one request has reserved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from aws_client import CallLimits, aws_client, error_code
from quota import usage_windows as windows
from quota.usage_windows import Window

LIMITS: CallLimits = {"connect_timeout_s": 1, "read_timeout_s": 1, "attempts": 2}

# An item outlives its window by more than the longest invocation, whose answer is booked in that window.
KEPT_S = 3600

_HAS_ROOM = "#count <= :highest"
_IS_NEW_OR_HAS_ROOM = f"attribute_not_exists(#count) OR {_HAS_ROOM}"


class CountersUnreachableError(Exception):
    """The table cannot be reached or refuses the call. The message is AWS's error code."""


class Taken(NamedTuple):
    """How much of a window is taken."""

    counted: int
    spare: int  # the part of it that answers in progress reserve beyond their estimates


class NoRoomError(Exception):
    """The limit has no room for the request."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken


class Need(NamedTuple):
    """How much of a window a request needs."""

    window: Window
    limit: int
    room: int  # its estimate, for which the window must have room
    reserved: int  # what it reserves at first
    elsewhere: str | None = None  # the field that refers to content of unknown size, if there is one
    # From a transcript's document, what the exchange has used; None if the reservation is final.
    used: Callable[[Mapping[str, Any]], int] | None = None

    @property
    def spare(self) -> int:
        """What it reserves beyond its estimate."""
        return self.reserved - self.room


class Counters:
    """The table of counters. Its methods raise CountersUnreachableError for any failure of a call."""

    def __init__(self, table_name: str, dynamodb: Any = None, ends_at: float = math.inf) -> None:
        self._table_name = table_name
        self._ends_at = ends_at
        self._dynamodb = dynamodb or aws_client("dynamodb", **LIMITS)

    def within(self, limit_s: float) -> Counters:
        """The same table, for calls that together take at most `limit_s`."""
        return Counters(self._table_name, self._dynamodb, time.monotonic() + limit_s)

    def take(self, caller: str, need: Need) -> int:
        """Count what the request reserves if its estimate has room; returns the new count.

        Raises NoRoomError, and then counts nothing.
        """
        # A comparison with an absent count is false: what exceeds the whole limit has room in no window.
        condition = _IS_NEW_OR_HAS_ROOM if need.room <= need.limit else _HAS_ROOM
        return self._add(caller, need.window, need.reserved, need.spare, condition, need.limit - need.room)

    def correct(self, caller: str, window: Window, difference: int, spare: int) -> None:
        """Change the count by `difference`, whatever the limit; `spare` is no longer reserved."""
        if difference or spare:
            self._add(caller, window, difference, -spare)

    def read(self, caller: str, window: Window) -> Taken:
        """How much of this window is taken. Changes nothing."""
        try:
            answer = self._in_time().get_item(
                TableName=self._table_name,
                Key={"id": {"S": windows.counter_id(caller, window)}},
                ConsistentRead=True,
            )
            return _taken(answer.get("Item") or {})
        except Exception as error:  # noqa: BLE001 - a setting decides what any failure means
            raise CountersUnreachableError(error_code(error)) from None

    def _in_time(self) -> Any:
        """The client. Raises TimeoutError if no time is left: a call would begin, and could take effect."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no time is left")
        return self._dynamodb.within(left_s)

    def _add(
        self, caller: str, window: Window, amount: int, spare: int, condition: str = "", highest: int = 0
    ) -> int:
        values = {":amount": amount, ":expires_at": window.ends_at + KEPT_S}
        added = "#count :amount"
        if spare:
            values[":spare"] = spare
            added = f"{added}, spare :spare"
        conditions = {}
        if condition:
            values[":highest"] = highest
            conditions = {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            answer = self._in_time().update_item(
                TableName=self._table_name,
                Key={"id": {"S": windows.counter_id(caller, window)}},
                UpdateExpression=f"ADD {added} SET expires_at = :expires_at",
                ExpressionAttributeNames={"#count": "count"},  # a reserved word
                ExpressionAttributeValues={name: {"N": str(value)} for name, value in values.items()},
                ReturnValues="UPDATED_NEW",
                **conditions,
            )
            return _number_in(answer["Attributes"], "count")
        except Exception as error:  # noqa: BLE001 - a setting decides what any failure means
            if isinstance(error, ClientError) and error_code(error) == "ConditionalCheckFailedException":
                item: Any = error.response.get("Item") or {}
                raise NoRoomError(_taken(item)) from None
            raise CountersUnreachableError(error_code(error)) from None


def _taken(item: Mapping[str, Any]) -> Taken:
    return Taken(_number_in(item, "count"), _number_in(item, "spare"))


def _number_in(attributes: Mapping[str, Any], name: str) -> int:
    return int(attributes[name]["N"]) if name in attributes else 0
