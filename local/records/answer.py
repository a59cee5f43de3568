"""`make answer ID=…`: everything that the local stack has kept about one answer or refusal.

The id is the caller's `x-relay-request-id`. It reads the functions' logs and the archive, so the stack need
not run. Exit status: 0, or 1 if nothing is known about the id.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local.console import printable
from local.records.function_log import record_in
from local.settings import LocalSettings, LocalSettingsError

ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # it becomes part of a file's name

# Fields that every record has, and that say nothing about this answer.
_NOT_SHOWN = {
    "level", "message", "timestamp", "logger", "location", "service", "requestId", "tenantId",
    "transcript_id", "function_request_id", "xray_trace_id", "sampling_rate", "stackTrace", "exception",
    "undelivered_transcript",
}  # fmt: skip


def main() -> int:
    """Print what is known about the answer whose id is in the variable ID."""
    request_id = os.environ.get("ID", "").strip()
    if not ID.fullmatch(request_id):
        print("ID must be the x-relay-request-id of an answer: make answer ID=…", file=sys.stderr)
        return 1
    try:
        settings = LocalSettings.from_environment(os.environ)
    except LocalSettingsError as error:
        print(error, file=sys.stderr)
        return 1
    folders = (settings.archive_folder, settings.undelivered_folder)
    lines = [*logged(settings.log_folder, request_id), *kept(folders, request_id)]
    if not lines:
        print(f"nothing is known about {request_id} in {settings.log_folder} and {folders[0]}")
        return 1
    print("\n".join(printable(line) for line in lines))
    return 0


def logged(log_folder: Path, request_id: str) -> Iterator[str]:
    """What each function has logged about the answer, the streaming function first.

    Args:
        log_folder: with a file for each function, as FunctionLog writes them.
    """
    names_it = re.compile(rf"(?<![\w.-]){re.escape(request_id)}(?![\w-])")
    older_first = sorted(log_folder.glob("*.log*"), key=lambda file: file.name, reverse=True)
    for file in sorted(older_first, key=lambda file: not file.name.startswith("stream-chat.")):
        with file.open(encoding="utf-8", errors="replace") as lines:
            records = [record_in(line) for line in lines if names_it.search(line)]
        for record in records:
            if record and "_aws" not in record:  # metrics, which say the same once more
                yield from _described(file.name.partition(".")[0], record)


def _described(function: str, record: Mapping[str, Any]) -> Iterator[str]:
    message = record.get("message") or f"{record.get('errorType')}: {record.get('errorMessage')}"
    yield f"{function}: {record.get('level')} {message}"
    for name, value in record.items():
        if name not in _NOT_SHOWN and value is not None:
            yield f"  {name:24}{value if isinstance(value, str) else json.dumps(value)}"


def kept(folders: tuple[Path, Path], request_id: str) -> Iterator[str]:
    """Where the transcript is: in the archive, or undelivered."""
    archive, undelivered = folders
    for file in archive.glob(f"transcripts/date=*/{request_id}.jsonl"):
        yield f"transcript: {file}"
    for file in undelivered.glob(f"{request_id}.json"):
        yield f"transcript, not delivered yet: {file}"


if __name__ == "__main__":
    sys.exit(main())
