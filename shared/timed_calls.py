"""Calls that end in time, whatever the peer does: each has a thread of its own and a limit for the whole.

The timeouts of sockets, and so those of httpx and botocore, are for one read, one write or one address: a
peer that is slow but never silent exceeds them all, and no timeout ends a look-up of a name (`getaddrinfo`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_LEFT_ALONE = 4  # each keeps what it was called with: a transcript, say

Result = TypeVar("Result")


class TimedCall(Generic[Result]):
    """A call that has begun.

    Whoever began it takes the result or never sees it: the thread writes to nothing else, however late.
    """

    def __init__(self, limit_s: float, call: Callable[[], Result], name: str) -> None:
        self._ends_at = time.monotonic() + max(limit_s, 0)
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), name=name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread is still at it, in time or not."""
        return self._thread.is_alive()

    @property
    def is_late(self) -> bool:
        """Whether it is still running after its time."""
        return self.is_running and time.monotonic() >= self._ends_at

    def result(self, limit_s: float = math.inf) -> Result:
        """What the call gives back, or raises: once. Waits for it no longer than to the end of its time.

        Args:
            limit_s: how long to wait at most, if that is less.

        Raises:
            TimeoutError: when it is not over in time. It may have its effect all the same.
        """
        self._thread.join(max(min(self._ends_at - time.monotonic(), limit_s), 0))
        if self._results:
            return self._results.pop()
        self._ends_at = -math.inf  # if it is still running, nobody waits for it any longer
        error, self._error = self._error or TimeoutError("the call has taken too long"), None
        try:
            raise error
        finally:
            del error  # which holds this frame, and so whatever the call was made with

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            self._results.append(call())
        except BaseException as error:  # noqa: BLE001 - the one who waits gets it
            self._error = error


class TimedCalls:
    """The calls to one peer. Those that exceed their time are left alone, but only so many of them.

    Args:
        name: of the threads.
        max_left_alone: while so many are late and still running, no further call is begun: a peer that hangs
            for good costs no more threads than that, and nobody waits for it any longer.
    """

    def __init__(self, name: str, max_left_alone: int = MAX_LEFT_ALONE) -> None:
        self._name = name
        self._max_left_alone = max_left_alone
        self._running: list[TimedCall[object]] = []
        self._lock = threading.Lock()

    def begin(self, limit_s: float, call: Callable[[], Result]) -> TimedCall[Result]:
        """Begin the call, to be over within the limit.

        Raises:
            TimeoutError: too many calls are late.
        """
        with self._lock:
            self._running = [one for one in self._running if one.is_running]
            if sum(one.is_late for one in self._running) >= self._max_left_alone:
                raise TimeoutError(f"{self._max_left_alone} calls before this one are still running")
            begun = TimedCall(limit_s, call, self._name)
            self._running.append(begun)  # type: ignore[arg-type]  # nothing is put into it
        return begun

    def in_time(self, limit_s: float, call: Callable[[], Result]) -> Result:
        """What the call gives back, or raises, if it is over within the limit.

        Raises:
            TimeoutError: when it is not over in time, and may have its effect all the same; or too many calls
                before it were not either.
        """
        return self.begin(limit_s, call).result()
