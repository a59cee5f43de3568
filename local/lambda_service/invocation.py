"""One invocation, between its caller (the function URL, Invoke) and the environment that answers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024  # Lambda's limit for the event and the answer of a synchronous invocation
MAX_WAITING_BYTES = 256 * 1024  # buffered for a slow caller before the runtime's writes have to wait

TRUNCATED = "Runtime.TruncatedResponse"  # the runtime's connection broke in the middle of its answer

FailureKind = Literal["error", "exit", "timeout", "throttled"]


class InvocationError(Exception):
    """The function did not answer, or not completely."""

    def __init__(self, kind: FailureKind, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.kind = kind
        self.error_type = error_type
        self.message = message


class CallerGoneError(ConnectionError):
    """The caller no longer waits for this answer."""


@dataclass(frozen=True, slots=True)
class AnswerMode:
    """How the runtime announced its answer: streamed or buffered, and its media type."""

    streaming: bool
    content_type: str


@dataclass
class Invocation:
    """An event and its answer; to be used on one event loop only.

    `payload` is the event as JSON bytes. `max_waiting_bytes` limits what is buffered for a slow caller.
    """

    payload: bytes
    trace_id: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    # Lambda's id of this delivery of the event, which the runtime has to send back.
    invocation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    max_waiting_bytes: int = MAX_WAITING_BYTES

    def __post_init__(self) -> None:
        self.deadline_ms = 0
        self.abandoned = False
        self.sent_bytes = 0  # bytes of the answer's body that the function URL has sent
        self.failure: InvocationError | None = None
        self._mode: AnswerMode | None = None
        self._parts: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._on_abandon: list[Callable[[], None]] = []

    # The side that answers.

    def begin(self, timeout_s: float) -> None:
        """The environment takes the event; its time limit starts now."""
        self.deadline_ms = int((time.time() + timeout_s) * 1000)

    def start(self, mode: AnswerMode) -> None:
        """The answer begins."""
        self._mode = mode
        self._readable.set()

    async def write(self, data: bytes) -> None:
        """Pass on a part of the answer; waits while the buffer is full. Raises CallerGoneError."""
        while self._waiting_bytes >= self.max_waiting_bytes and not self.abandoned:
            self._writable.clear()
            await self._writable.wait()
        if self.abandoned:
            raise CallerGoneError
        self._parts.append(data)
        self._waiting_bytes += len(data)
        self._readable.set()

    def end(self) -> None:
        """The answer is complete."""
        self._ended = True
        self._readable.set()

    def fail(self, failure: InvocationError) -> None:
        """The answer fails. Ignored if it has already ended or failed."""
        if not self.is_over:
            self.failure = failure
            self._readable.set()

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended or failed."""
        return self._ended or self.failure is not None

    # The caller's side.

    async def mode(self) -> AnswerMode:
        """Wait until the answer begins. Raises InvocationError if it never does."""
        while self._mode is None:
            if self.failure:
                raise self.failure
            self._readable.clear()
            await self._readable.wait()
        return self._mode

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they arrive. Raises InvocationError after the last of a broken answer."""
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
        """The caller has gone: notify the side that answers."""
        self.abandoned = True
        self._writable.set()
        for callback in self._on_abandon:
            callback()

    def on_abandon(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the caller goes, or now if they have gone already."""
        if self.abandoned:
            callback()
        else:
            self._on_abandon.append(callback)
