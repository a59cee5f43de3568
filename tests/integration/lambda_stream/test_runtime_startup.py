"""How the runtime starts and logs: init errors, garbage collection, log lines."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.runtime.recording_runtime_api import runtime

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
        ("sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
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


GARBAGE = """
import gc
from lambda_stream import streaming_handler
at_import = gc.isenabled()

@streaming_handler
def handle(event, stream, context):
    stream.start(200)
    stream.write(f"{at_import} {gc.isenabled()} {gc.get_freeze_count() > 1000}".encode())
"""


def test_garbage_collection_is_off_during_the_load_and_skips_loaded_objects_afterwards(
    tmp_path: Path,
) -> None:
    (tmp_path / "garbage.py").write_text(GARBAGE)
    with runtime("garbage.handle", {"LAMBDA_TASK_ROOT": str(tmp_path)}) as (api, _):
        answer = api.invoke({})
    assert b"".join(answer.pieces) == b"False True True"


def test_text_logs_have_level_time_and_request_id() -> None:
    with runtime() as (api, process):
        api.invoke({"do": "log"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-1"})
        warning, verbatim = process.log.splitlines()
    level, moment, request_id, message = warning.split("\t")
    assert (level, request_id, message) == ("[WARNING]", "r-1", "a word of warning")
    assert time.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ")
    assert verbatim == "verbatim"


def test_json_logs_have_extra_fields_and_the_configured_level() -> None:
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
