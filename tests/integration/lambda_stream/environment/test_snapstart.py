"""SnapStart: the hooks, the restore and their failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runtime.recording_runtime_api import HANDLERS, Recorded, runtime

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


def test_hooks_run_around_the_restore_and_invocations_use_a_new_connection(tmp_path: Path) -> None:
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
def test_a_hook_that_fails_is_reported_and_ends_the_process_with_its_phases_status(
    tmp_path: Path, fail: str, path: str, error_type: str, status: int
) -> None:
    with runtime("hooked.handle", snapstart_environ(tmp_path, fail)) as (api, process):
        assert process.wait() == status
        report: Recorded = api.recorded[-1]
    assert report.path == path
    assert report.headers["lambda-runtime-function-error-type"] == error_type
    assert report.error_body["errorType"] == "OSError"
