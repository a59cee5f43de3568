"""The transcript queues, on moto's server, in a process of its own so that it cannot slow the stream."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from local.child_process import ChildProcess, OrphanGuard
from local.invocation import InvocationFailed

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

TRANSCRIPTS, AUDIT, CONSOLE = "transcripts", "transcripts-audit", "transcripts-console"
DEAD_LETTERS = "transcripts-dead-letters"
ACCOUNT = "123456789012"  # moto's
Result = TypeVar("Result")
START_LIMIT_S = 60.0
RECEIVE_WAIT_S = 10


class QueuesFailed(Exception):  # noqa: N818
    """moto's server does not answer; holds the last of what it said."""


class Queues:
    """moto's server at `endpoint`, and what the stack itself does with its queues."""

    def __init__(self, guard: OrphanGuard, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._port = port
        self._last_lines: deque[str] = deque(maxlen=20)  # moto logs every request: shown only if it fails
        self._process = ChildProcess(guard, self._last_lines.append)
        self._running = False

    def url(self, name: str) -> str:
        """The URL of a queue by this name."""
        return f"{self.endpoint}/{ACCOUNT}/{name}"

    async def start(self, path: str) -> None:
        """Start the server; PATH is all it is given."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        await self._process.start(command, {"PATH": path}, Path.cwd())
        self._running = True

    async def make_queues(self) -> None:
        """Wait for the server and make the queues. Raises QueuesFailed."""
        # boto3 takes a third of a second to import: in a thread, while the server comes up.
        self._client: SQSClient = await asyncio.to_thread(_sqs_client, self.endpoint)
        await self._until_it_listens()
        for name in (TRANSCRIPTS, AUDIT, DEAD_LETTERS, CONSOLE):
            await self._call(functools.partial(self._client.create_queue, QueueName=name))

    async def stop(self) -> None:
        """End the server; a receive that waits there ends with it."""
        if self._running:
            await self._process.stop()

    async def receive_transcripts(self) -> list[str]:
        """Wait a while for messages to the console's queue and take them off it. Raises QueuesFailed."""
        return await self._call(self._receive)

    async def dead_letter(self, payload: bytes, request_id: str, failure: InvocationFailed) -> None:
        """Put an event that could not be delivered where Lambda would, with the attributes it adds.

        Raises QueuesFailed.
        """
        attributes: dict[str, Any] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in (
                ("RequestID", request_id),
                ("ErrorCode", "200"),
                ("ErrorMessage", failure.message[:1024] or failure.error_type),
            )
        }
        url, body = self.url(DEAD_LETTERS), payload.decode()
        await self._call(
            lambda: self._client.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
        )

    def _receive(self) -> list[str]:
        url = self.url(CONSOLE)
        reply = self._client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=RECEIVE_WAIT_S
        )
        messages = reply.get("Messages", [])
        for message in messages:
            self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]

    async def _call(self, call: Callable[[], Result]) -> Result:
        """A call of boto3's, which blocks, in a thread."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return await asyncio.to_thread(call)
        except (BotoCoreError, ClientError) as error:
            raise QueuesFailed("\n".join(("the queues do not answer", *self._last_lines))) from error

    async def _until_it_listens(self) -> None:
        for _ in range(int(START_LIMIT_S / 0.1)):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if self._process.has_ended:
                    break
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return
        raise QueuesFailed("\n".join(self._last_lines) or "moto's server did not come up")


def _sqs_client(endpoint: str) -> SQSClient:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5, read_timeout=RECEIVE_WAIT_S + 10, retries={"total_max_attempts": 1}, proxies={}
    )
    client: SQSClient = boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=config,
    )
    return client
