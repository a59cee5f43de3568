"""Gives every streamed answer a body, also one that would be empty.

On some accounts a function URL sends the headers of such an answer and then keeps the connection open, for up
to 16 minutes (https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/issues/95).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .checked_values import warn_once

# The statuses for which HTTP allows no body, and those that are sent in their place. No other status tells a
# browser to use its copy: RFC 9110 (13.1.2) has 412 for methods that cannot be answered with 304.
WITH_BODY: Mapping[int, int] = {204: 200, 205: 200, 304: 412}


def status_with_body(status: int, environ: Mapping[str, str] = os.environ) -> int:
    """Return a status that allows a body: `status` itself, or on Lambda the one that is sent in its place.

    Lambda's managed runtimes set AWS_EXECUTION_ENV. Raises ValueError where it is not set, so that a handler
    that uses such a status is noticed before it is deployed; on Lambda one warning is logged.
    """
    if status not in WITH_BODY:
        return status
    if not environ.get("AWS_EXECUTION_ENV", "").startswith("AWS_Lambda_"):
        raise ValueError(
            f"status {status} has no body, and a streamed answer without one can hang on Lambda: "
            "use a status with a body"
        )
    warn_once(f"status {status}", f"cannot be streamed, because it has no body: {WITH_BODY[status]} is sent")
    return WITH_BODY[status]


def stand_in(headers: Mapping[str, str]) -> bytes:
    """Return a body for an answer without one: bytes that readers of its content type skip.

    It is a comment in an event stream and otherwise a line feed: white space in text, HTML and scripts, and
    an empty line in a list of JSON lines. An empty JSON document or image is as invalid as this one.
    """
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return b":\n" if content_type.partition(";")[0].strip().lower() == "text/event-stream" else b"\n"


def without_zero_length(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers without `content-length: 0`, which would contradict the stand-in."""
    return {
        name: value
        for name, value in headers.items()
        if (name.lower(), value.strip()) != ("content-length", "0")
    }
