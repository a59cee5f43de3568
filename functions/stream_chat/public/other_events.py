"""Events that are not HTTP requests: warm-up pings, schedules, load balancers, queues, manual invocations.

None of them is an error, and none needs a model: each gets a small JSON answer and one line in the log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from answers import JSON_HEADERS, Answer
from chat_stream.json_values import object_in

logger = logging.getLogger("stream_chat")

# By the source of the first record: its `eventSource`, or `EventSource` in SNS notifications.
_RECORDS = {
    "aws:dynamodb": "DynamoDB records",
    "aws:kinesis": "Kinesis records",
    "aws:s3": "S3 notification",
    "aws:ses": "SES notification",
    "aws:sns": "SNS notification",
    "aws:sqs": "SQS messages",
}


def acknowledged(event: object) -> Answer:
    """The answer to an event that is not an HTTP request; only its kind is logged."""
    kind = event_kind(event)
    logger.info("not an HTTP request: %s", kind)
    return Answer(200, JSON_HEADERS, json.dumps({"status": "ok", "event": kind}).encode("ascii"))


def event_kind(event: object) -> str:
    """What sent the event, as far as the event shows; never text from the event itself."""
    if not isinstance(event, Mapping):
        return "JSON that is not an object"
    if not event:
        return "empty object"
    if isinstance(records := event.get("Records"), list):
        return _kind_of_records(records)
    context = object_in(event.get("requestContext"))
    # serverless-plugin-warmup names itself as the source; lambda-warmer sends `warmer`, others `warmup`.
    is_warmup = event.get("source") == "serverless-plugin-warmup" or {"warmer", "warmup"} & event.keys()
    kinds: Mapping[str, Any] = {
        "warm-up ping": is_warmup,
        "EventBridge event": "detail-type" in event,
        "load balancer request": "elb" in context,
        "API Gateway authorizer request": bool(event.get("methodArn") or event.get("routeArn")),
        "API Gateway completion notice": "invokeCompletionStatus" in event,
        "WebSocket API event": "connectionId" in context,
        "VPC Lattice request": "serviceNetworkArn" in context or "raw_path" in event,
        "CloudWatch Logs": "awslogs" in event,
        "Cognito trigger": "triggerSource" in event,
    }
    return next((kind for kind, is_it in kinds.items() if is_it), "unknown object")


def _kind_of_records(records: list[Any]) -> str:
    first = object_in(records[0]) if records else {}
    if "cf" in first:
        return "CloudFront event"
    source = first.get("eventSource") or first.get("EventSource")
    return _RECORDS.get(source, "records") if isinstance(source, str) else "records"
