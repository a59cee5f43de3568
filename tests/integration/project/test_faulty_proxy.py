"""The fault-injecting proxy in front of moto's server, called with boto3 as the functions call AWS."""

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
# One call of each service that a function uses.
CALLS: dict[str, Callable[[Any], Any]] = {
    "sqs": lambda sqs: sqs.list_queues(),
    "dynamodb": lambda dynamodb: dynamodb.list_tables(),
    "s3": lambda s3: s3.list_buckets(),
    "lambda": lambda functions: functions.invoke(FunctionName="companion", InvocationType="Event"),
}


@pytest.fixture
def client() -> Iterator[MakeClient]:
    """Makes a client of a service at a URL; by default it makes one attempt."""
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
def test_each_services_client_recognizes_the_error(
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
def test_only_a_lost_or_late_answer_leaves_the_message_in_the_queue(
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
def test_a_retrying_client_succeeds(fault: Fault, client: MakeClient, moto_url: str, queue_url: str) -> None:
    with FaultyProxy(moto_url, shares={fault: 0.5}, seed=13) as proxy:  # its first draw is a fault
        sqs = client("sqs", proxy.url, attempts=10, patience_s=0.5)
        sqs.send_message(QueueUrl=queue_url, MessageBody="a transcript")
        assert proxy.calls()["sqs"][fault] >= 1
    assert messages_in(client("sqs", moto_url), queue_url) >= 1


def test_lambda_calls_go_to_their_own_endpoint(client: MakeClient, moto_url: str) -> None:
    with FaultyProxy(moto_url, moto_url, {}) as functions, FaultyProxy(moto_url, functions.url, {}) as proxy:
        with pytest.raises(ClientError, match="ResourceNotFound"):  # moto has no such function
            CALLS["lambda"](client("lambda", proxy.url))
        CALLS["sqs"](client("sqs", proxy.url))
        assert proxy.calls() == {"lambda": {PASSED: 1}, "sqs": {PASSED: 1}}
        assert functions.calls() == {"lambda": {PASSED: 1}}


def test_an_object_of_20_mb_passes_in_both_directions(client: MakeClient, moto_url: str) -> None:
    body = os.urandom(20_000_000)
    with FaultyProxy(moto_url, shares={}) as proxy:
        s3 = client("s3", proxy.url)
        s3.create_bucket(Bucket="transcripts")
        s3.put_object(Bucket="transcripts", Key="large.json", Body=body)
        assert s3.head_object(Bucket="transcripts", Key="large.json")["ContentLength"] == len(body)
        assert s3.get_object(Bucket="transcripts", Key="large.json")["Body"].read() == body


def test_faults_have_their_shares_and_a_seed_repeats_them(client: MakeClient, moto_url: str) -> None:
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


def test_three_of_ten_calls_fail_by_default() -> None:
    assert sum(SHARES.values()) == pytest.approx(0.3)
