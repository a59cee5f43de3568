"""How the runtime starts: init errors and their exit statuses, SnapStart, logs, several processes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.runtime.recording_runtime_api import HANDLERS, PATIENCE_S, Recorded, runtime

BROKEN_MODULES = {
    "raises.py": "raise RuntimeError('at import')\n",
    "syntax.py": "def (:\n",
    "imports.py": "import no_such_module\n",
    "empty.py": "",
}


@pytest.mark.parametrize(
    ("handler", "error_type", "message"),
    [
        ("raises.handle", "RuntimeError", "at import"),
        ("syntax.handle", "Runtime.UserCodeSyntaxError", "Syntax error in module 'syntax': "),
        (
            "imports.handle",
            "Runtime.ImportModuleError",
            "Unable to import module 'imports': No module named 'no_such_module'",
        ),
        ("empty.handle", "Runtime.HandlerNotFound", "Handler 'handle' missing on module 'empty'"),
        ("nodot", "Runtime.MalformedHandlerName", "Bad handler 'nodot': not enough values to unpack"),
        (
            "sys.exit",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
        ),
    ],
)
def test_a_function_that_cannot_be_loaded_is_an_init_error_and_exit_1(
    tmp_path: Path, handler: str, error_type: str, message: str
) -> None:
    for name, source in BROKEN_MODULES.items():
        (tmp_path / name).write_text(source)
    with runtime(handler, {"LAMBDA_TASK_ROOT": str(tmp_path)}) as (api, process):
        assert process.wait() == 1
        (report,) = api.recorded
        log = process.log
    assert report.line == "POST /2018-06-01/runtime/init/error HTTP/1.1"
    assert report.headers["lambda-runtime-function-error-type"] == error_type
    assert report.error_body["errorType"] == error_type
    assert report.error_body["errorMessage"].startswith(message)
    assert f"[ERROR] {error_type}: {message}" in log


HOOKS = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
from stream_handlers import handle, plain
def say(word, fail=False):
    print("hook:", word)
    if fail:
        raise OSError(word)
register_before_snapshot(say, "before 1")
register_before_snapshot(say, "before 2", fail=FAIL == "before")
register_after_restore(say, "after 1", fail=FAIL == "after")
register_after_restore(say, "after 2")
"""


def snapstart_environ(folder: Path, fail: str) -> dict[str, str]:
    (folder / "hooked.py").write_text(f"FAIL = {fail!r}\n{HOOKS}")
    import snapshot_restore_py  # type: ignore[import-untyped]

    registry = Path(snapshot_restore_py.__file__).parents[1]
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "LAMBDA_TASK_ROOT": f"{folder}:{HANDLERS}",
        "PYTHONPATH": str(registry),
    }


def test_snapstart_runs_the_hooks_around_the_restore_and_serves_on_a_new_connection(tmp_path: Path) -> None:
    with runtime("hooked.handle", snapstart_environ(tmp_path, "")) as (api, process):
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
        restore, following = api.recorded[:2]
        hooks = [line for line in process.log.splitlines() if line.startswith("hook:")]
    assert restore.line == "GET /2018-06-01/runtime/restore/next HTTP/1.1"
    assert following.path.endswith("/next")
    assert following.connection != restore.connection
    assert hooks == ["hook: before 2", "hook: before 1", "hook: after 1", "hook: after 2"]


@pytest.mark.parametrize(
    ("fail", "path", "error_type", "status"),
    [
        ("before", "/2018-06-01/runtime/init/error", "Runtime.BeforeSnapshotError", 64),
        ("after", "/2018-06-01/runtime/restore/error", "Runtime.AfterRestoreError", 65),
    ],
)
def test_a_hook_that_fails_ends_the_process_with_the_status_of_its_phase(
    tmp_path: Path, fail: str, path: str, error_type: str, status: int
) -> None:
    with runtime("hooked.handle", snapstart_environ(tmp_path, fail)) as (api, process):
        assert process.wait() == status
        report: Recorded = api.recorded[-1]
    assert report.path == path
    assert report.headers["lambda-runtime-function-error-type"] == error_type
    assert report.error_body["errorType"] == "OSError"


GARBAGE = """
import gc
from lambda_stream import streaming_handler
at_import = gc.isenabled()

@streaming_handler
def handle(event, stream, context):
    stream.start(200)
    stream.write(f"{at_import} {gc.isenabled()} {gc.get_freeze_count() > 1000}".encode())
"""


def test_no_collection_looks_for_garbage_while_a_function_loads_or_among_what_it_loaded(
    tmp_path: Path,
) -> None:
    (tmp_path / "garbage.py").write_text(GARBAGE)
    with runtime("garbage.handle", {"LAMBDA_TASK_ROOT": str(tmp_path)}) as (api, _):
        answer = api.invoke({})
    assert b"".join(answer.pieces) == b"False True True"


def test_text_logs_carry_level_time_and_request_id() -> None:
    with runtime() as (api, process):
        api.invoke({"do": "log"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-1"})
        warning, verbatim = process.log.splitlines()
    level, moment, request_id, message = warning.split("\t")
    assert (level, request_id, message) == ("[WARNING]", "r-1", "a word of warning")
    assert time.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ")
    assert verbatim == "verbatim"


def test_json_logs_carry_the_extra_fields_and_the_level_asked_for() -> None:
    environ = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with runtime(environ=environ) as (api, process):
        api.invoke({"do": "log"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-1"})
        api.invoke({"do": "raise before"})
        warning, info, _, error = process.log.splitlines()
    assert (
        json.loads(warning).items()
        >= {
            "level": "WARNING",
            "message": "a word of warning",
            "logger": "app",
            "requestId": "r-1",
            "route": "/x",
        }.items()
    )
    assert json.loads(info)["level"] == "INFO"
    assert json.loads(error).items() >= {"level": "ERROR", "errorType": "ValueError"}.items()


def test_with_a_concurrency_there_is_one_process_for_each_slot_and_sigterm_ends_all() -> None:
    with runtime(environ={"AWS_LAMBDA_MAX_CONCURRENCY": "2"}) as (api, process):
        first, second = api.submit({"do": "watched"}), api.submit({"do": "state"})
        pids = {json.loads(b"".join(second.result().pieces))["pid"]}
        first.result()
        deadline = time.monotonic() + PATIENCE_S
        while len(pids) < 2 and time.monotonic() < deadline:
            pids.add(json.loads(b"".join(api.invoke({"do": "state"}).pieces))["pid"])
        assert len(pids) == 2
        assert process.pid not in pids
        assert process.terminate() == 0
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


def test_a_function_that_cannot_be_loaded_ends_all_slots() -> None:
    with runtime("no_module.handle", {"AWS_LAMBDA_MAX_CONCURRENCY": "2"}) as (api, process):
        assert process.wait() == 1
        assert {report.path for report in api.recorded} == {"/2018-06-01/runtime/init/error"}


def test_a_slot_that_is_killed_is_replaced() -> None:
    with runtime(environ={"AWS_LAMBDA_MAX_CONCURRENCY": "1"}) as (api, _):
        killed = json.loads(b"".join(api.invoke({"do": "state"}).pieces))["pid"]
        time.sleep(1.2)  # a process that is killed in its first second is not replaced
        os.kill(killed, signal.SIGKILL)
        # The dead process's `next` still waits in the server, which hands it the first invocation in vain.
        api.submit({"do": "hello"})
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
