"""Records in DynamoDB which queues have a transcript, so that a retry sends it only to the others.

Each transcript has one item: `id`, `sent_to` (the URLs of the queues that have it) and `expires_at`. It is
updated after each send, so the progress survives if the function dies between two sends.

Powertools' idempotency does not fit, because it sets its mark before the send: if the function died in a
send, the retry would find that mark and wait for it to expire. Here a mark always means that the queue has
the message. If the table cannot be reached, queues may get duplicates, but no delivery is lost.
"""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from aws_client import CallLimits, aws_client, error_code

# One day longer than SQS keeps a dead letter (14 days): a letter that is redriven still skips these queues.
KEPT_S = 15 * 24 * 3600

LIMITS: CallLimits = {"connect_timeout_s": 1, "read_timeout_s": 2, "attempts": 4}

logger = Logger(service="publish-transcript", child=True)


class DeliveryProgress:
    """Reads and records the progress of transcripts. With an empty table name it does nothing."""

    def __init__(self, table_name: str) -> None:
        self._table_name = table_name
        self._dynamodb: Any = aws_client("dynamodb", **LIMITS) if table_name else None

    def queues_with(self, transcript_id: str) -> frozenset[str]:
        """Return the URLs of the queues that have this transcript.

        If the table cannot be read, that is logged as a warning, and no queue is assumed to have it.
        """
        found = self._call("get_item", "read", transcript_id, ConsistentRead=True)
        return frozenset(found.get("Item", {}).get("sent_to", {}).get("SS", ()))

    def note(self, transcript_id: str, queue_url: str) -> None:
        """Record that the queue has the transcript.

        If that fails, it is logged as a warning: a retry would send to this queue again.
        """
        expires_at = str(int(time.time()) + KEPT_S)
        self._call(
            "update_item",
            "recorded",
            transcript_id,
            UpdateExpression="ADD sent_to :queue SET expires_at = :expires_at",
            ExpressionAttributeValues={":queue": {"SS": [queue_url]}, ":expires_at": {"N": expires_at}},
        )

    def _call(self, operation: str, done: str, transcript_id: str, **request: Any) -> dict[str, Any]:
        """Call DynamoDB about the transcript's item. Returns {} without a table, or if the call fails."""
        if self._dynamodb is None:
            return {}
        item = {"TableName": self._table_name, "Key": {"id": {"S": transcript_id}}}
        try:
            answer: dict[str, Any] = getattr(self._dynamodb, operation)(**item, **request)
        except (BotoCoreError, ClientError, TimeoutError) as error:
            facts = {"transcript_id": transcript_id, "error": error_code(error)}
            logger.warning(
                "the progress of a delivery could not be %s: a retry may send duplicates", done, extra=facts
            )
            return {}
        return answer
