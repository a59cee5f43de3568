"""The whole local stack, as `make run` starts it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import boto3
import httpx
import pytest

from local.scripted_model import scripted_answer
from tests.support.local_stack import (
    ROOT,
    LocalStack,
    assert_all_end,
    children_of,
    free_port_pair,
    stack_environment,
)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack() as stack:
        yield stack


def test_it_says_where_it_serves_and_what_to_try(stack: LocalStack) -> None:
    terminal = "\n".join(stack.output)
    assert f"ready: {stack.url}/" in terminal
    assert f"curl -N '{stack.url}/chatCompletion?message=hello'" in terminal
    assert stack.queue_url("transcripts") in terminal
    assert stack.queue_url("transcripts-audit") in terminal
    assert f"endpoint: {stack.endpoint}" in terminal


def test_an_answer_streams_and_its_transcript_reaches_every_queue_and_the_terminal(stack: LocalStack) -> None:
    response = httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
    assert (response.status_code, response.text) == (200, scripted_answer("hello"))

    line = stack.line_with("[transcript]")
    assert "completed" in line
    assert "/chatCompletion" in line
    assert f"{len(response.text)} characters" in line
    sqs = boto3.client(
        "sqs",
        endpoint_url=stack.endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    try:
        for name in ("transcripts", "transcripts-audit"):
            reply = sqs.receive_message(QueueUrl=stack.queue_url(name), WaitTimeSeconds=20)
            transcript = json.loads(reply["Messages"][0]["Body"])
            assert transcript["response"]["choices"][0]["content"] == response.text
            assert transcript["id"] in line
    finally:
        sqs.close()


def test_a_proxy_in_the_persons_environment_is_not_asked_for_this_machine() -> None:
    proxy = "http://127.0.0.1:9"  # where nobody listens
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy)
    with LocalStack(proxies) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        assert httpx.get(url, timeout=60, trust_env=False).text == scripted_answer("hello")
        assert "completed" in stack.line_with("[transcript]")


@pytest.mark.parametrize(
    ("origin", "admitted"), [("http://localhost:5173", True), ("https://elsewhere.example", False)]
)
def test_a_page_served_from_this_machine_may_read_the_answers_and_no_other(
    stack: LocalStack, origin: str, admitted: bool
) -> None:
    url = f"{stack.url}/chatCompletion"
    ask = {"origin": origin, "access-control-request-method": "POST"}
    headers = {**ask, "access-control-request-headers": "content-type, authorization"}
    preflight = httpx.options(url, headers=headers, trust_env=False)
    answer = httpx.get(f"{url}?message=hi", headers={"origin": origin}, timeout=60, trust_env=False)
    assert preflight.is_success is admitted
    assert answer.status_code == 200
    allowed = origin if admitted else None
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert preflight.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize("offset", [0, 1])
def test_a_busy_port_is_one_clear_sentence(offset: int) -> None:
    port = free_port_pair()
    with socket.create_server(("127.0.0.1", port + offset)):
        ended = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=ROOT,
            env=stack_environment(port),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"Port {port + offset}" in ended.stderr
    assert "PORT=" in ended.stderr


def test_a_setting_that_the_function_refuses_is_one_clear_sentence() -> None:
    environment = stack_environment(free_port_pair(), {"KEEP_ALIVE_S": "soon"})
    command = [sys.executable, "-m", "local"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "KEEP_ALIVE_S" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_answer_ends_it_with_0_and_no_process_left(number: signal.Signals) -> None:
    with LocalStack({"SCRIPTED_MODEL_WORDS_PER_S": "2"}) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=60, trust_env=False) as response:
            parts = response.iter_raw()
            assert next(parts)
            stack.stop(number)  # asserts what the name promises
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)


@pytest.mark.parametrize("after_s", [0.5, 0.8, 1.2])
def test_a_signal_while_it_starts_ends_it_with_no_process_left(after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=stack_environment(free_port_pair()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # Wherever this moment falls is right: after it, everything that had begun has to be gone.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_s)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (0, 130)  # 130: not even its modules were loaded
    assert "Traceback" not in output, output
    assert_all_end(children, limit_s=5)


def test_killing_the_stack_leaves_no_process_behind() -> None:
    with LocalStack() as stack:
        children = stack.children()
        assert len(children) >= 4  # the guard, the queues, a runtime of each function
        stack.process.send_signal(signal.SIGKILL)
        stack.process.wait(20)
        assert_all_end(children, limit_s=20)
