"""How the local stack ends: at any moment of its start, with transcripts under way, in mid-answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from local.model.scripted_model import scripted_answer
from tests.support.network.slow_proxy import SlowProxy
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import (
    START_LIMIT_S,
    LocalStack,
    assert_all_end,
    children_of,
    free_ports,
    listeners_of,
    stack_environment,
)

WAIT_S = 60.0
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells what the process is about")


# While it starts.

Moment = Callable[[int], bool]


def it_catches_signals(pid: int) -> bool:
    """By SIGTERM, of which the interpreter itself makes nothing."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


MOMENTS: dict[str, Moment] = {
    "its first lines": it_catches_signals,
    "its modules": lambda pid: "_asyncio" in Path(f"/proc/{pid}/maps").read_text(),
    "its ports": lambda pid: len(listeners_of(pid)) >= 2,
    "the guard": lambda pid: len(children_of(pid)) >= 1,
    "moto's server": lambda pid: len(children_of(pid)) >= 2,
    "a runtime": lambda pid: len(children_of(pid)) >= 3,
}
# Each starts what follows it in its own process, with SIGINT as the name says.
INHERITED = {
    "default": ("env",),
    "ignored": ("sh", "-c", 'trap "" INT; exec "$@"', "sh"),
    "blocked": (
        sys.executable,
        "-c",
        "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, {2})\n"
        "os.execv(sys.argv[1], sys.argv[1:])",
    ),
}


