"""Sends dead letters on their way again. A person invokes it, once the cause is mended.

    aws lambda invoke --function-name … --cli-read-timeout 0 out.json

Transcripts that are on no queue yet go to the companion; a consumer's dead letters go back to its queue.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from dead_letters import DeadLetterQueue, sqs_client
from letter_check import LetterCheck
from letter_destinations import Companion, Destination, SourceQueue
from log_privacy import keep_libraries_quiet
from redrive_settings import RedriveSettings, queue_name
from redriving import redrive
from settings_reading.sam_local import is_logical_name, is_sam_local

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class RedriveRequestError(ValueError):
    """The event asks for what there is not; the message says what there is."""


keep_libraries_quiet()
logger = Logger(service="redrive-transcripts")
sqs = sqs_client()


def destinations(environ: Mapping[str, str]) -> dict[str, Destination]:
    """Where the letters of each queue go; empty under `sam local` where no queue was named to it."""
    if is_sam_local(environ) and is_logical_name(environ.get("UNDELIVERED_QUEUE_URL")):
        logger.warning("sam local: the queues exist in the template only; there is nothing to redrive")
        return {}
    settings = RedriveSettings.of(environ)
    return {
        settings.undelivered_queue_url: Companion(settings.transcript_function_name),
        **{dead: SourceQueue(sqs, source) for dead, source in settings.dead_letter_queues.items()},
    }


DESTINATIONS = destinations(os.environ)
CHECK = LetterCheck(os.environ.get("TRANSCRIPT_BUCKET", ""))
COUNTS = ("redriven", "refused_count", "failed_count", "not_deleted_count", "stopped")


def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Redrive the queues that the event names, all of them for `{}`; the report of each, by its name.

    Args:
        event: `{}` or `{"queues": ["transcripts-dead-letters"]}`, each name the last part of a queue's URL.

    Raises:
        RedriveRequestError: for anything else.
    """
    reports = {}
    for queue_url in requested_queues(event):
        queue = DeadLetterQueue(sqs, queue_url)
        report = redrive(queue, DESTINATIONS[queue_url], CHECK, context).as_json()
        counts = {name: report[name] for name in COUNTS}
        logger.info("queue redriven", extra={"queue": queue.name, **counts})
        reports[queue.name] = report
    return reports


def requested_queues(event: Any) -> list[str]:
    """The URLs of the queues that the event names. Raises RedriveRequestError."""
    urls = {queue_name(url): url for url in DESTINATIONS}
    if event == {}:
        return list(urls.values())
    # A misspelt field must not redrive everything.
    names = event["queues"] if isinstance(event, dict) and set(event) == {"queues"} else None
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise RedriveRequestError('the event should be {} or {"queues": […]}; there are ' + ", ".join(urls))
    unknown = [name for name in names if name not in urls]
    if unknown:
        raise RedriveRequestError(f"there is no queue {unknown[0]!r}; there are {', '.join(urls)}")
    return [urls[name] for name in dict.fromkeys(names)]
