"""What the upstream's failures mean: status, headers or silence in, the error for the caller out.

A request is sent again, before a byte of an answer has left, for a status that may pass (408, 409, 429, 5xx,
as OpenAI's SDKs do; `x-should-retry` decides before it), for a connection that cannot be made, and for an
answer that ends at once without a byte. It is not sent again where it may have been served, as each try is
billed: after a gateway's timeout, an answer of which something has come that cannot be read, and one that
ends without a byte after a while.
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
_NOT_AT_THE_MOMENT = (408, 409, 429)
# A gateway has given up on an upstream that was at work: nginx and others; Cloudflare; proxies of old.
_GATEWAY_TIMEOUTS = (504, 522, 523, 524, 598, 599)
_TIMEOUTS = (408, *_GATEWAY_TIMEOUTS)
_ABOUT_THE_KEY = (401, 403)


class RetryableError(UpstreamError):
    """A failure before the first byte that another attempt may mend.

    Attributes:
        retry_after_s: how long the upstream asks to wait, if it does.
    """

    retry_after_s: float | None = None


class KeyRefusedError(UpstreamError):
    """401: the secret may have been rotated since it was read."""


def refusal(
    status: int, headers: Mapping[str, str], document: bytes | None, *, may_be_served: bool = False
) -> UpstreamError:
    """The error that a status of no success stands for: a RetryableError if it is to be tried again.

    Args:
        headers: by lower-case name.
        document: the upstream's error document, as `error_document` gives it.
        may_be_served: the upstream has had the request for a while.
    """
    message = f"The upstream answered with status {status}."
    if status in (401, 403):
        return auth_failed(KeyRefusedError if status == 401 else UpstreamError)
    if status < 400:
        return UpstreamError(502, "upstream_unexpected_status", message)
    asked = _should_retry(headers)
    is_passing = status in _NOT_AT_THE_MOMENT or (status >= 500 and status not in _GATEWAY_TIMEOUTS)
    if status == 408 and may_be_served:
        is_passing = False
    kind = RetryableError if (is_passing if asked is None else asked) else UpstreamError
    # In whole seconds, the one form that every client reads; and never what the upstream wrote there.
    wait_s = retry_after_s(headers)
    wait = {} if wait_s is None else {"retry-after": str(math.ceil(min(wait_s, MAX_RETRY_AFTER_S)))}
    if status == 429:
        code, type_ = "upstream_rate_limited", "rate_limit_error"
        error = kind(429, code, message, type=type_, headers=wait, body=document)
    elif status in _TIMEOUTS:
        error = kind(504, "upstream_timeout", message, headers=wait)
    elif status in _NOT_AT_THE_MOMENT or status >= 500:
        error = kind(502, "upstream_error", message, headers=wait)
    else:
        code, type_ = "upstream_refused", "invalid_request_error"
        error = kind(status, code, message, type=type_, headers=wait, body=document)
    if isinstance(error, RetryableError):
        error.retry_after_s = wait_s
    return error


def _should_retry(headers: Mapping[str, str]) -> bool | None:
    """What the upstream says of another attempt.

    "If the server explicitly says whether or not to retry, obey." (openai-python, `_should_retry`)
    """
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").split(",")[0].strip().lower())


def error_document(body: bytes, redacted: Callable[[str], str]) -> bytes | None:
    """The upstream's own words, on one line; None for a body that holds no JSON object, nor an event of one.

    An object without an `error`, as FastAPI and others send it, is put into OpenAI's shape: SDKs look for it.

    Args:
        redacted: takes the relay's key out of a text.
    """
    try:
        document = _error_document(body)
        if document is None:
            return None
        return json.dumps(redacted_value(document, redacted), separators=(",", ":")).encode("ascii")
    except RecursionError:  # nested deeper than any error, wherever that shows first
        return None


def _error_document(body: bytes) -> dict[str, Any] | None:
    """The document in OpenAI's shape. Raises RecursionError for one that is too deep."""
    try:
        document = json.loads(body)
    except ValueError:
        document = _document_of_events(body)
    if isinstance(document, list) and len(document) == 1:  # as Gemini sends it
        document = document[0]
    if not isinstance(document, dict):
        return None
    if isinstance(document.get("error"), (dict, str)) and document["error"]:
        return document
    failed = failure_of(document)
    words = document.get("message") or document.get("detail") or (failed and failed.message) or document
    return {
        "error": {
            "message": words if isinstance(words, str) else json.dumps(words),
            "type": (failed and failed.type) or "invalid_request_error",
            "param": failed and failed.param,
            "code": (failed and failed.code) or "upstream_refused",
        }
    }


def _document_of_events(body: bytes) -> dict[str, Any] | None:
    """The first JSON object in a body of events, as some answer a streamed request that they refuse.

    Raises RecursionError for one that is too deep.
    """
    events = [(event.event, parsed(event.data)) for event in EventStreamParser().feed(body + b"\n\n")]
    for name, data in events:
        if isinstance(data, dict) and data:
            return data
        if isinstance(data, str) and data and names_failure(name):
            return {"message": data}
    return None


