"""A ResponseStream that keeps its bytes in memory, with the time of each write."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from lambda_stream import CallerGoneError, ResponseStream
from lambda_stream.error_report import ErrorReport


class RecordedBody:
    """Records the answer. With `goes_after`, the caller leaves once that many pieces have been written."""

    def __init__(self, goes_after: int | None = None) -> None:
        self.prelude: Mapping[str, Any] | None = None
        self.pieces: list[bytes] = []
        self.written_at: list[float] = []
        self.error: ErrorReport | None = None
        self.ended = False
        self._goes_after = goes_after
        self._piece_came = threading.Condition()

    def open(self, prelude: Mapping[str, Any]) -> None:
        self.prelude = prelude
        self._go_if_due()

    def write(self, data: bytes, give_up_at: float) -> None:
        self._go_if_due()
        with self._piece_came:
            self.pieces.append(data)
            self.written_at.append(time.monotonic())
            self._piece_came.notify_all()

    def end(self, error: ErrorReport | None, give_up_at: float) -> None:
        self.error = error
        self.ended = True

    def settle(self, give_up_at: float) -> None:
        return

    def wait_for_pieces(self, number: int, timeout_s: float = 20.0) -> None:
        """Wait until `number` pieces have been written."""
        with self._piece_came:
            assert self._piece_came.wait_for(lambda: len(self.pieces) >= number, timeout_s), self.pieces

    def _go_if_due(self) -> None:
        if self._goes_after is not None and len(self.pieces) >= self._goes_after:
            raise CallerGoneError("the caller has gone")


def recorded_stream(goes_after: int | None = None) -> tuple[ResponseStream, RecordedBody]:
    """A stream, and the body that records what is written to it."""
    body = RecordedBody(goes_after)
    return ResponseStream(body), body
