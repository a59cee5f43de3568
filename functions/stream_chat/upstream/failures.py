"""Turns the upstream's failures into errors for the caller: status, headers or silence in, UpstreamError out.

Retried, before any byte of an answer was sent: a transient status (408, 409, 429 and 5xx, as in OpenAI's
SDKs; `x-should-retry` overrides it), a connection that cannot be made, and an answer that ends at once
without a byte. Not retried, because the request may have been served and each attempt is billed: a gateway's
timeout, an answer that arrived in part but cannot be read, and one that ends without a byte after a while.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from chat_stream.dialects.failures import failure_of, names_failure, status_named
from chat_stream.events import AnswerFailed
from chat_stream.json_values import parsed
from chat_stream.sse import EventStreamParser
from errors import UpstreamError
from upstream.key_redaction import redacted_value

AUTH_FAILED = "upstream_auth_failed"
MAX_RETRY_AFTER_S = 24 * 60 * 60

_NUMBER = re.compile("(?:[0-9]{1,100})?(?:\\.[0-9]{0,100})?")
_DATE_OR_NUMBER = re.compile("(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,[^,]*|[^,]+")
_SHORT_WORD = re.compile("[A-Za-z0-9 /.+_-]+")
_TRANSIENT = (408, 409, 429)
# A gateway gave up on a working upstream: nginx and others (504), Cloudflare (52x), old proxies (59x).
_GATEWAY_TIMEOUTS = (504, 522, 523, 524, 598, 599)
_TIMEOUTS = (408, *_GATEWAY_TIMEOUTS)
_KEY_STATUSES = (401, 403)


class RetryableError(UpstreamError):
    """A failure before the first byte that may not recur on another attempt.

    Attributes:
        retry_after_s: the wait that the upstream requested, if any.
    """

    retry_after_s: float | None = None


class KeyRefusedError(UpstreamError):
    """401: the secret may have been rotated since it was read."""


def refusal(
    status: int, headers: Mapping[str, str], document: bytes | None, *, may_be_served: bool = False
) -> UpstreamError:
    """The error for an unsuccessful status; a RetryableError if the request is to be retried.

    Args:
        headers: by lower-case name.
        document: the upstream's error document, as returned by `error_document`.
        may_be_served: whether the upstream has had the request long enough to have worked on an answer.
    """
    message = f"The upstream answered with status {status}."
    if status in _KEY_STATUSES:
        return auth_failed(KeyRefusedError if status == 401 else UpstreamError)
    if status < 400:
        return UpstreamError(502, "upstream_unexpected_status", message)
    should_retry = _should_retry(headers)
    is_transient = status in _TRANSIENT or (status >= 500 and status not in _GATEWAY_TIMEOUTS)
    if status == 408 and may_be_served:
        is_transient = False
    kind = RetryableError if (is_transient if should_retry is None else should_retry) else UpstreamError
    # Whole seconds are the one form that every client reads. The upstream's own text is never passed on.
    wait_s = retry_after_s(headers)
    wait = {} if wait_s is None else {"retry-after": str(math.ceil(min(wait_s, MAX_RETRY_AFTER_S)))}
    if status == 429:
        code, type_ = "upstream_rate_limited", "rate_limit_error"
        error = kind(429, code, message, type=type_, headers=wait, body=document)
    elif status in _TIMEOUTS:
        error = kind(504, "upstream_timeout", message, headers=wait)
    elif status in _TRANSIENT or status >= 500:
        error = kind(502, "upstream_error", message, headers=wait)
    else:
        code, type_ = "upstream_refused", "invalid_request_error"
        error = kind(status, code, message, type=type_, headers=wait, body=document)
    if isinstance(error, RetryableError):
        error.retry_after_s = wait_s
    return error


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    """Whether the upstream asks for a retry; None if it does not say.

    "If the server explicitly says whether or not to retry, obey." (openai-python, `_should_retry`)
    """
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").split(",")[0].strip().lower())


def error_document(body: bytes, redacted: Callable[[str], str]) -> bytes | None:
    """The upstream's own error document on one line; None if the body holds no JSON object, even in events.

    An object without `error`, as FastAPI and others send it, gets OpenAI's format, which SDKs expect.

    Args:
        redacted: removes the relay's key from a text.
    """
    try:
        document = _error_document(body)
        if document is None:
            return None
        return json.dumps(redacted_value(document, redacted), separators=(",", ":")).encode("ascii")
    except RecursionError:  # too deep for an error document; parsing, redacting or dumping may fail first
        return None


def _error_document(body: bytes) -> dict[str, Any] | None:
    """The document in OpenAI's format. Raises RecursionError if it is nested too deeply."""
    try:
        document = json.loads(body)
    except ValueError:
        document = _document_of_events(body)
    if isinstance(document, list) and len(document) == 1:  # Gemini's format
        document = document[0]
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("error"), (dict, str)) and document["error"]:
        return document
    failed = failure_of(document)
    message = document.get("message") or document.get("detail") or (failed and failed.message) or document
    return {
        "error": {
            "message": message if isinstance(message, str) else json.dumps(message),
            "type": (failed and failed.type) or "invalid_request_error",
            "param": failed and failed.param,
            "code": (failed and failed.code) or "upstream_refused",
        }
    }


