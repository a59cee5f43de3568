"""Several invocations at a time: one process for each slot."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.support.runtime.recording_runtime_api import PATIENCE_S, runtime


def test_each_slot_has_a_process_and_sigterm_ends_all() -> None:
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


def test_a_process_that_is_killed_is_replaced() -> None:
    with runtime(environ={"AWS_LAMBDA_MAX_CONCURRENCY": "1"}) as (api, _):
        killed = json.loads(b"".join(api.invoke({"do": "state"}).pieces))["pid"]
        time.sleep(1.2)  # a process killed in its first second is not replaced
        os.kill(killed, signal.SIGKILL)
        # The killed process's `next` is still waiting in the server, which gives it the first invocation.
        api.submit({"do": "hello"})
        assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]
