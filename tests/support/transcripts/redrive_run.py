"""The redrive in its own process: its queues in moto's SQS, and a run over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.lambda_service.invocation import InvocationError
from local.lambda_service.invocation_record import failure_record
from tests.support.aws.lambda_invoke_endpoint import LambdaInvokeEndpoint
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import HandlerRun, run_handler

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))
UNDELIVERED, DEAD, SOURCE = "undelivered", "transcripts-dead-letters", "transcripts"
FIFO_DEAD, FIFO_SOURCE = "ordered-dead-letters.fifo", "ordered.fifo"
BUCKET, OTHER_BUCKET = "transcripts-large", "transcripts-of-others"
COMPANION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:companion"
NOTHING_DONE = {
    "redriven": 0,
    "refused_count": 0,
    "refused": [],
    "failed_count": 0,
    "failed": [],
    "not_deleted_count": 0,
    "not_deleted": [],
    "finished": True,
    "stopped": None,
}


def url_of(sqs: SQSClient, name: str) -> str:
    return sqs.get_queue_url(QueueName=name)["QueueUrl"]


def post(sqs: SQSClient, name: str, *bodies: str) -> None:
    """Send messages to a queue."""
    for body in bodies:
        sqs.send_message(QueueUrl=url_of(sqs, name), MessageBody=body)


def take(sqs: SQSClient, name: str) -> list[dict[str, Any]]:
    """Receive all visible messages of the queue; they stay hidden for a while."""
    taken: list[dict[str, Any]] = []
    while messages := sqs.receive_message(
        QueueUrl=url_of(sqs, name),
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    ).get("Messages", []):
        taken += [dict(message) for message in messages]
    return taken


def bodies_in(sqs: SQSClient, name: str) -> list[str]:
    return [message["Body"] for message in take(sqs, name)]


def transcript(transcript_id: str) -> str:
    return json.dumps({**DOCUMENT, "id": transcript_id})


def lambda_record(transcript_id: str, arn: str = COMPANION_ARN) -> str:
    """The record that Lambda sends to the destination of a failed asynchronous invocation."""
    failure = InvocationError("error", "PublishError", "it failed")
    return failure_record(arn, transcript(transcript_id).encode(), "request-1", failure, 3)


def redrive(
    sqs: SQSClient,
    endpoint: str,
    companion: LambdaInvokeEndpoint,
    event: Any = None,
    remaining_s: float = 900.0,
    settings: Mapping[str, str] | None = None,
) -> HandlerRun:
    """Run the redrive in its own process, over all queues unless the event names some."""
    undelivered = url_of(sqs, UNDELIVERED)
    environment = {
        "UNDELIVERED_QUEUE_URL": undelivered,
        "TRANSCRIPT_FUNCTION_NAME": "companion",
        "DEAD_LETTER_QUEUES": json.dumps(
            {
                undelivered.replace(UNDELIVERED, DEAD): undelivered.replace(UNDELIVERED, SOURCE),
                undelivered.replace(UNDELIVERED, FIFO_DEAD): undelivered.replace(UNDELIVERED, FIFO_SOURCE),
            }
        ),
        "TRANSCRIPT_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL_SQS": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": companion.url,
        **(settings or {}),
    }
    return run_handler(
        "redrive_transcripts", "redrive_handler", {} if event is None else event, environment, remaining_s
    )


def report(run: HandlerRun, name: str) -> dict[str, Any]:
    assert run.status == 0, run.log
    found: dict[str, Any] = run.returned[name]
    return found
