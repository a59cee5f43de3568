"""The redrive: delivers dead letters again. It is invoked by hand, once the cause has been fixed.

    aws lambda invoke --function-name … --cli-read-timeout 0 out.json

Transcripts that were never published go to the companion; a consumer's dead letters go back to its queue.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from aws_client import aws_client
from dead_letters import LIMITS, DeadLetterQueue, fetch_from
from letter_destinations import Companion, Destination, SourceQueue
from log_privacy import keep_libraries_quiet
from redrive_settings import RedriveSettings, queue_name
from redriving import redrive
from settings_reading.sam_local import is_logical_name, is_sam_local

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext
    from mypy_boto3_sqs import SQSClient


class RedriveRequestError(ValueError):
    """The event is malformed or names an unknown queue; the message lists the queues."""


keep_libraries_quiet()
logger = Logger(service="redrive-transcripts")
sqs: SQSClient = aws_client("sqs", **LIMITS)


def destinations(environ: Mapping[str, str]) -> dict[str, Destination]:
    """Return dead-letter queue URL → destination. It is empty under `sam local` without real queues."""
    if is_sam_local(environ) and is_logical_name(environ.get("UNDELIVERED_QUEUE_URL")):
        logger.warning("sam local: the queues exist only in the template; there is nothing to redrive")
        return {}
    settings = RedriveSettings.of(environ)
    return {
        settings.undelivered_queue_url: Companion(settings.transcript_function_name),
        **{dead: SourceQueue(sqs, source) for dead, source in settings.dead_letter_queues.items()},
    }


DESTINATIONS = destinations(os.environ)
FETCH = fetch_from(os.environ.get("TRANSCRIPT_BUCKET", ""))
COUNTS = ("redriven", "refused_count", "failed_count", "not_deleted_count", "stopped")


def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Redrive the queues that the event names, or all for `{}`. Returns queue name → report.

    The event is `{}` or `{"queues": ["transcripts-dead-letters"]}`; a name is the last part of a queue's URL.
    Raises RedriveRequestError for any other event.
    """
    reports = {}
    for queue_url in requested_queues(event):
        queue = DeadLetterQueue(sqs, queue_url)
        report = redrive(queue, DESTINATIONS[queue_url], FETCH, context).as_json()
        counts = {name: report[name] for name in COUNTS}
        logger.info("queue redriven", extra={"queue": queue.name, **counts})
        reports[queue.name] = report
    return reports


def requested_queues(event: Any) -> list[str]:
    """Return the URLs of the queues that the event names. Raises RedriveRequestError."""
    urls = {queue_name(url): url for url in DESTINATIONS}
    if event == {}:
        return list(urls.values())
    # A misspelt field must not redrive everything.
    names = event["queues"] if isinstance(event, dict) and set(event) == {"queues"} else None
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise RedriveRequestError(
            'the event should be {} or {"queues": […]}; the queues are ' + ", ".join(urls)
        )
    unknown = [name for name in names if name not in urls]
    if unknown:
        raise RedriveRequestError(f"there is no queue {unknown[0]!r}; the queues are {', '.join(urls)}")
    return [urls[name] for name in dict.fromkeys(names)]
