"""SnapStart: hooks before the snapshot of the loaded function is taken, and after it has been restored.

The registry of hooks is AWS's own package `snapshot_restore_py`, which is part of the managed runtime:
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

from .error_report import ErrorReport
from .log_format import RuntimeLog
from .runtime_api import RuntimeApi

BEFORE_SNAPSHOT_EXIT = 64
AFTER_RESTORE_EXIT = 65


def snapshot_and_restore(api: RuntimeApi, log: RuntimeLog) -> int | None:
    """Go through the snapshot; None when it went well, else the status with which the process has to exit.

    The hooks before the snapshot run last registered first, those after the restore first registered first.
    """
    try:
        for function, args, kwargs in reversed(_hooks("get_before_snapshot")):
            function(*args, **kwargs)
        api.restore_next()
    except BaseException as error:  # noqa: BLE001  (as the stock client: a hook that exits has failed too)
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
    except ImportError:  # no package, so nobody has registered a hook
        return []
    return list(getattr(snapshot_restore_py, getter)())
