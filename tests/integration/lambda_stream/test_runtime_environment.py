"""Variables and headers of the platform are used if they are plausible, otherwise ignored with a warning."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from lambda_stream.checked_values import MAX_CONCURRENCY
from tests.support.runtime.recording_runtime_api import (
    HANDLERS,
    RecordingRuntimeApi,
    Reply,
    RuntimeProcess,
    runtime,
)

DEADLINE = "Lambda-Runtime-Deadline-Ms"
NOW_S = int(time.time())
IMPLAUSIBLE_DEADLINES = [
    "600000",
    "0",
    "-1",
    "",
    "soon",
    "NaN",
    "Infinity",
    "1e15",
    "0x1f",
    "\xb2",
    str(NOW_S + 60),
    f"{NOW_S + 60}.5",
    f"{NOW_S + 60}000.5",
    str((NOW_S - 5) * 1000),
    f"{NOW_S + 60}000000",
    str((NOW_S + 7 * 86400) * 1000),
    "9" * 30,
    "9" * 5000,
]


def test_an_implausible_deadline_is_ignored_and_a_later_plausible_one_is_used() -> None:
    with runtime() as (api, process):
        for deadline in IMPLAUSIBLE_DEADLINES:
            assert api.state(headers={DEADLINE: deadline})["remaining_ms"] == sys.maxsize, deadline
        assert api.state(headers={DEADLINE: None})["remaining_ms"] == sys.maxsize
        assert 0 < api.state(deadline_s=900)["remaining_ms"] <= 900_000
        (line,) = process.log.splitlines()
    assert f"{DEADLINE} is '600000', not a time within the next 15 minutes" in line


@pytest.mark.parametrize("action", ["hello", "raise after"])
def test_every_answer_reaches_the_runtime_api_with_an_implausible_deadline(action: str) -> None:
    with runtime() as (api, process):
        for deadline in ("600000", "-5"):
            # The reply is held longer than an answer is waited for after its deadline.
            request = api.invoke({"do": action}, headers={DEADLINE: deadline}, reply=Reply(hold_s=1.2))
            assert request.ended
        assert api.state()["callbacks_run"] == [action] * 2
        assert "did not" not in process.log


@pytest.mark.parametrize("concurrency", ["", "0", "1.5", str(MAX_CONCURRENCY + 1), "9" * 5000])
def test_an_implausible_concurrency_is_ignored(concurrency: str) -> None:
    with runtime(environ={"AWS_LAMBDA_MAX_CONCURRENCY": concurrency}) as (api, process):
        assert api.state()["pid"] == process.pid, "one process, as without the variable"
        (line,) = process.log.splitlines()
    assert line.startswith(
        f"AWS_LAMBDA_MAX_CONCURRENCY is {concurrency[:40]!r}, not a whole number from 1 to 1600"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("AWS_LAMBDA_LOG_LEVEL", "LOUD"), ("AWS_LAMBDA_LOG_LEVEL", "30"), ("AWS_LAMBDA_LOG_FORMAT", "xml")],
)
def test_an_unknown_log_format_or_level_is_ignored(name: str, value: str) -> None:
    with runtime(environ={name: value}) as (api, process):
        api.invoke({"do": "log"})
        log = process.log
    assert log.count(f"{name} is {value!r}, not one of ") == 1
    assert "a word of warning" in log


@pytest.mark.parametrize("descriptor", ["one", "-1", "97", "0"])
def test_a_telemetry_descriptor_that_is_not_writable_is_ignored(descriptor: str) -> None:
    with runtime(environ={"_LAMBDA_TELEMETRY_LOG_FD": descriptor}) as (api, process):
        api.invoke({"do": "raise before"})
        log = process.log
    problem = "not a file descriptor that is open for writing"
    assert f"_LAMBDA_TELEMETRY_LOG_FD is {descriptor!r}, {problem}" in log
    assert "[ERROR] ValueError: no answer" in log, "on standard output instead"


@pytest.mark.parametrize("path", ["/nowhere/socket", "x" * 500])
def test_a_log_socket_without_a_listener_is_ignored(path: str) -> None:
    environ = {"AWS_LAMBDA_MAX_CONCURRENCY": "1", "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET": path}
    with runtime(environ=environ) as (api, process):
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
        (line,) = process.log.splitlines()
    assert line.startswith("_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET is '")


@pytest.mark.parametrize(("scheme", "suffix"), [("", "/.rt/"), ("http://", "/a/b")])
def test_the_address_of_the_runtime_api_may_have_a_path(scheme: str, suffix: str) -> None:
    with RecordingRuntimeApi() as api:
        api.path_prefix = suffix.rstrip("/")
        address = f"{scheme}{api.address}{suffix}"
        process = RuntimeProcess(api, "stream_handlers.handle", {"AWS_LAMBDA_RUNTIME_API": address})
        try:
            for action in ("hello", "raise before", "hello"):
                assert api.invoke({"do": action}).ended
        finally:
            process.kill()
    assert {request.path[: len(api.path_prefix)] for request in api.recorded} == {api.path_prefix}


def test_a_malformed_runtime_api_address_is_one_line_that_quotes_it() -> None:
    with RecordingRuntimeApi() as api:
        process = RuntimeProcess(api, "stream_handlers.handle", {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:none"})
        assert process.wait() == 1
        (line,) = process.log.splitlines()
    assert line.startswith("lambda_stream: ")
    assert "127.0.0.1:none" in line


ODD = {
    "request id with a space and a slash": {"Lambda-Runtime-Aws-Request-Id": "a /b?c#d"},
    "request id not ASCII": {"Lambda-Runtime-Aws-Request-Id": "ä-1"},
    "long request id": {"Lambda-Runtime-Aws-Request-Id": "r" * 8000},
    "long invocation id": {"Lambda-Runtime-Invocation-Id": "i" * 8000},
    "trace id not ASCII": {"Lambda-Runtime-Trace-Id": "Root=\xff"},
    "trace id with NUL": {"Lambda-Runtime-Trace-Id": "Root=\0"},
    "client context is a list": {"Lambda-Runtime-Client-Context": "[1]"},
    "client context of odd types": {
        "Lambda-Runtime-Client-Context": '{"client": 5, "w3c": 7, "custom": "x"}'
    },
    "identity is a number": {"Lambda-Runtime-Cognito-Identity": "5"},
    "no ARN": {"Lambda-Runtime-Invoked-Function-Arn": None},
    "no content type": {"Content-Type": None},
}


def test_answers_arrive_whatever_headers_the_invocation_has() -> None:
    with runtime() as (api, process):
        for case, headers in ODD.items():
            assert api.invoke({"do": "hello"}, headers=headers).pieces == [b"hello ", b"world"], case
            refused = api.invoke({"do": "raise before"}, headers=headers)
            assert refused.error_body["errorType"] == "ValueError", case
        assert "lambda_stream/" not in process.log


def test_an_invocation_without_a_request_id_is_logged_and_the_next_is_served() -> None:
    with runtime() as (api, process):
        api.submit({"do": "hello"}, headers={"Lambda-Runtime-Aws-Request-Id": None})
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
        assert "Lambda-Runtime-Aws-Request-Id is missing: no answer can reach its invocation" in process.log


@pytest.mark.parametrize("handler", ["", "stream_handlers.", "a..b"])
def test_a_malformed_handler_name_is_an_init_error(handler: str) -> None:
    with runtime(handler) as (api, process):
        assert process.wait() == 1
        (report,) = api.recorded
    assert report.path == "/2018-06-01/runtime/init/error"
    assert report.error_body["errorMessage"]


def test_an_event_that_is_not_an_object_is_passed_to_the_handler(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(
        "import json\n"
        "from lambda_stream import streaming_handler\n"
        "@streaming_handler\n"
        "def handle(event, stream, context):\n"
        "    stream.start()\n"
        "    stream.write(json.dumps(event).encode())\n"
    )
    with runtime("echo.handle", {"LAMBDA_TASK_ROOT": f"{tmp_path}:{HANDLERS}"}) as (api, process):
        for event in (b"[]", b"null", b'"text"', b"5", b"true", b""):
            assert api.invoke(event).pieces == [event or b"{}"]
        assert process.log == ""


def test_an_event_that_is_not_json_is_logged_without_a_traceback() -> None:
    with runtime() as (api, process):
        api.invoke(b"{")
        (line,) = process.log.splitlines()
    assert line.startswith("[ERROR] Runtime.UnmarshalError: Unable to unmarshal input: ")
