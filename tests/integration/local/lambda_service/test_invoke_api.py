"""The emulated Invoke API, called with boto3 as a function calls it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws.services import AwsServicesError
from local.lambda_service.invocation import InvocationError
from local.lambda_service.invoke_api import MAX_EVENT_BYTES
from tests.support.runtime.local_emulator import WAIT_S, LocalEmulator

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

FUNCTION = """
def handle(event, context):
    print("request", context.aws_request_id)
    if event.get("fail"):
        raise ValueError("as asked")
    print("done", event)
    return {"got": event}
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    with LocalEmulator(tmp_path_factory.mktemp("function"), source=FUNCTION) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator: LocalEmulator) -> Iterator[LambdaClient]:
    with lambda_client(emulator) as client:
        yield client


@contextlib.contextmanager
def lambda_client(emulator: LocalEmulator) -> Iterator[LambdaClient]:
    client = boto3.client(
        "lambda",
        endpoint_url=emulator.invoke_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    client.close()


def test_a_synchronous_invocation_returns_the_handlers_result(client: LambdaClient) -> None:
    reply = client.invoke(FunctionName="under-test", Payload=b'{"a": 1}')
    assert (reply["StatusCode"], json.loads(reply["Payload"].read())) == (200, {"got": {"a": 1}})


def test_a_handlers_exception_is_reported_as_a_function_error(client: LambdaClient) -> None:
    reply = client.invoke(FunctionName="under-test", Payload=b'{"fail": true}')
    assert reply["FunctionError"] == "Unhandled"
    assert json.loads(reply["Payload"].read()) == {"errorType": "ValueError", "errorMessage": "as asked"}


def test_an_asynchronous_invocation_is_accepted_at_once_and_runs(
    client: LambdaClient, emulator: LocalEmulator
) -> None:
    reply = client.invoke(FunctionName="under-test", InvocationType="Event", Payload=b'{"b": 2}')
    assert reply["StatusCode"] == 202
    assert "done {'b': 2}" in emulator.line_with("done {'b'")


def test_a_failing_asynchronous_invocation_is_retried_twice_and_then_sent_to_its_failure_destination(
    client: LambdaClient, emulator: LocalEmulator
) -> None:
    client.invoke(FunctionName="under-test", InvocationType="Event", Payload=b'{"fail": true}')
    payload, _, reason = emulator.failures.get(timeout=WAIT_S)
    assert (payload, reason) == (b'{"fail": true}', "ValueError: as asked")
    for attempt in (1, 2, 3):
        emulator.line_with(f"attempt {attempt}: ValueError: as asked")
    assert emulator.failures.empty()


@pytest.mark.parametrize("kind", ["Event", "RequestResponse"])
def test_an_event_over_the_limit_is_refused_and_one_at_it_is_not(client: LambdaClient, kind: str) -> None:
    limit = MAX_EVENT_BYTES[kind]
    invoke = {"FunctionName": "under-test", "InvocationType": kind}
    client.invoke(**invoke, Payload=b"{}".ljust(limit))  # type: ignore[arg-type]
    with pytest.raises(ClientError) as refused:
        client.invoke(**invoke, Payload=b"{}".ljust(limit + 1))  # type: ignore[arg-type]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"


def test_an_unknown_function_and_an_event_that_is_not_json_are_refused_by_their_error_names(
    client: LambdaClient,
) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="nobody", Payload=b"{}")
    with pytest.raises(client.exceptions.InvalidRequestContentException):
        client.invoke(FunctionName="under-test", Payload=b"not JSON")


def test_an_asynchronous_invocation_waits_for_an_environment_for_as_long_as_it_takes(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=SLOW, max_environments=1, max_wait_s=0.05) as emulator:
        with lambda_client(emulator) as client:
            for number in range(3):
                client.invoke(FunctionName="under-test", InvocationType="Event", Payload=b"%d" % number)
        done = {emulator.line_with("done").rpartition(" ")[2] for _ in range(3)}
        assert done == {"0", "1", "2"}
        assert emulator.failures.empty()


SLOW = """
import time
def handle(event, context):
    time.sleep(0.3)  # far longer than the others may wait for this environment
    print("done", event)
"""


def test_a_failed_event_without_a_failure_destination_is_discarded_with_a_message(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=FUNCTION, has_failure_destination=False) as emulator:
        with lambda_client(emulator) as client:
            client.invoke(FunctionName="under-test", InvocationType="Event", Payload=b'{"fail": true}')
        emulator.line_with("given up and discarded")
        assert emulator.failures.empty()


def test_an_event_refused_by_its_failure_destination_is_printed_whole(tmp_path: Path) -> None:
    async def refuse(payload: bytes, request_id: str, failure: InvocationError) -> None:
        raise AwsServicesError("gone")

    with LocalEmulator(tmp_path, source=FUNCTION) as emulator:
        emulator.on_failure = refuse
        with lambda_client(emulator) as client:
            client.invoke(FunctionName="under-test", InvocationType="Event", Payload=b'{"fail": "kept"}')
        assert '{"fail": "kept"}' in emulator.line_with("given up, and its failure destination failed too")
