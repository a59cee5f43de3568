"""What an on-failure destination receives: the record of an asynchronous invocation that failed for good.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from local.lambda_service.invocation import InvocationError


def failure_record(
    function_arn: str, payload: bytes, request_id: str, failure: InvocationError, invoke_count: int
) -> str:
    """The record as JSON, ASCII-escaped, with the event under `requestPayload`.

    `payload` is the event as JSON, `failure` the last of `invoke_count` attempts.
    """
    record = {
        "version": "1.0",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
        "requestContext": {
            "requestId": request_id,
            "functionArn": f"{function_arn}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": invoke_count,
        },
        "requestPayload": json.loads(payload),
        # The status of Lambda's Invoke, not of the function: the invocation itself was made.
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": failure.message, "errorType": failure.error_type},
    }
    return json.dumps(record, separators=(",", ":"))


def unwrapped(message: bytes) -> bytes:
    """The event as JSON: that in a failure record, or else the message itself."""
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):  # another program sent this message
        return message
    if isinstance(document, dict) and "requestPayload" in document:
        return json.dumps(document["requestPayload"], separators=(",", ":")).encode()
    return message
