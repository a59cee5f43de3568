"""The companion: sends a finished transcript to every transcript queue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chat_stream.transcript import parse_transcript
from log_privacy import keep_libraries_quiet
from transcript_message import TranscriptMessage

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class SettingsError(ValueError):
    """A setting is missing or malformed; the message names the variable."""


class PublishError(RuntimeError):
    """Some queues did not take the transcript; the message names each of them with the error's code."""


def queue_urls(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The URLs in `TRANSCRIPT_QUEUE_URLS`, comma-separated.

    Raises:
        SettingsError: when there is none, or one is no http(s) URL.
    """
    urls = tuple(filter(None, (url.strip() for url in environ.get("TRANSCRIPT_QUEUE_URLS", "").split(","))))
    if not urls or not all(url.startswith(("https://", "http://")) for url in urls):
        raise SettingsError("TRANSCRIPT_QUEUE_URLS must hold one or more SQS queue URLs, separated by commas")
    return urls


QUEUE_URLS = queue_urls(os.environ)

keep_libraries_quiet()
logger = Logger(service="publish-transcript")
sqs = boto3.client(
    "sqs",
    config=Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
    ),
)


def handle(event: dict[str, Any], context: LambdaContext) -> None:
    """Send the transcript that `event` is to every queue.

    An error makes Lambda invoke again with the same event, for every queue: delivery is at least once, and
    consumers deduplicate on its id. What keeps failing ends in the function's on-failure destination.

    Raises:
        InvalidTranscript: the event is no transcript; names the field.
        TranscriptTooLargeError: it does not fit into a message.
        PublishError: some queues did not take it. All the others have it by then.
    """
    transcript = parse_transcript(event)
    message = TranscriptMessage.of(transcript)
    refusals = {url: code for url in QUEUE_URLS if (code := _send(url, message)) is not None}
    facts = {"transcript_id": transcript.id, "outcome": transcript.outcome, "queues": len(QUEUE_URLS)}
    if refusals:
        failed = ", ".join(f"{url.rsplit('/', 1)[-1]} ({code})" for url, code in refusals.items())
        logger.error("transcript not published to every queue", extra={**facts, "failed": failed})
        raise PublishError(f"transcript {transcript.id} was not taken by {failed}")
    logger.info("transcript published", extra=facts)


def _send(queue_url: str, message: TranscriptMessage) -> str | None:
    """Send the message; the error's code if the queue does not take it."""
    try:
        sqs.send_message(QueueUrl=queue_url, MessageBody=message.body, MessageAttributes=message.attributes)
    except ClientError as error:
        return error.response["Error"]["Code"]
    except BotoCoreError as error:  # nothing answered, or no credentials
        return type(error).__name__
    return None
