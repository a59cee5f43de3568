"""Reports of errors for the Runtime API, X-Ray and the log, in the formats of the stock client."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_OWN_FOLDER = str(Path(__file__).parent) + os.sep

MAX_TYPE_CHARACTERS = 128  # the type is sent in a header


class FaultError(Exception):
    """An error that the runtime itself finds: a handler that does not exist, an event that is not JSON.

    `type` is one of the `Runtime.…` names that Lambda's consoles and metrics know.
    """

    def __init__(self, error_type: str, message: str, stack_trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.type = error_type
        self.message = message
        self.stack_trace = stack_trace


class ErrorReport(NamedTuple):
    """An error in the form in which it is reported.

    `stack_trace` is the result of `traceback.format_list`. `frames` holds the same frames for X-Ray, each as
    (file, line number, function).
    """

    type: str
    message: str
    stack_trace: list[str] = []  # noqa: RUF012  (shared default, never mutated)
    frames: list[tuple[str, int, str]] = []  # noqa: RUF012

    @classmethod
    def of(cls, error: BaseException) -> ErrorReport:
        """Describe `error` as the stock client does, without the runtime's own frames at the start."""
        if isinstance(error, FaultError):
            return cls(error.type, error.message, error.stack_trace or [])
        stack = _user_frames(traceback.extract_tb(error.__traceback__))
        frames = [(frame.filename, frame.lineno or 0, frame.name) for frame in stack]
        return cls(type(error).__name__, _message_of(error), traceback.format_list(stack), frames)

    def document(self, request_id: str = "") -> dict[str, Any]:
        """Return the body of a POST to `…/error`, with the stock client's keys in their order."""
        return {
            "errorMessage": self.message,
            "errorType": self.type,
            "requestId": request_id,
            "stackTrace": self.stack_trace,
        }

    def shortened(self, fits: Callable[[ErrorReport], bool]) -> ErrorReport:
        """Shorten this report until `fits` accepts it, or until nothing is left to drop.

        The type is cut first; then the outermost frames are dropped; then the message is cut.
        """
        report = self._replace(type=self.type[:MAX_TYPE_CHARACTERS])
        while not fits(report) and (report.stack_trace or report.frames):
            dropped = 1 + len(report.stack_trace or report.frames) // 8
            report = report._replace(stack_trace=report.stack_trace[dropped:], frames=report.frames[dropped:])
        while not fits(report) and report.message:
            report = report._replace(message=report.message[: len(report.message) // 2])
        return report

    def xray_cause(self) -> str:
        """Return the JSON for the header `Lambda-Runtime-Function-XRay-Error-Cause`."""
        stack = [{"label": name, "path": path, "line": line} for path, line, name in self.frames]
        error_type = "LambdaValidationError" if self.type.startswith("Runtime.") else self.type
        return json.dumps(
            {
                "working_directory": _working_directory(),
                "exceptions": [{"message": self.message, "type": error_type, "stack": stack}],
                "paths": sorted({path for path, _, _ in self.frames}),
            },
            separators=(",", ":"),
        )


def _user_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return `stack` from the first frame outside this package on, or all of it if there is none."""
    for position, frame in enumerate(stack):
        if not frame.filename.startswith(_OWN_FOLDER):
            return stack[position:]
    return list(stack)


def _working_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # the directory has been removed
        return ""


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an exception in `__str__` must not hide the error)
        return f"<unprintable {type(error).__name__} object>"
