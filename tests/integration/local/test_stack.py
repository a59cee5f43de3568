"""The whole local stack, as `make run` starts it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from local.model.scripted_model import scripted_answer
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import LocalStack, assert_all_end, free_ports, stack_environment
from tests.support.transcripts.transcript_strategies import built

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack() as stack:
        yield stack


def test_the_stack_prints_its_addresses_and_a_command_to_try(stack: LocalStack) -> None:
    terminal = "\n".join(stack.output)
    assert f"ready: {stack.url}/" in terminal
    assert f"curl -N '{stack.url}/chatCompletion?message=hello'" in terminal
    assert stack.queue_url("transcripts") in terminal
    assert stack.queue_url("transcripts-audit") in terminal
    assert f"archive:  {stack.archive_folder}" in terminal
    assert f"logs:     {stack.log_folder}" in terminal
    assert f"endpoint: {stack.endpoint}" in terminal
    assert f"lambda:   {stack.invoke_endpoint}" in terminal


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc shows the environment of a process")
def test_functions_that_have_not_been_invoked_have_no_process(stack: LocalStack) -> None:
    for handler, processes in {"app": 1, "archive_handler": 0, "redrive_handler": 0}.items():
        assert len(stack.runtime_processes(f"{handler}.handle")) == processes


def test_an_answer_streams_and_its_transcript_reaches_every_queue_and_the_terminal(stack: LocalStack) -> None:
    response = httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
    assert (response.status_code, response.text) == (200, scripted_answer("hello"))

    line = stack.line_with("[transcript]")
    assert "completed" in line
    request_id = response.headers["x-relay-request-id"]
    assert request_id in line
    for name in ("transcripts", "transcripts-audit"):
        with TranscriptQueue(stack.endpoint, stack.queue_url(name)) as queue:
            assert queue.get(request_id)["response"]["choices"][0]["content"] == response.text


def test_a_transcript_that_a_queue_refuses_is_kept_until_it_is_redriven(stack: LocalStack) -> None:
    audit, undelivered = (stack.queue_url(f"transcripts-{name}") for name in ("audit", "undelivered"))
    with clients(stack) as (sqs, functions):
        sqs.delete_queue(QueueUrl=audit)
        response = httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
        request_id = response.headers["x-relay-request-id"]
        stack.line_with("given up, sent to its failure destination")
        (letter,) = sqs.receive_message(QueueUrl=undelivered, VisibilityTimeout=0)["Messages"]
        record = json.loads(letter["Body"])
        assert record["requestPayload"]["id"] == request_id
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == 3
        assert record["responsePayload"]["errorType"] == "PublishError"
        assert "transcripts-audit" in record["responsePayload"]["errorMessage"]

        sqs.create_queue(QueueName="transcripts-audit")
        reply = functions.invoke(FunctionName="redrive-transcripts", Payload=b"{}")
        assert json.loads(reply["Payload"].read())["transcripts-undelivered"]["redriven"] == 1
        with TranscriptQueue(stack.endpoint, audit) as queue:
            assert queue.get(request_id)["response"]["choices"][0]["content"] == response.text
        assert "Messages" not in sqs.receive_message(QueueUrl=undelivered)


@contextlib.contextmanager
def clients(stack: LocalStack) -> Iterator[tuple[SQSClient, LambdaClient]]:
    sqs, functions = stack.client("sqs"), stack.client("lambda")
    yield sqs, functions
    sqs.close()
    functions.close()


def test_a_proxy_in_the_users_environment_is_not_used_for_this_machine() -> None:
    proxy = "http://127.0.0.1:9"  # where nothing listens
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy)
    with LocalStack(proxies) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        assert httpx.get(url, timeout=60, trust_env=False).text == scripted_answer("hello")
        assert "completed" in stack.line_with("[transcript]")


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_port_in_use_is_reported_in_one_sentence(offset: int) -> None:
    port = free_ports(3)
    with socket.create_server(("127.0.0.1", port + offset)):
        ended = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=PROJECT,
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


def test_a_misspelt_setting_is_reported_at_the_start() -> None:
    port = free_ports(3)
    with socket.create_server(("127.0.0.1", port)):  # so that the stack ends at once
        ended = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=PROJECT,
            env=stack_environment(port, {"CALLER_KEY": "s3cret"}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.stdout == "CALLER_KEY is not a setting and has no effect: CALLER_KEYS is one\n"


@pytest.mark.parametrize(
    ("name", "value"), [("KEEP_ALIVE_S", "soon"), ("ARCHIVE_FOLDER", f"{Path(__file__)}/below-a-file")]
)
def test_an_invalid_setting_is_reported_in_one_sentence(name: str, value: str) -> None:
    environment = stack_environment(free_ports(3), {name: value})
    command = [sys.executable, "-m", "local"]
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert name in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_an_answer_ends_the_stack_with_0_and_no_process_left(
    number: signal.Signals,
) -> None:
    with LocalStack({"SCRIPTED_MODEL_WORDS_PER_S": "2"}) as stack:
        url = f"{stack.url}/chatCompletion?message=hello"
        with httpx.stream("GET", url, timeout=60, trust_env=False) as response:
            parts = response.iter_raw()
            assert next(parts)
            stack.stop(number)  # checks the exit status and the processes
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)


def test_a_signal_while_a_caller_waits_for_an_invocation_ends_the_stack_with_0_and_no_process_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        silent.settimeout(60)
        endpoint = {"AWS_ENDPOINT_FOR_FUNCTIONS": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with (
            LocalStack(endpoint) as stack,
            concurrent.futures.ThreadPoolExecutor() as threads,
            clients(stack) as (_, functions),
        ):
            asking = threads.submit(
                functions.invoke, FunctionName="publish-transcript", Payload=built([]).to_json()
            )
            silent.accept()[0].close()  # the companion is working
            stack.stop()
            assert "FunctionError" in asking.result(60)


def test_killing_the_stack_leaves_no_process_behind() -> None:
    with LocalStack() as stack:
        httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
        stack.line_with("[transcript]")
        children = stack.children()
        assert len(children) >= 4  # the guard, moto's server, a runtime of each invoked function
        stack.process.send_signal(signal.SIGKILL)
        stack.process.wait(20)
        assert_all_end(children, limit_s=20)
