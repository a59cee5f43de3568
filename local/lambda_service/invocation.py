"""One invocation: where the one who asked (a URL, the Invoke endpoint) meets the environment that answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # Lambda's limit for a synchronous invocation's event, and its answer
# What may wait for a caller who reads slower than the runtime writes, before the runtime is held back.
MAX_WAITING_BYTES = 256 * 1024

TRUNCATED = "Runtime.TruncatedResponse"  # the runtime's connection broke in the middle of its answer

FailureKind = Literal["error", "exit", "timeout", "throttled"]


class InvocationFailed(Exception):  # noqa: N818 - it names what happened, as Lambda's metric does
    """The function did not answer, or did not answer to the end."""

    def __init__(self, kind: FailureKind, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.kind = kind
        self.error_type = error_type
        self.message = message


class CallerHasGone(ConnectionError):  # noqa: N818
    """Nobody waits for this answer any more."""


@dataclass(frozen=True, slots=True)
class AnswerMode:
    """How the runtime announced its answer: streamed or buffered, and of which media type."""

    streaming: bool
    content_type: str


@dataclass
class Invocation:
    """An event on its way in and its answer on the way out; lives on one event loop.

    `payload` is the event as JSON bytes. `max_waiting_bytes` bounds what is held for a slow caller.
    """

    payload: bytes
    trace_id: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # Lambda's own id of this delivery of the event; the runtime has to give it back.
    invocation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    max_waiting_bytes: int = MAX_WAITING_BYTES

    def __post_init__(self) -> None:
        self.deadline_ms = 0
        self.abandoned = False
        self.sent_bytes = 0  # of the answer's body, to a caller over HTTP
        self.failure: InvocationFailed | None = None
        self._mode: AnswerMode | None = None
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._on_abandon: list[Callable[[], None]] = []

    # The side that answers.

    def begin(self, timeout_s: float) -> None:
        """The environment takes the event now; its time starts."""
        self.deadline_ms = int((time.time() + timeout_s) * 1000)

    def start(self, mode: AnswerMode) -> None:
        """The answer begins."""
        self._mode = mode
        self._readable.set()

    async def write(self, data: bytes) -> None:
        """Pass on a part of the answer; waits while the caller is behind. Raises CallerHasGone."""
        while self._waiting_bytes >= self.max_waiting_bytes and not self.abandoned:
            self._writable.clear()
            await self._writable.wait()
        if self.abandoned:
            raise CallerHasGone
        self._parts.append(data)
        self._waiting_bytes += len(data)
        self._readable.set()

    def end(self) -> None:
        """The answer is whole."""
        self._ended = True
        self._readable.set()

    def fail(self, failure: InvocationFailed) -> None:
        """There will be no (more) answer; what came first stands, so this is ignored after the end."""
        if not self.is_over:
            self.failure = failure
            self._readable.set()

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended, well or badly."""
        return self._ended or self.failure is not None

    # The side that asked.

    async def mode(self) -> AnswerMode:
        """Wait for the answer to begin. Raises InvocationFailed when it never does."""
        while self._mode is None:
            if self.failure:
                raise self.failure
            self._readable.clear()
            await self._readable.wait()
        return self._mode

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they come; raises InvocationFailed after the last of a broken answer."""
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._waiting_bytes -= len(part)
                self._writable.set()
                yield part
            if self.failure:
                raise self.failure
            if self._ended:
                return
            self._readable.clear()
            await self._readable.wait()

    def abandon(self) -> None:
        """The caller has gone: whoever writes the answer is told."""
        self.abandoned = True
        self._writable.set()
        for callback in self._on_abandon:
            callback()

    def on_abandon(self, callback: Callable[[], None]) -> None:
        """Call this when the caller goes; at once if he has gone already."""
        if self.abandoned:
            callback()
        else:
            self._on_abandon.append(callback)
