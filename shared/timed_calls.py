"""Calls with a time limit for the whole call, whatever the peer does. Each call runs on its own thread.

Socket timeouts, and so those of httpx and botocore, limit one read, one write or one address. A peer that is
slow but never silent exceeds them all, and no timeout ends a DNS lookup (`getaddrinfo`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_ABANDONED = 4  # an abandoned call keeps its arguments in memory, such as a transcript

Result = TypeVar("Result")


class TimedCall(Generic[Result]):
    """A call that has begun.

    Only the code that began the call can take its result: a late thread writes to nothing else.
    """

    def __init__(self, limit_s: float, call: Callable[[], Result], name: str) -> None:
        self._ends_at = time.monotonic() + max(limit_s, 0)
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), name=name, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the call is still running, within its time or not."""
        return self._thread.is_alive()

    @property
    def is_late(self) -> bool:
        """Whether the call is still running after its time limit."""
        return self.is_running and time.monotonic() >= self._ends_at

    def result(self, limit_s: float = math.inf) -> Result:
        """What the call returns or raises; call this once. Waits at most until the call's time limit, or for
        `limit_s` if that is shorter.

        Raises TimeoutError: the call did not end in time. It may still take effect.
        """
        self._thread.join(max(min(self._ends_at - time.monotonic(), limit_s), 0))
        if self._results:
            return self._results.pop()
        self._ends_at = -math.inf  # if it is still running, it is late from now on
        error, self._error = self._error or TimeoutError("the call has taken too long"), None
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, and so the arguments of the call

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            self._results.append(call())
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error


class TimedCalls:
    """The calls to one peer, on threads with this name. A call that exceeds its time limit is abandoned.

    While `max_abandoned` late calls are still running, no other call begins. So a peer that hangs forever
    costs no more threads than that, and no thread waits for it any longer.
    """

    def __init__(self, name: str, max_abandoned: int = MAX_ABANDONED) -> None:
        self._name = name
        self._max_abandoned = max_abandoned
        self._running: list[TimedCall[object]] = []
        self._lock = threading.Lock()

    def begin(self, limit_s: float, call: Callable[[], Result]) -> TimedCall[Result]:
        """Begin a call that should end within `limit_s`. Raises TimeoutError: too many calls are late."""
        with self._lock:
            self._running = [one for one in self._running if one.is_running]
            if sum(one.is_late for one in self._running) >= self._max_abandoned:
                raise TimeoutError(f"{self._max_abandoned} late calls before this one are still running")
            begun = TimedCall(limit_s, call, self._name)
            self._running.append(begun)  # type: ignore[arg-type]  # no result is put into it
        return begun

    def in_time(self, limit_s: float, call: Callable[[], Result]) -> Result:
        """What the call returns or raises if it ends within `limit_s`.

        Raises TimeoutError: the call has not ended in time, though it may still take effect; or too many
        calls before it are late.
        """
        return self.begin(limit_s, call).result()
