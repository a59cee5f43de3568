"""How the local stack ends: while it starts, with undelivered transcripts, in the middle of an answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.lambda_service.invocation import InvocationError
from local.lambda_service.invocation_record import failure_record
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
from tests.support.transcripts.sample_transcripts import sample_transcript

WAIT_S = 60.0
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="/proc shows how far the process has come")


# While it starts.

Moment = Callable[[int], bool]


def it_catches_signals(pid: int) -> bool:
    """Whether it has a handler for SIGTERM, for which the interpreter itself installs none."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


MOMENTS: dict[str, Moment] = {
    "its first lines": it_catches_signals,
    "its modules": lambda pid: "_asyncio" in Path(f"/proc/{pid}/maps").read_text(),
    "its ports": lambda pid: len(listeners_of(pid)) >= 2,
    "moto's server": lambda pid: len(children_of(pid)) >= 2,
    "a runtime": lambda pid: len(children_of(pid)) >= 3,
}
# Each command runs its arguments in its own process, with the disposition of SIGINT that its name says.
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
def starting(
    tmp_path: Path, *prefix: str, command: Sequence[str] = (sys.executable, "-m", "local")
) -> Iterator[subprocess.Popen[str]]:
    folders = {"ARCHIVE_FOLDER": str(tmp_path / "archive"), "UNDELIVERED_FOLDER": str(tmp_path / "rest")}
    process = subprocess.Popen(
        [*prefix, *command],
        cwd=PROJECT,
        env=stack_environment(free_ports(3), folders),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        for pid in children_of(process.pid):  # also the stack, if `process` is make
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def wait_for(moment: Moment, process: subprocess.Popen[str], stack: int | None = None) -> None:
    """Wait until the stack has come so far: `process` itself, unless its id is given."""
    pid = stack or process.pid
    wait_until(lambda: is_python(pid) and moment(pid), process)


def wait_for_children(process: subprocess.Popen[str]) -> list[int]:
    wait_until(lambda: bool(children_of(process.pid)), process)
    return children_of(process.pid)


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    give_up_at = time.monotonic() + START_LIMIT_S
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


def is_python(pid: int) -> bool:
    return b"\0-m\0local\0" in Path(f"/proc/{pid}/cmdline").read_bytes()[-20:]


@LINUX_ONLY
@pytest.mark.parametrize(
    ("moment", "inherited"),
    [
        ("its first lines", "ignored"),
        ("its modules", "default"),
        ("its ports", "ignored"),
        ("moto's server", "blocked"),
        ("a runtime", "default"),
    ],
)
def test_a_sigint_during_the_start_ends_the_stack_even_if_sigint_was_ignored_or_blocked(
    tmp_path: Path, moment: str, inherited: str
) -> None:
    with starting(tmp_path, *INHERITED[inherited]) as process:
        wait_for(MOMENTS[moment], process)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=WAIT_S)
        # On a busy machine the signal may arrive only when the stack is ready.
        assert process.returncode == (0 if "ready: " in output else 130), output
        assert "Traceback" not in output, output
        assert_all_end(children, limit_s=5)


@LINUX_ONLY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_during_the_start_end_the_stack_too(
    tmp_path: Path, number: signal.Signals
) -> None:
    with starting(tmp_path) as process:
        wait_for(MOMENTS["moto's server"], process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == (0 if "ready: " in output else 130), output


@LINUX_ONLY
def test_sigterm_to_make_in_the_background_ends_the_stack(tmp_path: Path) -> None:
    # `make` ignores SIGINT there, and elsewhere waits for the stack without passing SIGINT on.
    ready = f"{Path(sys.prefix).name}/.ready-to-run"
    command = ("make", "--old-file", ready, f"VENV={Path(sys.prefix).name}", f"PY={sys.executable}", "run")
    with starting(tmp_path, *INHERITED["ignored"], command=command) as make:
        (stack,) = wait_for_children(make)
        wait_for(MOMENTS["its ports"], make, stack)
        children = children_of(stack)
        make.terminate()
        output, _ = make.communicate(timeout=WAIT_S)
        assert "Traceback" not in output, output
        assert_all_end([stack, *children], limit_s=30)


@LINUX_ONLY
def test_nohup_keeps_the_stack_running_when_the_terminal_is_closed(tmp_path: Path) -> None:
    with starting(tmp_path, "sh", "-c", 'trap "" HUP; exec "$@"', "sh") as process:
        wait_for(MOMENTS["moto's server"], process)
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert any(line.startswith("ready: ") for line in process.stdout)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)
        assert process.returncode == 0


# With transcripts that are not delivered yet.


@contextlib.contextmanager
def held_back(folder: Path, *services: str) -> Iterator[tuple[SlowProxy, LocalStack]]:
    """A stack whose functions get no answer from these services. Its folders stay when it has ended."""
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
    """Ask, check the answer, and return the id of the request."""
    body = {"messages": [{"role": "user", "content": message}]}
    answer = httpx.post(f"{stack.url}/chatCompletion", json=body, timeout=WAIT_S, trust_env=False)
    assert answer.text == scripted_answer(message)
    return answer.headers["x-relay-request-id"]


