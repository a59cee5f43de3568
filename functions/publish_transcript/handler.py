"""The companion: sends a finished transcript to every queue that wants it."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from chat_stream.transcripts.reader import transcript_in
from chat_stream.transcripts.transcript import Transcript
from delivery_progress import DeliveryProgress
from log_privacy import keep_libraries_quiet
from settings_reading.sam_local import is_sam_local
from transcript_bucket import TranscriptBucket
from transcript_message import TranscriptMessage
from transcript_queues import TranscriptQueues
from transcript_routes import parse_routes


class PublishError(RuntimeError):
    """Some queues did not accept the transcript; the message names each with its error code."""


keep_libraries_quiet()
logger = Logger(service="publish-transcript")

ROUTES = parse_routes(os.environ.get("TRANSCRIPT_ROUTES", ""), takes_logical_names=is_sam_local(os.environ))
if not ROUTES:
    logger.warning("sam local: the queues exist only in the template; transcripts are checked but not sent")
QUEUES = TranscriptQueues()
BUCKET = TranscriptBucket(os.environ.get("TRANSCRIPT_BUCKET", ""))
PROGRESS = DeliveryProgress(os.environ.get("DELIVERY_TABLE_NAME", "") if ROUTES else "")


def handle(event: dict[str, Any], context: LambdaContext) -> None:
    """Send the transcript that `event` is, or points to, to every queue whose route admits it.

    After an error Lambda invokes again with the same event, and queues that already have the transcript are
    skipped. If it keeps failing, the event goes to the function's on-failure destination.

    Raises:
        InvalidTranscriptError: the event is not a transcript; the message names the field.
        TranscriptTooLargeError: it does not fit into a message, and there is no bucket.
        PublishError: some queues did not accept it. All others have it by then.
    """
    transcript = transcript_in(event, BUCKET.fetch)
    wanted = [route.queue_url for route in ROUTES if route.admits(transcript)]
    there = PROGRESS.queues_with(transcript.id)
    missing = [queue_url for queue_url in wanted if queue_url not in there]
    refusals = _publish(transcript, missing) if missing else {}
    facts = {
        "transcript_id": transcript.id,
        "outcome": transcript.outcome,
        "queues": len(wanted),
        "sent": len(missing) - len(refusals),
        "sent_to": [_queue_name(url) for url in missing if url not in refusals],
    }
    if refusals:
        failed = ", ".join(f"{_queue_name(url)} ({code})" for url, code in refusals.items())
        logger.error("transcript not published to every queue", extra={**facts, "failed": failed})
        raise PublishError(f"transcript {transcript.id} was not accepted by {failed}")
    logger.info("transcript published", extra=facts)


def _queue_name(queue_url: str) -> str:
    return queue_url.rsplit("/", 1)[-1]


def _publish(transcript: Transcript, queue_urls: list[str]) -> dict[str, str]:
    """Send to these queues, recording each that has it. Returns the error codes of the others by URL."""
    message = TranscriptMessage.of(transcript)
    if not message.fits:
        # Also if the event was a pointer: a new copy is kept as long as the messages that point to it.
        message = TranscriptMessage.of(transcript, BUCKET.store(transcript))
    return QUEUES.send(message, queue_urls, on_sent=partial(PROGRESS.note, transcript.id))
