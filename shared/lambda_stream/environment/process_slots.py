"""Several invocations at a time in one environment: one runtime process ("slot") for each.

Used only where Lambda sets AWS_LAMBDA_MAX_CONCURRENCY, which it does for functions on Lambda Managed
Instances (functions with a capacity provider). Elsewhere an environment serves one invocation at a time, the
variable is absent and this module is not imported. Each process loads the handler and asks the Runtime API
for work on its own, so a handler need not be thread-safe.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-python-runtime.html
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, MutableMapping
from types import FrameType

from lambda_stream.checked_values import warn_once

_LOG_SOCKET = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"
MIN_LIFE_S = 1.0  # a process killed sooner than this is not replaced: its successor would be killed too


def run_slots(count: int, serve: Callable[[], int], environ: MutableMapping[str, str]) -> int:
    """Run `serve` in `count` processes and return the exit status for this process.

    A process killed by a signal is replaced. A process that exits by itself has a reason that applies to all
    (the function does not load, the Runtime API is gone): the others are terminated and its status is
    returned. SIGTERM terminates all of them; the status is then 0.
    """
    started_at: dict[int, float] = {}
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        for _ in range(count):
            started_at[_fork(serve, environ)] = time.monotonic()
        while True:
            pid, wait_status = os.wait()
            life_s = time.monotonic() - started_at.pop(pid)
            exit_status = os.waitstatus_to_exitcode(wait_status)
            if exit_status >= 0 or life_s < MIN_LIFE_S:
                return abs(exit_status)
            sys.stderr.write(
                f"lambda_stream: a runtime process was killed by signal {-exit_status}; replaced\n"
            )
            started_at[_fork(serve, environ)] = time.monotonic()
    except _TerminatedError:
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for pid in started_at:
            os.kill(pid, signal.SIGTERM)
        for pid in started_at:
            os.waitpid(pid, 0)


class _TerminatedError(Exception):
    """SIGTERM was received."""


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _TerminatedError


def _fork(serve: Callable[[], int], environ: MutableMapping[str, str]) -> int:
    # SIGTERM is blocked until the child has reset its handler: the inherited one would raise in the child and
    # unwind into the parent's code.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        _serve_and_exit(serve, environ)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return pid


def _serve_and_exit(serve: Callable[[], int], environ: MutableMapping[str, str]) -> None:
    exit_status = 1
    try:
        if environ.get(_LOG_SOCKET):
            _redirect_output(environ[_LOG_SOCKET])
        exit_status = serve()
    except SystemExit as leaving:
        exit_status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001  (nothing may unwind into the parent's code)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_status)


def _redirect_output(socket_path: str) -> None:
    """Connect standard output and standard error, each by a connection of its own, to the log socket."""
    for stream in (sys.stdout, sys.stderr):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as log_socket:
            try:
                log_socket.connect(socket_path)
            except OSError as error:
                warn_once(_LOG_SOCKET, f"is {socket_path!r}, which accepts no connection ({error})")
                return
            os.dup2(log_socket.fileno(), stream.fileno())
