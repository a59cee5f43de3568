"""The function's log in the stock client's format: lines of text or JSON, plain or framed for the platform.

AWS_LAMBDA_LOG_FORMAT (Text or JSON) and AWS_LAMBDA_LOG_LEVEL choose the format and the level. If Lambda sets
`_LAMBDA_TELEMETRY_LOG_FD`, it expects messages on that file descriptor, each in a frame, so that a message of
several lines stays one log event.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, Protocol

from lambda_stream.checked_values import log_format, log_level, telemetry_descriptor
from lambda_stream.error_report import ErrorReport

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TEXT_LINE = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
_NO_BREAK_SPACE = "\u00a0"  # the log viewers strip ordinary spaces at the start of a line

# Frame types: 0xa55a0002 (JSON) or 0xa55a0003 (text) without a level; with one, plus 8 for DEBUG and 4 more
# for each level above it.
_JSON_FRAME = 0xA55A0002
_TEXT_FRAME = 0xA55A0003
# Attributes of every record: all others come from `extra`. The stock formatter also writes `taskName`, which
# records have from Python 3.12 on.
_STANDARD_FIELDS = (frozenset(vars(logging.makeLogRecord({}))) - {"taskName"}) | {
    "aws_request_id",
    "tenant_id",
    "message",
    "asctime",
    "_frame_type",
}


class LogSink(Protocol):
    """A destination for log messages."""

    def log(self, message: str, frame_type: int | None = None) -> None:
        """Write one message."""

    def log_error(self, lines: list[str], frame_type: int) -> None:
        """Write the lines of one error report as one message."""


class StandardOutput:
    """Writes messages to standard output, where Lambda, an emulator or a terminal reads lines."""

    def __init__(self) -> None:
        # A lone surrogate in a message is written escaped: it must not keep an error out of the log.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")

    def log(self, message: str, frame_type: int | None = None) -> None:
        """Write one message and end its line: formats do that too, except after a traceback."""
        sys.stdout.write(message if message.endswith("\n") else f"{message}\n")
        sys.stdout.flush()

    def log_error(self, lines: list[str], frame_type: int) -> None:
        """Write an error report as one line; CR separates the lines of the report within it."""
        self.log("\r".join(lines) + "\n")


class TelemetryFrames:
    """Writes messages to a file descriptor in frames.

    A frame is: type (4 bytes), length (4), time in µs since the epoch (8), all big-endian; then the text.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def log(self, message: str, frame_type: int | None = None) -> None:
        """Write one message as one frame."""
        data = message.encode("utf-8", "backslashreplace")
        head = (frame_type or _TEXT_FRAME).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        unwritten = memoryview(head + (time.time_ns() // 1000).to_bytes(8, "big") + data)
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) :]

    def log_error(self, lines: list[str], frame_type: int) -> None:
        """Write an error report as one frame."""
        self.log("\n".join(lines), frame_type)


class RuntimeLog:
    """The log of one runtime process: the root logger's handler and the reports of unhandled errors.

    `request_id` and `tenant_id` are those of the current invocation, and are added to each record.
    """

    def __init__(self, sink: LogSink, *, json_lines: bool, level: str) -> None:
        self._sink = sink
        self._json_lines = json_lines
        self._level = level
        self.request_id: str | None = None
        self.tenant_id: str | None = None

    def install(self) -> None:
        """Set the root logger's handler and level, and UTC as the time of every formatter, as on Lambda."""
        logging.Formatter.converter = time.gmtime
        handler = _SinkHandler(self._sink, with_frame_types=self._json_lines or bool(self._level))
        text_formatter = logging.Formatter(_TEXT_LINE, "%Y-%m-%dT%H:%M:%S")
        handler.setFormatter(JsonFormatter() if self._json_lines else text_formatter)
        handler.addFilter(self._add_invocation)
        root = logging.getLogger()
        root.addHandler(handler)
        if self._level:
            root.setLevel(self._level)

    def report(self, report: ErrorReport, request_id: str = "") -> None:
        """Write an unhandled error in the form that Lambda's consoles recognise."""
        document = report.document(request_id)
        if self._json_lines:
            record = {"timestamp": time.strftime(_TIME_FORMAT, time.gmtime()), "level": "ERROR", **document}
            lines = [json.dumps(record, ensure_ascii=False)]
        else:
            lines = ["[ERROR] " + ": ".join(part for part in (report.type, report.message) if part)]
            if report.stack_trace:
                lines.append("Traceback (most recent call last):")
            for entry in report.stack_trace:
                lines += [_indent(line) for line in entry.splitlines()] if entry else [""]
        frame = _JSON_FRAME if self._json_lines else _TEXT_FRAME
        self._sink.log_error(lines, _frame_type(logging.ERROR, frame))

    def _add_invocation(self, record: logging.LogRecord) -> bool:
        record.aws_request_id = self.request_id or ""
        record.tenant_id = self.tenant_id
        return True


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON with the stock client's keys.

    Fields given as `extra` are added; they never replace one of those keys, even one that is absent.
    """

    def __init__(self) -> None:
        super().__init__(datefmt=_TIME_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as JSON text and a line end; a message that is a dict becomes an object."""
        level = _whole_level(record.levelno)
        is_object = isinstance(record.msg, dict) and not record.args
        entry: dict[str, Any] = {
            "timestamp": self.formatTime(record, self.datefmt),
            "level": logging.getLevelName(level),
            "message": record.msg if is_object else record.getMessage(),
            "logger": record.name,
            **dict.fromkeys(("stackTrace", "errorType", "errorMessage", "location")),
            "requestId": getattr(record, "aws_request_id", None),
            "tenantId": getattr(record, "tenant_id", None),
        }
        if record.exc_info and record.exc_info[0]:
            error_type, error, trace = record.exc_info
            entry |= {
                "stackTrace": traceback.format_tb(trace),
                "errorType": error_type.__name__,
                "errorMessage": str(error),
                "location": f"{record.pathname}:{record.funcName}:{record.lineno}",
            }
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS and name not in entry:
                entry[name] = value
        entry = {name: value for name, value in entry.items() if value is not None}
        return json.dumps(entry, ensure_ascii=False, default=str) + "\n"


class _SinkHandler(logging.Handler):
    def __init__(self, sink: LogSink, *, with_frame_types: bool) -> None:
        super().__init__()
        self.log_sink = sink
        self._with_frame_types = with_frame_types

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
            frame = _JSON_FRAME if isinstance(self.formatter, JsonFormatter) else _TEXT_FRAME
            self.log_sink.log(message, _frame_type(record.levelno, frame) if self._with_frame_types else None)
        except Exception:  # noqa: BLE001  (logging's own rule: a record that cannot be written raises nothing)
            self.handleError(record)


def runtime_log(environ: MutableMapping[str, str]) -> RuntimeLog:
    """Create the log that the environment variables ask for."""
    descriptor = telemetry_descriptor(environ)
    sink: LogSink = StandardOutput() if descriptor is None else TelemetryFrames(descriptor)
    return RuntimeLog(sink, json_lines=log_format(environ) == "JSON", level=log_level(environ))


def _indent(line: str) -> str:
    text = line.lstrip(" ")
    return _NO_BREAK_SPACE * (len(line) - len(text)) + text


def _whole_level(level: int) -> int:
    return min(50, max(0, level)) // 10 * 10


def _frame_type(level: int, base: int) -> int:
    steps = _whole_level(level) // 10
    return base + 4 * (steps + 1) if steps else base