def presentable(failed: AnswerFailed, redacted: Callable[[str], str]) -> AnswerFailed:
    """An error that the upstream reports within a 200, as caller and transcript may see it.

    Args:
        redacted: takes the relay's key out of a text.
    """
    if any(status in _ABOUT_THE_KEY for status in _statuses(failed)):
        error = auth_failed()
        return AnswerFailed(error.message, error.type, error.code, None, error.status)
    type_, code, param = (value and redacted(value) for value in (failed.type, failed.code, failed.param))
    return AnswerFailed(redacted(failed.message), type_, code, param, failed.status)


def reported(failed: AnswerFailed) -> UpstreamError:
    """The error that a presentable one stands for.

    Its status is the one that it carries, or else that of its code, or of its type; 502 if nothing tells.
    """
    type_ = (failed.type or "").strip() or "upstream_error"
    code = (failed.code or "").strip() or type_
    status = next(_statuses(failed), 502)
    if status == 408 or status >= 500:
        status = 504 if status in _TIMEOUTS else 502
    return UpstreamError(status, code, failed.message, type=type_, param=failed.param)


def _statuses(failed: AnswerFailed) -> Iterator[int]:
    """The HTTP statuses that an error tells, the surest first."""
    told = (failed.status, status_named(failed.code), status_named(failed.type))
    return (status for status in told if status is not None)


def reported_by_upstream() -> UpstreamError:
    """An error that the upstream has reported, without its words: for the log."""
    return UpstreamError(502, "upstream_error", "The upstream reported an error.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the upstream asks to wait, the longest of several values; None where it does not say.

    As OpenAI's SDKs read it: "Prefer milliseconds, then seconds (allowing nonstandard floats)", then a date.
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
    """401 or 403 is the relay's affair: neither its key nor the upstream's words about it get out."""
    return kind(502, AUTH_FAILED, "The upstream refused the relay's own credentials.")


def unreachable() -> RetryableError:
    """No connection, or one that ended before an answer."""
    return RetryableError(502, "upstream_unreachable", "The upstream could not be reached.")


def unreachable_in_time() -> RetryableError:
    """No connection within the time for it."""
    return RetryableError(504, "upstream_timeout", "The upstream could not be reached in time.")


def silent_from_the_start(waited_s: float) -> UpstreamError:
    """No first event. Not retried: the upstream may be at work, and be billed, and the caller has waited."""
    return UpstreamError(504, "upstream_timeout", f"The upstream sent nothing for {waited_s:g} s.")


def closed_at_once(*, may_be_served: bool) -> UpstreamError:
    """The body broke off before its first byte."""
    kind = UpstreamError if may_be_served else RetryableError
    return kind(502, "upstream_interrupted", "The upstream closed before the first byte.")


def empty(*, may_be_served: bool) -> UpstreamError:
    """A body without a byte to show."""
    kind = UpstreamError if may_be_served else RetryableError
    return kind(502, "empty_stream", "The upstream's answer is empty.")


def closed_unanswered() -> UpstreamError:
    """No byte of an answer, after a time in which the upstream may have worked on one."""
    return UpstreamError(502, "upstream_interrupted", "The upstream closed without an answer.")


def unreadable(message: str) -> UpstreamError:
    """A body that is not what the head says of it. Not retried: the upstream has answered."""
    return UpstreamError(502, "upstream_interrupted", message)


def unreadable_head() -> UpstreamError:
    """Bytes that are no head of an answer, or only a part of one. Not retried, for the same reason."""
    return UpstreamError(502, "upstream_unreadable", "The upstream's answer has no head that can be read.")


def not_an_answer(what: str) -> UpstreamError:
    """Status 200, and neither events nor a whole answer: most often a wrong base URL.

    Args:
        what: the content type, or another short word for what came instead.
    """
    what = what.split(";")[0].strip()[:60]
    if not _SHORT_WORD.fullmatch(what):
        what = "something of no known type"
    message = f"The upstream sent neither events nor a whole answer, but {what}."
    return UpstreamError(502, "not_event_stream", message)


def interrupted(message: str = "The upstream broke off before the answer's end.") -> UpstreamError:
    """The answer was cut off."""
    return UpstreamError(502, "upstream_interrupted", message, outcome="truncated")


def too_large(message: str) -> UpstreamError:
    """More than the relay will hold in memory."""
    return UpstreamError(502, "upstream_too_large", message, outcome="truncated")


def deadline_exceeded() -> UpstreamError:
    """The function's own time is up."""
    message = "The answer was not finished within the time that the relay has for it."
    return UpstreamError(504, "deadline_exceeded", message, outcome="truncated")
