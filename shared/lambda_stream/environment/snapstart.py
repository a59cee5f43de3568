"""SnapStart: runs the function's hooks before its snapshot is taken and after the snapshot is restored.

Used only where Lambda sets AWS_LAMBDA_INITIALIZATION_TYPE to `snap-start`, which it does for published
versions of a function with SnapStart; elsewhere this module is not imported. Functions register their hooks
with AWS's package `snapshot_restore_py`, which is part of the managed runtime:
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

from lambda_stream.error_report import ErrorReport
from lambda_stream.runtime_api import RuntimeApi

from .log_format import RuntimeLog

BEFORE_SNAPSHOT_EXIT = 64
AFTER_RESTORE_EXIT = 65


def snapshot_and_restore(api: RuntimeApi, log: RuntimeLog) -> int | None:
    """Run the hooks and wait for the restore between them. Returns None, or an exit status after a failure.

    Hooks before the snapshot run in reverse order of registration, hooks after the restore in that order. A
    failure is logged and reported to the Runtime API. Raises RuntimeApiError if that cannot be reached.
    """
    try:
        for function, args, kwargs in reversed(_hooks("get_before_snapshot")):
            function(*args, **kwargs)
        api.restore_next()
    except BaseException as error:  # noqa: BLE001  (a hook that exits has failed too, as in the stock client)
        report = ErrorReport.of(error)
        log.report(report)
        api.post_init_error(report, "Runtime.BeforeSnapshotError")
        return BEFORE_SNAPSHOT_EXIT
    try:
        for function, args, kwargs in _hooks("get_after_restore"):
            function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001
        report = ErrorReport.of(error)
        log.report(report)
        api.post_restore_error(report, "Runtime.AfterRestoreError")
        return AFTER_RESTORE_EXIT
    return None


def _hooks(getter: str) -> list[tuple]:  # type: ignore[type-arg]
    try:
        import snapshot_restore_py  # type: ignore[import-untyped]
    except ImportError:  # without the package no hook can have been registered
        return []
    return list(getattr(snapshot_restore_py, getter)())
