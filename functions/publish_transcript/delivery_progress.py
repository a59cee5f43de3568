"""DynamoDB: which queues have a transcript already, so that a retry sends it to the others only.

One item for each transcript: `id`, `sent_to` (the URLs of the queues that have it), `expires_at`. Noted after
each send, the progress survives whatever ends the function between two of them.

Not Powertools' idempotency, which marks a send before it is made: a function that dies in one would find its
own mark, and the retry would wait for it to expire. Here a mark always means that the queue has the message,
and a table that cannot be reached costs duplicates, never a delivery.
"""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from aws_client import aws_client, error_code

# As long as a letter may wait in the dead letters (14 days), and a day more: redriven, it skips these queues.
KEPT_S = 15 * 24 * 3600

CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 2
ATTEMPTS = 4

logger = Logger(service="publish-transcript", child=True)


class DeliveryProgress:
    """Reads and notes the progress of transcripts. Without a table's name it knows of none."""

    def __init__(self, table_name: str) -> None:
        self._table_name = table_name
        self._dynamodb: Any = None
        if table_name:
            self._dynamodb = aws_client(
                "dynamodb",
                connect_timeout_s=CONNECT_TIMEOUT_S,
                read_timeout_s=READ_TIMEOUT_S,
                attempts=ATTEMPTS,
            )

    def queues_with(self, transcript_id: str) -> frozenset[str]:
        """The URLs of the queues that have this transcript; none, with a warning, if that cannot be read."""
        if self._dynamodb is None:
            return frozenset()
        try:
            found = self._dynamodb.get_item(
                TableName=self._table_name, Key={"id": {"S": transcript_id}}, ConsistentRead=True
            )
        except (BotoCoreError, ClientError, TimeoutError) as error:
            logger.warning(
                "the progress of a delivery could not be read: its retry may make duplicates",
                extra={"transcript_id": transcript_id, "error": error_code(error)},
            )
            return frozenset()
        return frozenset(found.get("Item", {}).get("sent_to", {}).get("SS", ()))

    def note(self, transcript_id: str, queue_url: str) -> None:
        """Note that the queue has the transcript. If that fails, a retry would send to it again."""
        if self._dynamodb is None:
            return
        try:
            self._dynamodb.update_item(
                TableName=self._table_name,
                Key={"id": {"S": transcript_id}},
                UpdateExpression="ADD sent_to :queue SET expires_at = :expires_at",
                ExpressionAttributeValues={
                    ":queue": {"SS": [queue_url]},
                    ":expires_at": {"N": str(int(time.time()) + KEPT_S)},
                },
            )
        except (BotoCoreError, ClientError, TimeoutError) as error:
            logger.warning(
                "the progress of a delivery could not be noted: its retry may make duplicates",
                extra={"transcript_id": transcript_id, "error": error_code(error)},
            )
