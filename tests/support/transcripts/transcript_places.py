"""All places where a transcript of the fault run may end up, created and read without faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.schema import InvalidTranscriptError
from chat_stream.transcripts.transcript import Transcript
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.transcripts.delivery_audit import Sighting

# The transcripts that each queue is for: the companion's condition, and the test's own reading of it.
ROUTES: Mapping[str, tuple[dict[str, Any], Callable[[Transcript], bool]]] = {
    "all": ({}, lambda _: True),
    "failures": (
        {"outcome": ["failed", "truncated"]},
        lambda transcript: transcript.outcome in ("failed", "truncated"),
    ),
    "batch.fifo": ({"caller": "batch"}, lambda transcript: transcript.document["caller"] == "batch"),
}
DEAD_LETTERS = "undelivered"
BUCKET = "transcripts"
TABLE = "deliveries"


class TranscriptPlaces:
    """The queues of ROUTES and the dead letters, by name → URL in `queue_urls`; BUCKET and TABLE."""

    def __init__(self, aws: LoopbackAws) -> None:
        self._sqs, self._s3 = aws.client("sqs"), aws.client("s3")
        self.queue_urls = {name: self._make_queue(name) for name in (*ROUTES, DEAD_LETTERS)}
        self._s3.create_bucket(Bucket=BUCKET)
        aws.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    @property
    def routes(self) -> str:
        """The companion's TRANSCRIPT_ROUTES."""
        return json.dumps({self.queue_urls[name]: conditions for name, (conditions, _) in ROUTES.items()})

    def keep_failed(self, record: str) -> None:
        """Send Lambda's record of a finally failed invocation to the dead letters."""
        self._sqs.send_message(QueueUrl=self.queue_urls[DEAD_LETTERS], MessageBody=record)

    def take(self, name: str) -> list[Sighting]:
        """Remove and return every message of a queue. Call only while nothing is sent: moto might lose it."""
        return [self.sighting(body) for body in self._bodies(name)]

    def dead_letters(self) -> list[Sighting]:
        """The transcripts in the dead-letter queue, which keeps them."""
        bodies = self._bodies(DEAD_LETTERS)
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.queue_urls[DEAD_LETTERS], MessageBody=body)
        letters = [json.loads(body) for body in bodies]
        # A dead letter is the event itself, from the hand-off, or Lambda's record that contains the event.
        return [self.sighting(json.dumps(letter.get("requestPayload", letter))) for letter in letters]

    def _bodies(self, name: str) -> list[str]:
        url, bodies = self.queue_urls[name], []
        # Up to ten at a time, as fit into a response. A FIFO group continues after they are deleted.
        while messages := self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            bodies += [message["Body"] for message in messages]
            entries = [{"Id": str(at), "ReceiptHandle": m["ReceiptHandle"]} for at, m in enumerate(messages)]
            self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        assert self._count(url) == 0, f"{name} cannot be read to its end"
        return bodies

    def _count(self, url: str) -> int:
        """The number of messages in a queue, including received ones."""
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(value) for name, value in attributes.items() if name.startswith("ApproximateNumber"))

    def _make_queue(self, name: str) -> str:
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        url: str = self._sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def sighting(self, body: str) -> Sighting:
        """The transcript in a message's body, or the one that it points to."""
        try:
            return Sighting.of(read_transcript({"body": body}, self._fetch))
        except (InvalidTranscriptError, ClientError) as error:  # ClientError: the stored object is missing
            return Sighting(f"no transcript ({error})", "")

    def _fetch(self, bucket: str, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body
