"""The functions' own log: kept in files, with what matters shown on the terminal.

Each function has a file, as it has a log group in CloudWatch when deployed. On the terminal, an answer is the
line of its transcript; of the log, refusals are one line, and warnings and errors are shown with all that
they say.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from chat_stream.json_values import parsed_object
from local.console import clock, joined

MAX_FILE_BYTES = 5_000_000  # for each function; one older file of this size is kept
LONGEST_VALUE = 200

_LABELLED = re.compile(r"\[(?P<label>[^]]+)\] (?P<line>.*)", re.DOTALL)
# Fields of every record, or shown in another way. An undelivered transcript is only in the file.
_SHOWN_ELSEWHERE = {
    "timestamp", "level", "message", "logger", "location", "service", "requestId", "function_request_id",
    "sampling_rate", "xray_trace_id", "tenantId", "errorType", "errorMessage", "stackTrace", "exception",
    "exception_name", "undelivered_transcript",
}  # fmt: skip


class FunctionLog:
    """Takes the lines that the environments of functions print, each with its label in front.

    Args:
        folder: for the files, `<function>.log`.
        print_lines: shows lines on the terminal that stay together.
        verbose: shows every record.
    """

    def __init__(self, folder: Path, print_lines: Callable[..., None], *, verbose: bool) -> None:
        self._folder = folder
        self._print_lines = print_lines
        self._verbose = verbose
        self._files: dict[str, RotatingFileHandler] = {}

    def printer(self, function: str) -> Callable[[str], None]:
        """A callback for the lines that this function prints."""
        file = RotatingFileHandler(
            self._folder / f"{function}.log",
            maxBytes=MAX_FILE_BYTES,
            backupCount=1,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )
        self._files[function] = file
        return partial(self._take, file)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def _take(self, file: RotatingFileHandler, text: str) -> None:
        match = _LABELLED.fullmatch(text)
        label, line = match.group("label", "line") if match else ("", text)
        file.emit(logging.makeLogRecord({"msg": line}))
        record = record_in(line)
        if record is None:
            self._print_lines(text)
        elif "_aws" in record:
            pass  # metrics are for the file only
        elif record.get("outcome") == "refused":
            self._print_lines(_refusal_line(record))
        elif self._verbose or record.get("level") not in ("DEBUG", "INFO"):
            self._print_lines(*(f"[{label}] {one}" for one in _message_lines(record)))


def record_in(line: str) -> dict[str, Any] | None:
    """The log record or the metrics in a line; None for any other text."""
    record = parsed_object(line)
    return record if "level" in record or "_aws" in record else None


def _refusal_line(record: Mapping[str, Any]) -> str:
    caller = record.get("caller")
    return joined(
        f"[refused] {clock(record['timestamp'])}",
        f"{record.get('status')} {record.get('code', '')}",
        record.get("route"),
        caller and f"caller={caller}",
        record.get("requestId"),
    )


def _message_lines(record: Mapping[str, Any]) -> list[str]:
    error = ": ".join(str(record[name]) for name in ("errorType", "errorMessage") if record.get(name))
    details = [
        f"{name}={str(value)[:LONGEST_VALUE]}"
        for name, value in record.items()
        if name not in _SHOWN_ELSEWHERE and value is not None
    ]
    message = joined(f"{record['level']} {record.get('message') or error}", *details)
    trace = record.get("stackTrace") or record.get("exception") or []
    trace_lines = [
        line for entry in ([trace] if isinstance(trace, str) else trace) for line in str(entry).splitlines()
    ]
    return [message, *([error] if error and record.get("message") else []), *trace_lines]
