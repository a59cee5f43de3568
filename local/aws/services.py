"""The queues, buckets and tables that template.yaml deploys, made and used at moto's server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from local.template import properties_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

REGION, ACCOUNT = "us-east-1", "123456789012"  # moto's account
ACCESS_KEY_ID = SECRET_ACCESS_KEY = "local"  # the stack's only credentials

TRANSCRIPTS, AUDIT, CONSOLE = "transcripts", "transcripts-audit", "transcripts-console"
ARCHIVE = "transcripts-archive"
UNDELIVERED = "transcripts-undelivered"
CONSUMED = (TRANSCRIPTS, AUDIT, ARCHIVE)  # these have dead-letter queues, as each consumer needs its own
TRANSCRIPT_BUCKET, ARCHIVE_BUCKET = "transcripts", "archive"
DELIVERY_TABLE = "transcript-deliveries"
LIMITS_TABLE = "limits"

VISIBILITY_TIMEOUT_S = 30  # minutes when deployed; here users wait to see a second attempt
RECEIVE_WAIT_S = 10
LOOK_AGAIN_S = 0.05
Result = TypeVar("Result")


class AwsServicesError(Exception):
    """moto's server refused a request, or it is gone: then the message ends with the server's last output."""


def queue_url(endpoint: str, name: str) -> str:
    """The URL of the queue with this name."""
    return f"{endpoint}/{ACCOUNT}/{name}"


def queue_arn(name: str) -> str:
    """The ARN of the queue with this name."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def function_arn(name: str) -> str:
    """The ARN of the function with this name."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def dead_letters_of(name: str) -> str:
    """The name of this queue's dead-letter queue, for messages that its consumer keeps failing at."""
    return f"{name}-dead-letters"


class AwsServices:
    """A client of the services at `endpoint`. Every method raises AwsServicesError.

    `last_lines` are added to the message if the server is gone.
    """

    def __init__(self, endpoint: str, last_lines: Sequence[str] = ()) -> None:
        self.endpoint = endpoint
        self._last_lines = last_lines

    async def connect(self) -> None:
        """Make the clients; to be called first. The server need not listen yet."""
        # Importing boto3 takes a third of a second: done in a thread, while the server starts.
        await self._call(self._make_clients)

    async def make_resources(self) -> None:
        """Make the queues, the buckets and the tables."""
        # The server loads each service at its first request, so ask for all of them at once.
        makers = (self._make_queues, self._make_buckets, self._make_tables)
        await asyncio.gather(*(self._call(make) for make in makers))

    async def send(self, name: str, body: str) -> None:
        """Put a message on a queue."""
        await self._call(lambda: self._sqs.send_message(QueueUrl=self._url(name), MessageBody=body))

    async def receive(self, name: str, wait_s: int | None = None) -> list[MessageTypeDef]:
        """Receive at most ten messages, with all their attributes; wait up to `wait_s` for the first."""
        reply = await self._call(
            lambda: self._sqs.receive_message(
                QueueUrl=self._url(name),
                MaxNumberOfMessages=10,
                WaitTimeSeconds=RECEIVE_WAIT_S if wait_s is None else wait_s,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        )
        return reply.get("Messages", [])

    async def delete(self, name: str, receipt_handles: Sequence[str]) -> None:
        """Delete at most ten received messages; a message that cannot be deleted is received again."""
        entries = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(receipt_handles)]
        if entries:
            await self._call(
                lambda: self._sqs.delete_message_batch(
                    QueueUrl=self._url(name),
                    Entries=entries,  # type: ignore[arg-type]  # plain dicts
                )
            )

    async def wait_until_empty(self, name: str) -> None:
        """Wait until the queue has no messages, including those being processed."""

        def messages() -> int:
            reply = self._sqs.get_queue_attributes(QueueUrl=self._url(name), AttributeNames=["All"])
            visible = reply["Attributes"]["ApproximateNumberOfMessages"]  # moto's numbers are exact
            return int(visible) + int(reply["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

        while await self._call(messages):
            await asyncio.sleep(LOOK_AGAIN_S)

    async def object_tags(self, bucket: str) -> dict[str, str]:
        """The key of every object, with a tag that changes when the content changes."""

        def tags() -> dict[str, str]:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", [])}

        return await self._call(tags)

    def fetch(self, bucket: str, key: str) -> bytes:
        """The bytes of an object. Blocks, so it must not be called on the event loop's thread."""
        with self._failures():
            return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def _url(self, name: str) -> str:
        return queue_url(self.endpoint, name)

    def _make_clients(self) -> None:
        import boto3
        from botocore.config import Config

        options: dict[str, Any] = {
            "endpoint_url": self.endpoint,
            "region_name": REGION,
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
            "config": Config(
                connect_timeout=5,
                read_timeout=RECEIVE_WAIT_S + 10,
                retries={"total_max_attempts": 1},
                proxies={},
            ),
        }
        self._sqs: SQSClient = boto3.client("sqs", **options)
        self._s3: S3Client = boto3.client("s3", **options)
        self._dynamodb: Any = boto3.client("dynamodb", **options)

    def _make_queues(self) -> None:
        deployed = properties_of("TranscriptQueue")
        size = str(deployed["MaximumMessageSize"])
        max_receive_count = deployed["RedrivePolicy"]["maxReceiveCount"]
        sources = {dead_letters_of(name): [queue_arn(name)] for name in CONSUMED}
        for name in (*sources, CONSOLE, UNDELIVERED):
            by_queue = {"redrivePermission": "byQueue", "sourceQueueArns": sources.get(name)}
            allow = json.dumps(by_queue if name in sources else {"redrivePermission": "denyAll"})
            attributes: Any = {"MaximumMessageSize": size, "RedriveAllowPolicy": allow}
            self._sqs.create_queue(QueueName=name, Attributes=attributes)
        for name in CONSUMED:
            target = queue_arn(dead_letters_of(name))
            redrive = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": max_receive_count})
            timeout = str(VISIBILITY_TIMEOUT_S)
            attributes = {"MaximumMessageSize": size, "VisibilityTimeout": timeout, "RedrivePolicy": redrive}
            self._sqs.create_queue(QueueName=name, Attributes=attributes)

    def _make_buckets(self) -> None:
        for name in (TRANSCRIPT_BUCKET, ARCHIVE_BUCKET):
            self._s3.create_bucket(Bucket=name)

    def _make_tables(self) -> None:
        for logical_id, name in (("DeliveryTable", DELIVERY_TABLE), ("LimitsTable", LIMITS_TABLE)):
            deployed = properties_of(logical_id)
            options = {key: deployed[key] for key in ("KeySchema", "AttributeDefinitions", "BillingMode")}
            self._dynamodb.create_table(TableName=name, **options)
            self._dynamodb.update_time_to_live(
                TableName=name, TimeToLiveSpecification=deployed["TimeToLiveSpecification"]
            )

    async def _call(self, call: Callable[[], Result]) -> Result:
        """Make a blocking call of boto3 in a thread."""
        return await asyncio.to_thread(self._failures()(call))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise AwsServicesError(f"moto's server refused: {error}") from error
        except BotoCoreError as error:
            what = f"moto's server does not answer: {error}"
            raise AwsServicesError("\n".join((what, *self._last_lines))) from error
