"""The proxy that fails calls, in front of moto's server, called by boto3 as the functions call AWS."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.support.network.faulty_proxy import ERRORS, PASSED, SHARES, Fault, FaultyProxy

# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

MakeClient = Callable[..., Any]
# One call of each service that a function uses, and the error that is the service's own.
CALLS: dict[str, Callable[[Any], Any]] = {
    "sqs": lambda sqs: sqs.list_queues(),
    "dynamodb": lambda dynamodb: dynamodb.list_tables(),
    "s3": lambda s3: s3.list_buckets(),
    "lambda": lambda functions: functions.invoke(FunctionName="companion", InvocationType="Event"),
}


@pytest.fixture
def client() -> Iterator[MakeClient]:
    """Make a client of a service at a URL, of few words: one attempt, half a second's patience."""
    clients = []

    def make(service: Any, url: str, attempts: int = 1, patience_s: float = 30.0) -> Any:
        config = Config(
            read_timeout=patience_s, retries={"mode": "standard", "total_max_attempts": attempts}, proxies={}
        )
        clients.append(
            boto3.client(
                service,
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="x",
                aws_secret_access_key="x",
                config=config,
            )
        )
        return clients[-1]

    yield make
    for made in clients:
        made.close()


@pytest.fixture
def queue_url(client: MakeClient, moto_url: str) -> Iterator[str]:
    sqs = client("sqs", moto_url)
    url = sqs.create_queue(QueueName="transcripts")["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def messages_in(sqs: Any, queue_url: str) -> int:
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.SERVER_ERROR])
def test_an_error_has_the_form_that_the_services_own_client_reads(
    service: str, fault: Fault, client: MakeClient, moto_url: str
) -> None:
    met = set()
    with FaultyProxy(moto_url, shares={fault: 1.0}) as proxy:
        asking = client(service, proxy.url)
        for _ in range(12):
            with pytest.raises(ClientError) as refused:
                CALLS[service](asking)
            answer = refused.value.response
            met.add((answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]))
        assert proxy.calls() == {service: {fault: 12}}
    assert met == set(ERRORS[service][fault])


@pytest.mark.parametrize(
    ("fault", "error", "has_effect"),
    [
        (Fault.THROTTLE, ClientError, False),
        (Fault.SERVER_ERROR, ClientError, False),
        (Fault.RESET, ConnectionClosedError, False),
        (Fault.TIMEOUT, ReadTimeoutError, False),
        (Fault.ANSWER_LOST, ConnectionClosedError, True),
        (Fault.ANSWER_LATE, ReadTimeoutError, True),
    ],
)
def test_only_what_fails_after_the_effect_has_one(
    fault: Fault, error: type[Exception], has_effect: bool, client: MakeClient, moto_url: str, queue_url: str
) -> None:
    with FaultyProxy(moto_url, shares={fault: 1.0}) as proxy:
        sqs = client("sqs", proxy.url, patience_s=0.5)
        with pytest.raises(error):
            sqs.send_message(QueueUrl=queue_url, MessageBody="a transcript")
        proxy.set_shares({})
        assert messages_in(sqs, queue_url) == has_effect
        assert proxy.calls() == {"sqs": {fault: 1, PASSED: 1}}


@pytest.mark.parametrize("fault", Fault)
def test_a_client_that_tries_again_gets_through(
    fault: Fault, client: MakeClient, moto_url: str, queue_url: str
) -> None:
    with FaultyProxy(moto_url, shares={fault: 0.5}, seed=13) as proxy:  # whose first draw is a fault
        sqs = client("sqs", proxy.url, attempts=10, patience_s=0.5)
        sqs.send_message(QueueUrl=queue_url, MessageBody="a transcript")
        assert proxy.calls()["sqs"][fault] >= 1
    assert messages_in(client("sqs", moto_url), queue_url) >= 1


def test_functions_are_invoked_at_an_endpoint_of_their_own(client: MakeClient, moto_url: str) -> None:
    with FaultyProxy(moto_url, moto_url, {}) as functions, FaultyProxy(moto_url, functions.url, {}) as proxy:
        with pytest.raises(ClientError, match="ResourceNotFound"):  # moto's answer: there is no such function
            CALLS["lambda"](client("lambda", proxy.url))
        CALLS["sqs"](client("sqs", proxy.url))
        assert proxy.calls() == {"lambda": {PASSED: 1}, "sqs": {PASSED: 1}}
        assert functions.calls() == {"lambda": {PASSED: 1}}


def test_an_object_of_20_mb_passes_both_ways(client: MakeClient, moto_url: str) -> None:
    body = os.urandom(20_000_000)
    with FaultyProxy(moto_url, shares={}) as proxy:
        s3 = client("s3", proxy.url)
        s3.create_bucket(Bucket="transcripts")
        s3.put_object(Bucket="transcripts", Key="large.json", Body=body)
        assert s3.head_object(Bucket="transcripts", Key="large.json")["ContentLength"] == len(body)
        assert s3.get_object(Bucket="transcripts", Key="large.json")["Body"].read() == body


def test_the_faults_have_their_shares_and_a_seed_repeats_them(client: MakeClient, moto_url: str) -> None:
    shares = {Fault.THROTTLE: 0.4, Fault.SERVER_ERROR: 0.3, Fault.RESET: 0.2}
    counts = []
    for seed in (7, 7, 8):
        with FaultyProxy(moto_url, shares=shares, seed=seed) as proxy:
            sqs = client("sqs", proxy.url)
            for _ in range(200):
                with contextlib.suppress(ClientError, ConnectionClosedError):
                    CALLS["sqs"](sqs)
            counts.append(proxy.calls()["sqs"])
    assert counts[0] == counts[1] != counts[2]
    assert sum(counts[0].values()) == 200
    for fault, share in shares.items():
        assert counts[0][fault] / 200 == pytest.approx(share, abs=0.07)


def test_of_the_usual_faults_three_calls_in_ten_fail() -> None:
    assert sum(SHARES.values()) == pytest.approx(0.3)
