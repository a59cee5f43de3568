from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lambda_stream.environment.log_format import JsonFormatter, StandardOutput, TelemetryFrames, runtime_log
from lambda_stream.error_report import ErrorReport, FaultError


def frames(data: bytes) -> list[tuple[int, str]]:
    found = []
    while data:
        kind, size, stamp_us = (int.from_bytes(data[at:end], "big") for at, end in ((0, 4), (4, 8), (8, 16)))
        assert 1_600_000_000_000_000 < stamp_us < 4_000_000_000_000_000, "microseconds since the epoch"
        found.append((kind, data[16 : 16 + size].decode()))
        data = data[16 + size :]
    return found


@pytest.fixture
def root_logger() -> Any:
    root = logging.getLogger()
    handlers, level, converter = root.handlers[:], root.level, logging.Formatter.converter
    yield root
    root.handlers[:], logging.Formatter.converter = handlers, converter
    root.setLevel(level)


def telemetry(path: Path, root: logging.Logger, **environ: str) -> list[tuple[int, str]]:
    """Return the frames that two records and an error report write to the telemetry descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    settings = {"_LAMBDA_TELEMETRY_LOG_FD": str(descriptor), **environ}
    log = runtime_log(settings)
    assert "_LAMBDA_TELEMETRY_LOG_FD" not in settings
    log.install()
    log.request_id = "r-1"
    root.setLevel(min(root.level, logging.INFO))
    root.info("one\ntwo")
    root.critical("three")
    log.report(ErrorReport("E", "m", ["  File x\n    y\n"]), "r-1")
    sink = root.handlers[-1].log_sink  # type: ignore[attr-defined]
    assert isinstance(sink, TelemetryFrames)
    sink._file.close()
    return frames(path.read_bytes())


def test_text_logs_with_a_level_have_frame_types_by_level(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    info, critical, error = telemetry(tmp_path / "log", root_logger, AWS_LAMBDA_LOG_LEVEL="info")
    assert (info[0], critical[0], error[0]) == (0xA55A000F, 0xA55A001B, 0xA55A0017)
    assert info[1].endswith("\tr-1\tone\ntwo\n")
    assert (
        error[1]
        == "[ERROR] E: m\nTraceback (most recent call last):\n\u00a0\u00a0File x\n\u00a0\u00a0\u00a0\u00a0y"
    )


def test_text_logs_without_a_level_have_the_plain_text_frame_type(
    tmp_path: Path, root_logger: logging.Logger
) -> None:
    assert [kind for kind, _ in telemetry(tmp_path / "log", root_logger)] == [
        0xA55A0003,
        0xA55A0003,
        0xA55A0017,
    ]


def test_json_logs_have_frame_types_by_level(tmp_path: Path, root_logger: logging.Logger) -> None:
    found = telemetry(tmp_path / "log", root_logger, AWS_LAMBDA_LOG_FORMAT="JSON")
    assert [kind for kind, _ in found] == [0xA55A000E, 0xA55A001A, 0xA55A0016]
    assert json.loads(found[0][1])["message"] == "one\ntwo"
    assert json.loads(found[2][1])["errorMessage"] == "m"


def formatted(message: object, **fields: Any) -> dict[str, Any]:
    record = logging.makeLogRecord({"msg": message, "name": "app", "levelno": 35, **fields})
    entry: dict[str, Any] = json.loads(JsonFormatter().format(record))
    return entry


def test_a_json_record_has_the_fields_of_the_stock_formatter() -> None:
    entry = formatted("hi", aws_request_id="r-1", tenant_id="t", route="/x", odd=object)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "level": "WARNING",
        "message": "hi",
        "logger": "app",
        "requestId": "r-1",
        "tenantId": "t",
        "route": "/x",
        "odd": "<class 'object'>",
    }


def test_extra_fields_never_replace_the_formatters_own() -> None:
    own = dict.fromkeys(("location", "errorType", "errorMessage", "stackTrace", "requestId"), "extra")
    assert set(formatted("hi", **own)) == {"timestamp", "level", "message", "logger"}


def test_a_json_record_has_the_task_name_if_there_is_one() -> None:
    assert formatted("hi", taskName="Task-1")["taskName"] == "Task-1"
    assert "taskName" not in formatted("hi", taskName=None)


def test_a_message_that_is_a_dict_becomes_a_json_object() -> None:
    assert formatted({"a": 1})["message"] == {"a": 1}


def test_an_exception_is_logged_with_type_message_and_stack() -> None:
    try:
        int("no")
    except ValueError:
        entry = formatted("failed", exc_info=sys.exc_info(), pathname="p", funcName="f", lineno=3)
    assert (entry["errorType"], entry["errorMessage"], entry["location"]) == (
        "ValueError",
        "invalid literal for int() with base 10: 'no'",
        "p:f:3",
    )
    assert "test_an_exception_is_logged" in entry["stackTrace"][0]


def test_an_error_whose_str_raises_is_still_reported() -> None:
    class BadError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert ErrorReport.of(BadError()).message == "<unprintable BadError object>"


def test_the_runtimes_own_errors_are_validation_errors_in_xray() -> None:
    report = ErrorReport.of(FaultError("Runtime.HandlerNotFound", "none"))
    assert json.loads(report.xray_cause())["exceptions"] == [
        {"message": "none", "type": "LambdaValidationError", "stack": []}
    ]


def test_a_record_that_ends_in_a_traceback_gets_a_line_end(capsys: pytest.CaptureFixture[str]) -> None:
    output = StandardOutput()
    output.log("[ERROR]\tfailed\nValueError: no")
    output.log("[INFO]\tnext\n")
    assert capsys.readouterr().out == "[ERROR]\tfailed\nValueError: no\n[INFO]\tnext\n"