@contextlib.contextmanager
def starting(tmp_path: Path, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    folders = {"ARCHIVE_FOLDER": str(tmp_path / "archive"), "UNDELIVERED_FOLDER": str(tmp_path / "rest")}
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "local"],
        cwd=PROJECT,
        env=stack_environment(free_ports(3), folders),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(moment: Moment, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START_LIMIT_S
    while not (is_python(process.pid) and moment(process.pid)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.001)


def is_python(pid: int) -> bool:
    return b"\0-m\0local\0" in Path(f"/proc/{pid}/cmdline").read_bytes()[-20:]


@LINUX_ONLY
@pytest.mark.parametrize("inherited", INHERITED)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sigint_while_it_starts_ends_it_whatever_it_has_inherited(
    tmp_path: Path, moment: str, inherited: str
) -> None:
    with starting(tmp_path, *INHERITED[inherited]) as process:
        wait_for(MOMENTS[moment], process)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        # The machine may have been so busy that we came when it was ready.
        assert process.returncode == (0 if "ready: " in output else 130), output
        assert "Traceback" not in output, output
        assert_all_end(children, limit_s=5)


@LINUX_ONLY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_the_same_way(tmp_path: Path, number: signal.Signals) -> None:
    with starting(tmp_path) as process:
        wait_for(MOMENTS["moto's server"], process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == (0 if "ready: " in output else 130), output


@LINUX_ONLY
def test_nohup_keeps_it_running_when_the_terminal_is_closed(tmp_path: Path) -> None:
    with starting(tmp_path, "sh", "-c", 'trap "" HUP; exec "$@"', "sh") as process:
        wait_for(MOMENTS["moto's server"], process)
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert any(line.startswith("ready: ") for line in process.stdout)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


# With transcripts under way.


@contextlib.contextmanager
def held_back(folder: Path, *services: str) -> Iterator[tuple[SlowProxy, LocalStack]]:
    """A stack whose functions get no answer from these services; its folders outlive it."""
    port = free_ports(3)
    with SlowProxy(f"http://127.0.0.1:{port + 1}") as proxy:
        proxy.gates = {service: threading.Event() for service in services}
        settings = {**folders(folder), "AWS_ENDPOINT_FOR_FUNCTIONS": proxy.url}
        try:
            with LocalStack(settings, port) as stack:
                yield proxy, stack
        finally:
            open_all(proxy)


def open_all(proxy: SlowProxy) -> None:
    for gate in proxy.gates.values():
        gate.set()


def folders(folder: Path) -> dict[str, str]:
    return {"ARCHIVE_FOLDER": str(folder / "archive"), "UNDELIVERED_FOLDER": str(folder / "undelivered")}


def archived(folder: Path) -> dict[str, dict[str, Any]]:
    files = (folder / "archive").rglob("*.jsonl")
    return {file.stem: json.loads(file.read_text()) for file in files}


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in (folder / "undelivered").glob("*")}


def ask(stack: LocalStack, message: str = "hello") -> str:
    """Ask, take the answer, and return the request's id."""
    body = {"messages": [{"role": "user", "content": message}]}
    answer = httpx.post(f"{stack.url}/chatCompletion", json=body, timeout=WAIT_S, trust_env=False)
    assert answer.text == scripted_answer(message)
    return answer.headers["x-relay-request-id"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_backlog_is_delivered_before_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    with held_back(tmp_path, "sqs") as (proxy, stack):
        ids = {ask(stack) for _ in range(5)}
        proxy.held.get(timeout=WAIT_S)
        stack.process.send_signal(number)
        stack.line_with("transcripts are under way")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{stack.url}/health", trust_env=False)
        open_all(proxy)
        assert stack.process.wait(WAIT_S) == 0
        stack.line_with("[transcript] ")
    assert set(archived(tmp_path)) == ids
    assert sum(line.startswith("[transcript] ") for line in stack.output) == 5
    assert kept(tmp_path) == {}


def test_what_does_not_get_there_is_kept_whole_and_delivered_first_by_the_next_run(tmp_path: Path) -> None:
    large = "é" * 400_000  # more than a message, and more than the hand-off, so that it goes by the bucket
    with held_back(tmp_path, "sqs") as (proxy, stack):
        ids = [ask(stack), ask(stack, large)]
        for _ in ids:
            proxy.held.get(timeout=WAIT_S)
        stack.process.send_signal(signal.SIGINT)
        stack.line_with("Ctrl-C again ends it at once")
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(10) == 0
        for request_id in ids:
            assert any(f"{request_id}.json: the next run delivers it" in line for line in stack.output)
    left = kept(tmp_path)
    assert set(left) == set(ids)
    assert left[ids[1]]["request"]["messages"][0]["content"] == large
    assert archived(tmp_path) == {}

    with LocalStack(folders(tmp_path)) as stack:
        lines = [stack.line_with("[transcript] ") for _ in ids]
        assert all(any(request_id in line for line in lines) for request_id in ids)
        stack.stop()
    assert archived(tmp_path) == left
    assert kept(tmp_path) == {}


def test_what_a_queue_refused_for_good_is_kept_too(tmp_path: Path) -> None:
    with LocalStack(folders(tmp_path)) as stack:
        options: Any = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        sqs = boto3.client("sqs", "us-east-1", endpoint_url=stack.endpoint, **options)
        sqs.delete_queue(QueueUrl=stack.queue_url("transcripts-audit"))
        sqs.close()
        request_id = ask(stack)
        stack.line_with("given up, now undelivered")
        stack.stop()
    assert set(kept(tmp_path)) == {request_id}
    with LocalStack(folders(tmp_path)) as stack:
        assert request_id in stack.line_with("[transcript] ")
        assert f"{request_id}.json is being delivered" in stack.output[0]
        stack.stop()
    assert kept(tmp_path) == {}


def test_what_the_archive_has_not_taken_is_kept_too(tmp_path: Path) -> None:
    with held_back(tmp_path, "s3") as (proxy, stack):
        request_id = ask(stack)
        proxy.held.get(timeout=WAIT_S)  # the archiving function is at it
        stack.process.send_signal(signal.SIGINT)
        stack.line_with("Ctrl-C again ends it at once")
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(10) == 0
    assert set(kept(tmp_path)) == {request_id}


def test_without_anything_under_way_it_ends_at_once_and_says_nothing_of_it(tmp_path: Path) -> None:
    with LocalStack(folders(tmp_path)) as stack:
        request_id = ask(stack)
        stack.line_with("[transcript] ")
        stack.stop()
    assert set(archived(tmp_path)) == {request_id}
    assert not any("under way" in line or "[undelivered]" in line for line in stack.output)


# In mid-answer.


def test_an_answer_that_it_breaks_off_has_its_transcript_in_the_archive(tmp_path: Path) -> None:
    with LocalStack({**folders(tmp_path), "SCRIPTED_MODEL_WORDS_PER_S": "5"}) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as response:
            parts = response.iter_raw()
            next(parts)
            stack.process.send_signal(signal.SIGINT)
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)
        assert stack.process.wait(WAIT_S) == 0
    transcript = archived(tmp_path)[response.headers["x-relay-request-id"]]
    assert transcript["outcome"] == "abandoned"
    assert scripted_answer("hello").startswith(transcript["response"]["choices"][0]["content"])


@LINUX_ONLY
def test_a_runtime_that_is_killed_in_mid_answer_leaves_a_line_with_its_request(tmp_path: Path) -> None:
    with LocalStack({**folders(tmp_path), "SCRIPTED_MODEL_WORDS_PER_S": "5"}) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as response:
            parts = response.iter_raw()
            received = len(next(parts))
            (runtime,) = stack.runtime_processes("app.handle")
            os.kill(runtime, signal.SIGKILL)
            with contextlib.suppress(httpx.RemoteProtocolError):
                for part in parts:
                    received += len(part)
        line = stack.line_with("no transcript of it will come")
        assert line.startswith("[stream-chat 1] ")
        assert "exit code -9" in line
        assert f"request {response.headers['x-relay-request-id']}, {received} bytes" in line


@LINUX_ONLY
def test_a_runtime_that_hangs_until_its_timeout_leaves_the_same_line(tmp_path: Path) -> None:
    settings = {**folders(tmp_path), "SCRIPTED_MODEL_WORDS_PER_S": "2", "FUNCTION_TIMEOUT_S": "10"}
    with LocalStack(settings) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as response:
            parts = response.iter_raw()
            next(parts)
            (runtime,) = stack.runtime_processes("app.handle")
            os.kill(runtime, signal.SIGSTOP)
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)
        line = stack.line_with("no transcript of it will come")
        assert "Task timed out after 10.00 seconds: request " in line
        assert response.headers["x-relay-request-id"] in line
