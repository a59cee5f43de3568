"""The exec-wrapper: which program it runs, with which interpreter and search path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.runtime.recording_runtime_api import EXEC_WRAPPER


def run_wrapper(interpreter: Path, environ: dict[str, str]) -> list[str]:
    """Run the wrapper with an interpreter that prints its arguments and PYTHONPATH, one per line."""
    interpreter.parent.mkdir(exist_ok=True)
    interpreter.write_text('#!/bin/sh\nfor word in "$@" "$PYTHONPATH"; do echo "$word"; done\n')
    interpreter.chmod(0o755)
    command = [str(EXEC_WRAPPER), str(interpreter), "/var/runtime/bootstrap.py"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_on_lambda_it_starts_this_runtime_with_the_given_interpreter(tmp_path: Path) -> None:
    # The PATH is empty: the wrapper needs only the shell's builtin commands.
    *arguments, search_path = run_wrapper(tmp_path / "python3.13", {"PATH": "", "PYTHONPATH": "/mine"})
    assert arguments == ["-u", "-P", "-m", "lambda_stream"]
    layer = str(EXEC_WRAPPER.parents[1])
    opt = "/opt/python/lib/python3.13/site-packages:/opt/python"
    assert search_path == f"/var/task:{opt}:{layer}:/var/runtime:/mine"


def test_the_functions_own_folder_is_searched_first(tmp_path: Path) -> None:
    *_, search_path = run_wrapper(tmp_path / "python3.13", {"PATH": "", "LAMBDA_TASK_ROOT": "/task"})
    assert search_path.startswith("/task:/opt/")


def test_under_sam_local_the_stock_runtime_runs_unchanged(tmp_path: Path) -> None:
    environ = {"PATH": "", "AWS_SAM_LOCAL": "true"}
    assert run_wrapper(tmp_path / "python3.13", environ) == ["/var/runtime/bootstrap.py", ""]


def test_it_is_executable() -> None:
    assert os.access(EXEC_WRAPPER, os.X_OK)


def test_the_path_of_the_layer_may_contain_a_space(tmp_path: Path) -> None:
    layer = tmp_path / "a layer"
    layer.mkdir()
    (layer / "lambda_stream").symlink_to(EXEC_WRAPPER.parent)
    command = [str(layer / "lambda_stream" / "exec-wrapper"), sys.executable, "bootstrap.py"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "lambda_stream: AWS_LAMBDA_RUNTIME_API is not set: this is not a Lambda environment\n"
    )
