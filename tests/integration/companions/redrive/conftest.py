"""The queues and buckets of the redrive in moto's server, and an Invoke endpoint as the companion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.aws.lambda_invoke_endpoint import LambdaInvokeEndpoint
from tests.support.aws.sqs_front import SqsFront
from tests.support.runtime.handler_process import client_of
from tests.support.transcripts.redrive_run import (
    BUCKET,
    DEAD,
    FIFO_DEAD,
    FIFO_SOURCE,
    OTHER_BUCKET,
    SOURCE,
    UNDELIVERED,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def sqs(moto_url: str) -> Iterator[SQSClient]:
    client: SQSClient = client_of("sqs", moto_url)
    for name in (UNDELIVERED, DEAD, SOURCE):
        client.create_queue(QueueName=name)
    for name in (FIFO_DEAD, FIFO_SOURCE):
        client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
    yield client
    for url in client.list_queues().get("QueueUrls", []):
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
def s3(moto_url: str) -> Iterator[Any]:
    """The transcript bucket and another bucket exist."""
    client = client_of("s3", moto_url)
    for bucket in (BUCKET, OTHER_BUCKET):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for bucket in (BUCKET, OTHER_BUCKET):
        for stored in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=stored["Key"])
        client.delete_bucket(Bucket=bucket)
    client.close()


@pytest.fixture
def companion() -> Iterator[LambdaInvokeEndpoint]:
    with LambdaInvokeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def front(moto_url: str) -> Iterator[SqsFront]:
    with SqsFront(moto_url) as server:
        yield server