def _document_of_events(body: bytes) -> dict[str, Any] | None:
    """The first JSON object in a body of events; some upstreams refuse a streamed request in that form.

    Raises RecursionError if it is nested too deeply.
    """
    events = [(event.event, parsed(event.data)) for event in EventStreamParser().feed(body + b"\n\n")]
    for name, data in events:
        if isinstance(data, dict) and data:
            return data
        if isinstance(data, str) and data and names_failure(name):
            return {"message": data}
    return None


def presentable(failed: AnswerFailed, redacted: Callable[[str], str]) -> AnswerFailed:
    """An error that the upstream reports within a 200, in the form that caller and transcript may see.

    Args:
        redacted: removes the relay's key from a text.
    """
    if any(status in _KEY_STATUSES for status in _statuses(failed)):
        error = auth_failed()
        return AnswerFailed(error.message, error.type, error.code, None, error.status)
    type_, code, param = (value and redacted(value) for value in (failed.type, failed.code, failed.param))
    return AnswerFailed(redacted(failed.message), type_, code, param, failed.status)


def reported(failed: AnswerFailed) -> UpstreamError:
    """The UpstreamError for a failure that `presentable` returned.

    Its status is the failure's own, or that of its code, or that of its type; by default 502.
    """
    type_ = (failed.type or "").strip() or "upstream_error"
    code = (failed.code or "").strip() or type_
    status = next(_statuses(failed), 502)
    if status == 408 or status >= 500:
        status = 504 if status in _TIMEOUTS else 502
    return UpstreamError(status, code, failed.message, type=type_, param=failed.param)


def _statuses(failed: AnswerFailed) -> Iterator[int]:
    """The HTTP statuses that an error names, the most reliable first."""
    statuses = (failed.status, status_named(failed.code), status_named(failed.type))
    return (status for status in statuses if status is not None)


def reported_by_upstream() -> UpstreamError:
    """An error that the upstream reported, without its message: for the log."""
    return UpstreamError(502, "upstream_error", "The upstream reported an error.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait that the upstream requested, the longest of several values; None if it requested none.

    The order is that of OpenAI's SDKs: "Prefer milliseconds, then seconds (allowing nonstandard floats)",
    then a date.
    """
    for name, divisor in (("retry-after-ms", 1000), ("retry-after", 1)):
        values = map(str.strip, _DATE_OR_NUMBER.findall(headers.get(name, "")))
        waits = [wait_s / divisor for value in values if (wait_s := _wait_in(value)) is not None]
        if waits:
            return max(waits)
    return None


def _wait_in(value: str) -> float | None:
    if _NUMBER.fullmatch(value) and value.strip("."):
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def auth_failed(kind: type[UpstreamError] = UpstreamError) -> UpstreamError:
    """401 or 403: the relay's own fault. Neither its key nor the upstream's message about it is passed on."""
    return kind(502, AUTH_FAILED, "The upstream refused the relay's own credentials.")


def unreachable() -> RetryableError:
    """There was no connection, or it ended before an answer."""
    return RetryableError(502, "upstream_unreachable", "The upstream could not be reached.")


def connect_timeout() -> RetryableError:
    """There was no connection within the connect timeout."""
    return RetryableError(504, "upstream_timeout", "The upstream could not be reached in time.")


def first_byte_timeout(waited_s: float) -> UpstreamError:
    """No first event in time. Not retried: the upstream may be at work, billed, and the caller has waited."""
    return UpstreamError(504, "upstream_timeout", f"The upstream sent nothing for {waited_s:g} s.")


def closed_before_first_byte(*, may_be_served: bool) -> UpstreamError:
    """The body broke off before its first byte."""
    kind = UpstreamError if may_be_served else RetryableError
    return kind(502, "upstream_interrupted", "The upstream closed before the first byte.")


def empty(*, may_be_served: bool) -> UpstreamError:
    """The body is empty."""
    kind = UpstreamError if may_be_served else RetryableError
    return kind(502, "empty_stream", "The upstream's answer is empty.")


def closed_unanswered() -> UpstreamError:
    """The connection ended without an answer after the upstream may have worked on one."""
    return UpstreamError(502, "upstream_interrupted", "The upstream closed without an answer.")


def unreadable(message: str) -> UpstreamError:
    """The body contradicts its head. Not retried: the upstream has answered."""
    return UpstreamError(502, "upstream_interrupted", message)


def unreadable_head() -> UpstreamError:
    """The head is invalid or incomplete. Not retried: the upstream has answered."""
    return UpstreamError(502, "upstream_unreadable", "The head of the upstream's answer cannot be read.")


def not_an_answer(what: str) -> UpstreamError:
    """Status 200 with neither events nor a whole answer; most often the base URL is wrong.

    Args:
        what: the content type, or another short description of what arrived instead.
    """
    what = what.split(";")[0].strip()[:60]
    if not _SHORT_WORD.fullmatch(what):
        what = "something of unknown type"
    message = f"The upstream sent neither events nor a whole answer, but {what}."
    return UpstreamError(502, "not_event_stream", message)


def interrupted(message: str = "The upstream broke off before the answer's end.") -> UpstreamError:
    """The answer was cut off."""
    return UpstreamError(502, "upstream_interrupted", message, outcome="truncated")


def too_large(message: str) -> UpstreamError:
    """The answer is larger than the relay holds in memory."""
    return UpstreamError(502, "upstream_too_large", message, outcome="truncated")


def deadline_exceeded() -> UpstreamError:
    """The relay's own deadline has passed."""
    message = "The answer was not finished within the time that the relay has for it."
    return UpstreamError(504, "deadline_exceeded", message, outcome="truncated")
