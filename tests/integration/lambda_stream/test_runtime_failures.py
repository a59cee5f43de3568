"""Each failure as it looks on the wire; after each, the same process serves the next invocation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_stream.runtime_api import MAX_XRAY_CAUSE_BYTES
from tests.support.runtime.recording_runtime_api import PATIENCE_S, RecordingRuntimeApi, Reply, runtime


@pytest.fixture(scope="module")
def api() -> Iterator[RecordingRuntimeApi]:
    with runtime() as (api, _):
        yield api


def test_an_exception_before_the_first_byte_is_reported_as_the_stock_client_does(
    api: RecordingRuntimeApi,
) -> None:
    request = api.invoke({"do": "raise before"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-1"})
    assert request.line == "POST /2018-06-01/runtime/invocation/r-1/error HTTP/1.1"
    assert request.headers["lambda-runtime-function-error-type"] == "ValueError"
    error = request.error_body
    assert list(error) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert (error["errorMessage"], error["errorType"], error["requestId"]) == (
        "no answer\x00 ü",
        "ValueError",
        "r-1",
    )
    assert "stream_handlers.py" in error["stackTrace"][0], "the runtime's own frames are left out"
    assert "in _raise_before\n" in error["stackTrace"][-1]
    cause = json.loads(request.headers["lambda-runtime-function-xray-error-cause"])
    assert cause["exceptions"][0]["type"] == "ValueError"
    assert [frame["label"] for frame in cause["exceptions"][0]["stack"]] == ["handle", "_raise_before"]


def test_the_xray_cause_fits_into_a_header_however_long_the_error_is(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "raise before", "times": 30_000})
    cause = request.headers["lambda-runtime-function-xray-error-cause"]
    assert len(cause) <= MAX_XRAY_CAUSE_BYTES
    assert json.loads(cause)["exceptions"][0]["message"].startswith("no answer\x00 ü")
    assert len(request.error_body["errorMessage"]) == 30_000 * len("no answer\x00 ü")


@pytest.mark.parametrize("started", [False, True])
def test_a_caller_gone_error_of_another_stream_ends_the_answer_as_an_error(
    api: RecordingRuntimeApi, started: bool
) -> None:
    request = api.invoke({"do": "foreign caller gone", "started": started})
    headers = request.trailers if started else request.headers
    assert headers["lambda-runtime-function-error-type"] == "CallerGoneError"
    assert request.error_body["errorMessage"] == "of another connection"


def test_an_exception_in_mid_stream_ends_the_body_with_trailers(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "raise after"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-2"})
    assert request.path.endswith("/response")
    assert request.pieces == [b"half an ans"]
    assert request.ended
    # The exception is called "GrößenError", which is not valid in a header.
    assert request.trailers["lambda-runtime-function-error-type"] == r"Gr\xf6\xdfenError"
    error = request.error_body
    assert (error["errorType"], error["errorMessage"], error["requestId"]) == (
        "GrößenError",
        "it broke",
        "r-2",
    )
    assert "in _raise_after\n" in error["stackTrace"][-1]


def test_an_abort_in_mid_stream_ends_the_body_with_trailers_without_a_stack_trace(
    api: RecordingRuntimeApi,
) -> None:
    request = api.invoke({"do": "abort after"})
    assert request.pieces == [b"half an ans"], "nothing is written after the abort"
    assert request.trailers["lambda-runtime-function-error-type"] == "Upstream.Interrupted"
    assert request.error_body["errorMessage"] == "the model went away"
    assert request.error_body["stackTrace"] == []


def test_an_abort_before_the_start_is_an_error_of_the_invocation(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "abort before"})
    assert request.path.endswith("/error")
    assert request.headers["lambda-runtime-function-error-type"] == "Upstream.Interrupted"
    assert request.error_body["stackTrace"] == []


def test_callbacks_run_after_every_kind_of_end_before_the_next_invocation() -> None:
    with runtime() as (api, _):
        for action in ("hello", "raise before", "raise after", "abort before", "abort after", "empty"):
            api.invoke({"do": action})
        api.invoke({"do": "slow"}, reply=Reply(after_chunks=3, reset=True))
        api.invoke({"do": "hello"}, reply=Reply(410))
        api.invoke({"do": "callback fails"})
        run = api.state()["callbacks_run"]
    expected = [
        "hello", "raise before", "raise after", "abort before", "abort after", "empty", "slow", "hello",
    ]  # fmt: skip
    assert run == [*expected, "callback fails", "the one after"]


def test_callbacks_run_only_after_the_runtime_api_has_acknowledged_the_answer(
    api: RecordingRuntimeApi,
) -> None:
    request = api.invoke({"do": "hello"}, reply=Reply(hold_s=0.2))
    assert api.state()["callbacks_run_at"][-1] >= request.replied_at


FAILURES = {
    "exception before": ({"do": "raise before"}, Reply()),
    "exception after": ({"do": "raise after"}, Reply()),
    "abort before": ({"do": "abort before"}, Reply()),
    "abort after": ({"do": "abort after"}, Reply()),
    "failing callback": ({"do": "callback fails"}, Reply()),
    "event not JSON": (b"{", Reply()),
    "answer stale": ({"do": "hello"}, Reply(410)),
    "answer too large": ({"do": "hello"}, Reply(413)),
    "mode refused": ({"do": "hello"}, Reply(400)),
    "wrong state": ({"do": "hello"}, Reply(403)),
    "error report refused": ({"do": "raise before"}, Reply(403)),
    "stale in mid-answer": ({"do": "slow"}, Reply(410, after_chunks=4)),
    "refused in mid-answer": ({"do": "slow"}, Reply(413, after_chunks=4)),
    "refused and closed in mid-answer": ({"do": "slow"}, Reply(413, after_chunks=4, close=True)),
    "accepted in mid-answer": ({"do": "slow"}, Reply(202, after_chunks=4)),
    "accepted and closed in mid-answer": ({"do": "slow"}, Reply(202, after_chunks=4, close=True)),
    "accepted and closed before the end": ({"do": "hello"}, Reply(202, after_chunks=3, close=True)),
    "nested too deeply": (b"[" * 100_000, Reply()),
    "message with half a surrogate pair": ({"do": "raise surrogate"}, Reply()),
    "answer not opened": ({"do": "start badly"}, Reply()),
    "reset in mid-answer": ({"do": "slow"}, Reply(after_chunks=4, reset=True)),
    "reset before the first chunk": ({"do": "slow"}, Reply(after_chunks=0, reset=True)),
    "reset while the watchdog writes": ({"do": "watched"}, Reply(after_chunks=4, reset=True)),
    "reset before the receipt": ({"do": "hello"}, Reply(after_chunks=4, reset=True)),
    "connection closed after the receipt": ({"do": "hello"}, Reply(close=True)),
}


def test_a_blocked_write_ends_at_the_deadline() -> None:
    with runtime(environ={"AWS_LAMBDA_LOG_LEVEL": "INFO"}) as (api, process):
        stalled = api.submit({"do": "slow"}, reply=Reply(after_chunks=3, stall=True), deadline_s=1)
        stalled.after_chunks(3)
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
        assert "the caller is gone: the answer was not taken in time" in process.log


def test_the_acknowledgement_is_not_waited_for_past_the_limit_that_the_handler_set() -> None:
    with runtime() as (api, _):
        api.submit({"do": "hurried"}, reply=Reply(after_chunks=4, stall=True), deadline_s=3600)
        assert api.state()["callbacks_run"] == ["hurried"], "before the deadline, or state() fails"


@pytest.mark.parametrize("after_chunks", [None, 4])
def test_a_stale_invocation_is_logged_as_a_warning(after_chunks: int | None) -> None:
    with runtime() as (api, process):
        action = "hello" if after_chunks is None else "slow"
        api.invoke({"do": action}, reply=Reply(410, after_chunks, reads_on=after_chunks is not None))
        assert api.state()["callbacks_run"] == [action]
        (line,) = process.log.splitlines()
    assert line.startswith("[WARNING]\t")
    assert "the invocation is stale, its answer was not accepted (410)" in line


def test_a_connection_closed_before_the_answer_is_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with runtime() as (api, _):
        api.invoke({"do": "hello"})
        api.closes_after_next = True
        invocation = api.submit({"do": "once told", "fifo": str(fifo)})
        assert api.has_closed.wait(PATIENCE_S)
        fifo.write_bytes(b"now")
        assert invocation.result().pieces == [b"hello ", b"world"]


def test_a_lone_surrogate_in_an_error_is_logged_escaped() -> None:
    with runtime() as (api, process):
        assert api.invoke({"do": "raise surrogate"}).error_body["errorMessage"] == "half a pair: \ud83d"
        assert "[ERROR] ValueError: half a pair: \\ud83d\r" in process.log


def test_an_error_in_a_deleted_working_directory_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with runtime() as (api, _):
        request = api.invoke({"do": "raise in removed folder", "folder": str(folder)})
    assert request.error_body["errorMessage"] == "nowhere"
    assert json.loads(request.headers["lambda-runtime-function-xray-error-cause"])["working_directory"] == ""


def test_unhandled_errors_are_logged_with_a_traceback_and_aborts_without() -> None:
    with runtime() as (api, process):
        api.invoke({"do": "raise after"})
        api.invoke({"do": "abort after"})
        api.invoke({"do": "empty"})
        log = process.log
    (error,) = [line for line in log.split("\n") if line.startswith("[ERROR]")]
    first, second, *frames = error.split("\r")
    assert (first, second) == ("[ERROR] GrößenError: it broke", "Traceback (most recent call last):")
    assert frames[0].startswith("\u00a0\u00a0File")
    assert "the answer was aborted: Upstream.Interrupted: the model went away" in log


def test_a_next_request_without_an_answer_is_repeated() -> None:
    with RecordingRuntimeApi() as idle, runtime() as (api, _):
        assert idle.address != api.address
        api.drop_next_connections = 2
        api.invoke({"do": "hello"}, reply=Reply(close=True))
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
        assert api.drop_next_connections == 0


def test_the_process_exits_with_one_line_when_the_runtime_api_is_gone() -> None:
    with runtime() as (api, process):
        api.invoke({"do": "hello"})
        api.__exit__()
        assert process.wait() == 1
        assert process.output is not None
        (line,) = process.output[1].splitlines()
    assert line.startswith(f"lambda_stream: the Runtime API at {api.address} ")


def test_the_process_exits_when_next_is_refused() -> None:
    with runtime() as (api, process):
        api.next_status = 500
        api.submit({"do": "hello"})
        assert process.wait() == 1
        assert process.output is not None
        assert "answered `next` with status 500" in process.output[1]


def test_sys_exit_in_the_handler_ends_the_process_with_its_status() -> None:
    with runtime("stream_handlers.plain") as (api, process):
        api.submit("exit")
        assert process.wait() == 7


def test_sigterm_ends_the_process_without_a_traceback() -> None:
    with runtime() as (api, process):
        api.invoke({"do": "hello"})
        assert process.terminate() == -15
        assert "Traceback" not in process.log


def test_one_process_serves_hundreds_of_invocations_after_any_failure_and_leaks_nothing() -> None:
    failures = list(FAILURES.values())
    with runtime() as (api, _):
        for turn in range(50):
            _one_of_many(api, failures, turn)
        before = api.state()
        for turn in range(300):
            _one_of_many(api, failures, turn)
        after = api.state()
    assert after["pid"] == before["pid"]
    assert after["threads"] <= 2  # the main thread, and the watchdog that is kept for later answers
    assert after["descriptors"] == before["descriptors"]
    assert after["resident_kib"] - before["resident_kib"] < 2048


def _one_of_many(api: RecordingRuntimeApi, failures: list[tuple[Any, Reply]], turn: int) -> None:
    if turn % 10 == 9:
        event, reply = failures[turn // 10 % len(failures)]
        api.invoke(event, reply=reply)
    else:
        request = api.invoke({"do": "hello"})
        assert (request.pieces, request.ended, request.trailers) == ([b"hello ", b"world"], True, {}), turn
