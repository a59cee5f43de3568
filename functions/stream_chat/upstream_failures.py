"""What the upstream's failures mean: status, headers or silence in, the error for the caller out."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from chat_stream.chat_events import AnswerFailed
from key_redaction import redacted_value
from relay_error import UpstreamError

AUTH_FAILED = "upstream_auth_failed"
MAX_RETRY_AFTER_S = 24 * 60 * 60

_DIGITS = re.compile("[0-9]{1,100}")
_SHORT_WORD = re.compile("[A-Za-z0-9 /.+_-]+")
_NOT_AT_THE_MOMENT = (408, 409, 429)
_ABOUT_THE_KEY = frozenset({"401", "403", "invalid_api_key", "authentication_error", "permission_error"})
_STATUS_BY_TYPE = {
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "requests": 429,
    "tokens": 429,
}


class RetryableError(UpstreamError):
    """A failure before the first byte that another attempt may mend.

    Attributes:
        retry_after_s: how long the upstream asks to wait, if it does.
    """

    retry_after_s: float | None = None


class KeyRefusedError(UpstreamError):
    """401: the secret may have been rotated since it was read."""


def refusal(status: int, headers: Mapping[str, str], document: bytes | None) -> UpstreamError:
    """The error that a status other than 200 stands for.

    Args:
        headers: by lower-case name.
        document: the upstream's error document, as `error_document` gives it.
    """
    message = f"The upstream answered with status {status}."
    if status in (401, 403):
        return auth_failed(KeyRefusedError if status == 401 else UpstreamError)
    if status in _NOT_AT_THE_MOMENT or status >= 500:
        return _not_at_the_moment(status, message, retry_after_s(headers), document)
    if 400 <= status < 500:
        return UpstreamError(status, "upstream_refused", message, type="invalid_request_error", body=document)
    return UpstreamError(502, "upstream_unexpected_status", message)


def _not_at_the_moment(
    status: int, message: str, wait_s: float | None, document: bytes | None
) -> RetryableError:
    # In whole seconds, the one form that every client reads; and never what the upstream wrote there.
    wait = {} if wait_s is None else {"retry-after": str(math.ceil(min(wait_s, MAX_RETRY_AFTER_S)))}
    if status == 429:
        error = RetryableError(
            429, "upstream_rate_limited", message, type="rate_limit_error", headers=wait, body=document
        )
    else:
        shown = 504 if status in (408, 504) else 502
        error = RetryableError(shown, "upstream_error", message, headers=wait)
    error.retry_after_s = wait_s
    return error


def error_document(body: bytes, redacted: Callable[[str], str]) -> bytes | None:
    """The upstream's own words, on one line; None for a body that is not a JSON object.

    An object without an `error`, as FastAPI and others send it, is put into OpenAI's shape: SDKs look for it.

    Args:
        redacted: takes the relay's key out of a text.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list) and len(document) == 1:  # as Gemini sends it
        document = document[0]
    if not isinstance(document, dict):
        return None
    if not document.get("error"):
        words = document.get("message") or document.get("detail") or document
        text = words if isinstance(words, str) else json.dumps(words)
        error = {"message": text, "type": "invalid_request_error", "param": None, "code": "upstream_refused"}
        document = {"error": error}
    try:
        return json.dumps(redacted_value(document, redacted), separators=(",", ":")).encode("ascii")
    except RecursionError:
        return None


def presentable(failed: AnswerFailed, redacted: Callable[[str], str]) -> AnswerFailed:
    """An error that the upstream reports within a 200, as caller and transcript may see it.

    Args:
        redacted: takes the relay's key out of a text.
    """
    is_about_the_key = failed.status in (401, 403) or {failed.code, failed.type} & _ABOUT_THE_KEY
    if is_about_the_key:
        error = auth_failed()
        return AnswerFailed(error.message, error.type, error.code, None, error.status)
    type_, code, param = (value and redacted(value) for value in (failed.type, failed.code, failed.param))
    return AnswerFailed(redacted(failed.message), type_, code, param, failed.status)


def reported(failed: AnswerFailed) -> UpstreamError:
    """The error that a presentable one stands for: with the status that it carries, or else its type's."""
    type_ = (failed.type or "").strip() or "upstream_error"
    code = (failed.code or "").strip() or type_
    status = failed.status or _STATUS_BY_TYPE.get(type_, 502)
    if status == 408 or status >= 500:
        status = 504 if status in (408, 504) else 502
    return UpstreamError(status, code, failed.message, type=type_, param=failed.param)


def reported_by_upstream() -> UpstreamError:
    """An error that the upstream has reported, without its words: for the log."""
    return UpstreamError(502, "upstream_error", "The upstream reported an error.")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the upstream asks to wait: OpenAI's milliseconds, or RFC 9110's seconds or date."""
    milliseconds, value = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    if _DIGITS.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if _DIGITS.fullmatch(value):
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


def closed_at_once() -> RetryableError:
    """The body broke off before its first byte."""
    return RetryableError(502, "upstream_interrupted", "The upstream closed before the first byte.")


def empty() -> RetryableError:
    """A body without a byte to show."""
    return RetryableError(502, "empty_stream", "The upstream's answer is empty.")


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
