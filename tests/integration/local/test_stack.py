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
    """Started with a proxy in the user's environment, where nothing listens."""
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY")
    with LocalStack(dict.fromkeys(names, "http://127.0.0.1:9")) as stack:
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


def test_an_answer_and_its_transcript_need_no_proxy_and_reach_every_queue_and_the_terminal(
    stack: LocalStack,
) -> None:
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


def ended_stack(port: int, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A stack that cannot start."""
    command, environment = [sys.executable, "-m", "local"], stack_environment(port, settings)
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_misspelt_setting_and_a_port_in_use_are_reported_in_one_sentence_each(offset: int) -> None:
    port = free_ports(3)
    with socket.create_server(("127.0.0.1", port + offset)):
        ended = ended_stack(port, {"CALLER_KEY": "s3cret"})
    assert ended.returncode == 1
    assert ended.stdout == "CALLER_KEY is not a setting and has no effect: CALLER_KEYS is one\n"
    assert ended.stderr.count("\n") == 1
    assert f"Port {port + offset}" in ended.stderr
    assert "PORT=" in ended.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("KEEP_ALIVE_S", "soon"), ("ARCHIVE_FOLDER", f"{Path(__file__)}/below-a-file")]
)
def test_an_invalid_setting_is_reported_in_one_sentence(name: str, value: str) -> None:
    ended = ended_stack(free_ports(3), {name: value})
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert name in ended.stderr


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
