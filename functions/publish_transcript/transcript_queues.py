"""Sends messages to the transcript queues (SQS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from aws_client import CallLimits, aws_client, error_code
from transcript_message import TranscriptMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

# Four attempts that all time out, with the waits between them, take less than 60 s. The read timeout is
# generous: if SQS accepts a message after the caller has given up on it, the retry is a duplicate.
LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 10, "attempts": 4}
MAX_SENT_AT_ONCE = 32


class TranscriptQueues:
    """Sends one message to several queues in parallel."""

    def __init__(self) -> None:
        self._sqs: SQSClient = aws_client("sqs", MAX_SENT_AT_ONCE, **LIMITS)

    def send(
        self, message: TranscriptMessage, queue_urls: Sequence[str], on_sent: Callable[[str], None]
    ) -> dict[str, str]:
        """Send the message to each queue. Returns the error codes of the queues that refused it, by URL.

        Each queue gets one SendMessage: a batch is for several messages to the same queue.

        Args:
            message: the message to send.
            queue_urls: at least one.
            on_sent: called with a queue's URL, in a worker thread, as soon as the queue has the message.
        """
        send = partial(self._send, message, on_sent)
        # In parallel, so that a queue that hangs does not use up the time of the others.
        with ThreadPoolExecutor(min(len(queue_urls), MAX_SENT_AT_ONCE)) as pool:
            codes = dict(zip(queue_urls, pool.map(send, queue_urls), strict=True))
        return {queue_url: code for queue_url, code in codes.items() if code is not None}

    def _send(self, message: TranscriptMessage, on_sent: Callable[[str], None], queue_url: str) -> str | None:
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
        on_sent(queue_url)
        return None
