"""SQS: the transcript queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from aws_client import aws_client, error_code
from transcript_message import TranscriptMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

# Four attempts that hang, and the waits between them, are over within 60 s. The read timeout leaves SQS a bad
# day: to give up on a message that it takes at last would make a duplicate of the retry.
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 10
ATTEMPTS = 4
MAX_SENT_AT_ONCE = 32


class TranscriptQueues:
    """Sends one message to several queues, none of which waits for another."""

    def __init__(self) -> None:
        self._sqs: SQSClient = aws_client(
            "sqs",
            connect_timeout_s=CONNECT_TIMEOUT_S,
            read_timeout_s=READ_TIMEOUT_S,
            attempts=ATTEMPTS,
            connections=MAX_SENT_AT_ONCE,
        )

    def send(
        self, message: TranscriptMessage, queue_urls: Sequence[str], on_sent: Callable[[str], None]
    ) -> dict[str, str]:
        """Send the message to each queue; gives back the error's code for each that did not take it.

        One SendMessage each, and no batch: a batch is one queue's, and there is one message.

        Args:
            queue_urls: at least one.
            on_sent: called with a queue's URL, on a thread of its own, as soon as the queue has the message.
        """

        def send_to(queue_url: str) -> str | None:
            code = self._send(message, queue_url)
            if code is None:
                on_sent(queue_url)
            return code

        # One queue that hangs must not use up the time of those behind it.
        with ThreadPoolExecutor(min(len(queue_urls), MAX_SENT_AT_ONCE)) as pool:
            codes = dict(zip(queue_urls, pool.map(send_to, queue_urls), strict=True))
        return {queue_url: code for queue_url, code in codes.items() if code is not None}

    def _send(self, message: TranscriptMessage, queue_url: str) -> str | None:
        request: SendMessageRequestTypeDef = {
            "QueueUrl": queue_url,
            "MessageBody": message.body,
            "MessageAttributes": message.attributes,
        }
        if queue_url.endswith(".fifo"):
            request["MessageGroupId"] = message.group_id
            request["MessageDeduplicationId"] = message.deduplication_id
        try:
            self._sqs.send_message(**request)
        except (BotoCoreError, ClientError, TimeoutError) as error:
            return error_code(error)
        return None