def test_a_backlog_is_delivered_before_the_stack_ends(tmp_path: Path) -> None:
    with held_back(tmp_path, "sqs") as (proxy, stack):
        ids = {ask(stack) for _ in range(2)}
        proxy.held.get(timeout=WAIT_S)
        stack.process.send_signal(signal.SIGINT)
        stack.line_with("delivering transcripts")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{stack.url}/health", trust_env=False)
        open_all(proxy)
        assert stack.wait(WAIT_S) == 0
        stack.line_with("[transcript] ")
    assert set(archived(tmp_path)) == ids
    assert sum(line.startswith("[transcript] ") for line in stack.output) == 2
    assert kept(tmp_path) == {}


def test_undelivered_transcripts_are_kept_whole_and_delivered_first_by_the_next_run(tmp_path: Path) -> None:
    large = "é" * 400_000  # too large for a message and for the hand-off, so it is stored in the bucket
    with held_back(tmp_path, "sqs") as (proxy, stack):
        ids = [ask(stack), ask(stack, large)]
        for _ in ids:
            proxy.held.get(timeout=WAIT_S)
        stack.process.send_signal(signal.SIGINT)
        stack.line_with("press Ctrl-C again to end at once")
        stack.process.send_signal(signal.SIGINT)
        assert stack.wait(WAIT_S) == 0
        for request_id in ids:
            assert any(f"{request_id}.json: the next run delivers it" in line for line in stack.output)
    left = kept(tmp_path)
    assert set(left) == set(ids)
    assert left[ids[1]]["request"]["messages"][0]["content"] == large
    assert archived(tmp_path) == {}

    with LocalStack(folders(tmp_path)) as stack:
        lines = [stack.line_with("[transcript] ") for _ in ids]
        assert all(any(request_id in line for line in lines) for request_id in ids)
        printed = len(stack.output)
        wait_until_all_is_delivered(stack)
        stack.stop()
    assert stack.output[printed:] == []  # it ended at once
    assert archived(tmp_path) == left
    assert kept(tmp_path) == {}


def test_a_transcript_that_is_not_archived_yet_and_one_that_was_given_up_are_kept_too(tmp_path: Path) -> None:
    refused = sample_transcript(1, 1)
    failure = InvocationError("error", "PublishError", "")
    given_up = failure_record("arn", refused.to_json(), "r-1", failure, 3)
    with held_back(tmp_path, "s3") as (proxy, stack):
        sqs = stack.client("sqs")
        sqs.send_message(QueueUrl=stack.queue_url("transcripts-undelivered"), MessageBody=given_up)
        sqs.close()
        request_id = ask(stack)
        proxy.held.get(timeout=WAIT_S)  # the archiving function is working on it
        stack.process.send_signal(signal.SIGINT)
        stack.line_with("press Ctrl-C again to end at once")
        stack.process.send_signal(signal.SIGINT)
        assert stack.wait(WAIT_S) == 0
    assert {document["id"] for document in kept(tmp_path).values()} == {request_id, refused.id}


def wait_until_all_is_delivered(stack: LocalStack) -> None:
    """Wait until no queue of the stack's own has a message."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs, give_up_at = stack.client("sqs"), time.monotonic() + WAIT_S
    for queue in ("archive", "console"):
        url = stack.queue_url(f"transcripts-{queue}")
        while any(
            int(count)
            for count in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()
        ):
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
    sqs.close()


# In the middle of an answer.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_answer_ends_the_stack_with_0_and_archives_its_transcript(
    tmp_path: Path, number: signal.Signals
) -> None:
    with LocalStack({**folders(tmp_path), "SCRIPTED_MODEL_WORDS_PER_S": "5"}) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as response:
            parts = response.iter_raw()
            next(parts)
            stack.stop(number)  # checks the exit status and the processes
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)
    transcript = archived(tmp_path)[response.headers["x-relay-request-id"]]
    assert transcript["outcome"] == "abandoned"
    assert scripted_answer("hello").startswith(transcript["response"]["choices"][0]["content"])


@LINUX_ONLY
def test_a_runtime_that_is_killed_or_hangs_in_the_middle_of_an_answer_leaves_a_line_that_names_the_request(
    tmp_path: Path,
) -> None:
    settings = {**folders(tmp_path), "SCRIPTED_MODEL_WORDS_PER_S": "2", "FUNCTION_TIMEOUT_S": "5"}
    with LocalStack(settings) as stack:
        request_id, received = answer_broken_by(signal.SIGKILL, stack)
        line = stack.line_with("it will have no transcript")
        assert line.startswith("[stream-chat 1] ")
        assert "exit code -9" in line
        assert f"request {request_id}, {received} bytes" in line
        request_id, _ = answer_broken_by(signal.SIGSTOP, stack)
        line = stack.line_with("it will have no transcript")
        assert "Task timed out after 5.00 seconds: request " in line
        assert request_id in line


def answer_broken_by(number: signal.Signals, stack: LocalStack) -> tuple[str, int]:
    """Send the only runtime a signal in the middle of an answer: the request's id, and the bytes received."""
    url = f"{stack.url}/chatCompletion?message=hello"
    with httpx.stream("GET", url, timeout=WAIT_S, trust_env=False) as response:
        parts = response.iter_raw()
        received = len(next(parts))
        (runtime,) = stack.runtime_processes("app.handle")
        os.kill(runtime, number)
        with contextlib.suppress(httpx.RemoteProtocolError):
            for part in parts:
                received += len(part)
    return response.headers["x-relay-request-id"], received
