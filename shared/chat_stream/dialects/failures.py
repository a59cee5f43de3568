"""Failures that an upstream reports in the body of an answer: how to recognize and read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chat_stream.events import AnswerFailed
from chat_stream.json_values import list_in, object_in, text_in

_NO_MESSAGE = "The upstream reported an error without a message."
_MAX_LAYERS = 8

# Members with a message about the failure, the best first. `error` itself may be the message.
_MESSAGE_KEYS = (
    "message", "msg", "Message", "error_message", "errorMessage", "error_msg", "errorMsg", "errmsg", "errMsg",
    "status_msg", "error_description", "faultstring", "details", "detail", "description", "reason", "title",
    "errors", "error",
)  # fmt: skip
_CODE_KEYS = ("code", "error_code", "errorCode", "errcode", "errCode", "status_code", "__type")
_STATUS_KEYS = (
    "status", "status_code", "statusCode", "http_status", "http_code", "httpStatus", "code", "error",
)  # fmt: skip
# Members that may hold a nested object about the same failure.
_NESTED_KEYS = ("error", "base_resp", "fault", "detail", "errors")
# Members that occur only in reports of failures.
_FAILURE_KEYS = (
    "detail", "errors", "fault", "error_code", "error_message", "error_msg", "errorCode", "errorMessage",
    "errorMsg", "errcode", "errmsg", "errCode", "errMsg", "exception", "__type",
)  # fmt: skip
_FAILURE_NAMES = frozenset(("error", "exception", "failure", "failed", "fail", "fatal"))
# Members that report a state, and the values that they have if nothing has failed.
_STATE_KEYS = ("status", "state", "level", "severity", "stage", "phase", "event", "code", "result")
_SUCCESS_WORDS = frozenset((
    "", "complete", "completed", "connected", "connecting", "continue", "debug", "done", "false",
    "finished", "generating", "heartbeat", "info", "init", "initializing", "inprogress", "keepalive",
    "loading", "noerror", "none", "normal", "notice", "null", "ok", "okay", "pending", "ping", "pong",
    "processing", "progress", "queued", "ready", "retrying", "running", "scheduled", "searching",
    "start", "started", "starting", "stop", "streaming", "succeed", "succeeded", "success",
    "successful", "thinking", "waiting", "warn", "warning", "working",
))  # fmt: skip
# Values of `object` that wrap answers and do not show whether the event is a failure.
_ENVELOPE_OBJECTS = ("chat.completion", "chat.completion.chunk", "text_completion", "response", "list")

# The HTTP status for well-known error codes and types (OpenAI's, Anthropic's, Google's, Amazon's, Alibaba's),
# which are written here without separators and without "error" or "exception" at the end.
_NAMES_BY_STATUS = {
    400: "badrequest contentfilter contentpolicyviolation contextlengthexceeded contextwindowexceeded "
    "datainspectionfailed failedprecondition imageparse invalidargument invalidbase64image invalidimage "
    "invalidimageformat invalidimageurl invalidinput invalidjson invalidparameter invalidprompt "
    "invalidrequest invalidtype invalidvalue maxtokensexceeded missingrequiredparameter outofrange "
    "prompttoolong responsibleaipolicyviolation stringabovemaxlength integerabovemaxvalue tokenlimitexceeded "
    "unknownparameter unsupportedmodel unsupportedparameter unsupportedvalue validation",
    401: "accountdeactivated authentication expiredtoken incorrectapikey invalidapikey invalidauth "
    "invalidauthentication invalidtoken missingapikey unauthenticated unauthorized unrecognizedclient",
    402: "billing insufficientbalance insufficientcredits paymentrequired",
    403: "accessdenied forbidden permission permissiondenied unsupportedcountryregionterritory",
    404: "deploymentnotfound modelnotexist modelnotfound notfound resourcenotfound unknownmodel",
    409: "aborted alreadyexists conflict",
    413: "payloadtoolarge requesttoolarge",
    422: "unprocessableentity",
    429: "arrearage billinghardlimitreached billingnotactive insufficientquota limitrequests quotaexceeded "
    "ratelimit ratelimited ratelimitexceeded ratelimitreached requests resourceexhausted slowdown throttled "
    "throttling tokens toomanyrequests usagelimitreached",
    500: "api dataloss internal internalfailure internalserver server unknown upstream",
    501: "notimplemented unimplemented",
    503: "capacityexceeded engineoverloaded modeloverloaded modelnotready overloaded serveroverloaded "
    "serviceunavailable unavailable",
    504: "deadlineexceeded gatewaytimeout modeltimeout requesttimeout timeout",
}
_STATUS_BY_NAME = {name: status for status, names in _NAMES_BY_STATUS.items() for name in names.split()}
# MiniMax's `base_resp`: timeout, rate limits, key, balance, refused input or output, bad parameters.
_STATUS_BY_BASE_RESP = {
    1001: 504, 1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 429, 2013: 400, 2049: 401,
}  # fmt: skip
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_HTTP_ERROR = re.compile("[45][0-9]{2}")
_ERROR_CLASS = re.compile(r"(?i)(error|exception)$")
_NUMBER = re.compile("-?[0-9]{1,20}")


def status_named(name: str | None) -> int | None:
    """The HTTP status (400..599) for an error's code or type; None for an unknown one.

    A code of several parts (`Throttling.RateQuota`) is looked up by its first part.
    """
    name = (name or "").strip()
    if _HTTP_ERROR.fullmatch(name):
        return int(name)
    for part in (name, name.rpartition("#")[2], name.partition(".")[0]):
        normalized = _normalized(part)
        status = _STATUS_BY_NAME.get(normalized.removesuffix("error").removesuffix("exception"))
        if status is not None:
            return status
    return None


def names_failure(name: str) -> bool:
    """Whether an event's name alone marks it as a failure [fms-guardrails-orchestrator#436]."""
    return name.strip().lower() in _FAILURE_NAMES


def failure_of(document: Mapping[str, Any], name: str = "message") -> AnswerFailed | None:
    """The failure that a JSON object reports, or None if it reports none.

    An object with part of an answer (`choices`, `output`) reports a failure only by a meaningful `error`, or
    by MiniMax's `base_resp` with a `status_code` other than 0 [cherry-studio#11287]. An object without part
    of an answer reports a failure by these as well:

    - a `type` or `object` such as `error`, or that of a well-known error;
    - no `type`, and `success: false` or a `status` that means failure;
    - no `type`, and a member that only failures have (`detail`, `errors`, `error_code`);
    - no `type`, and a message together with a code that does not mean success (`{code, message}`).

    In the last two cases nothing else may be in the object: no member may report work in progress
    (`status: running`), and none may hold an object or a list that is not about the failure. A message alone
    (`{"message": …}`) is no failure, and neither is an event of an unknown type, or with a `name` such as
    `ping`, without an `error`.
    """
    is_bare = not (document.get("choices") or document.get("output"))
    if _is_reported_by_member(document, is_bare=is_bare) or (is_bare and _is_failure(document, name)):
        return parse_failure(document)
    return None


def _is_reported_by_member(document: Mapping[str, Any], *, is_bare: bool) -> bool:
    error, base = document.get("error"), object_in(document.get("base_resp"))
    if error and (
        _is_meaningful(error) or (is_bare and isinstance(error, dict) and not _reports_success(error))
    ):
        return True
    return not _is_success(base.get("status_code", 0))


def _is_meaningful(error: Any) -> bool:
    if isinstance(error, str):
        return _normalized(error) not in _SUCCESS_WORDS - {""} and error != "0"
    if isinstance(error, dict):
        return any(error.values()) and not _reports_success(error)
    return bool(error)


def _reports_success(error: Mapping[str, Any]) -> bool:
    """Whether an error object reports success: `{"code": 0, "message": "success"}`."""
    message = text_in(error.get("message")) or text_in(error.get("msg"))
    return (
        message is not None
        and message.isascii()
        and _normalized(message) in _SUCCESS_WORDS
        and _is_success(error.get("code", 0))
    )


def _is_failure(document: Mapping[str, Any], name: str) -> bool:
    kinds = [kind for key in ("type", "object", "event") if (kind := text_in(document.get(key)))]
    if any(map(names_failure, kinds)):
        return True
    kind = text_in(document.get("type")) or text_in(document.get("object")) or ""
    has_message = any(document.get(key) for key in _MESSAGE_KEYS)
    if _ERROR_CLASS.search(kind) and has_message:
        # Not every error type ends an answer: `tool_error`, for instance, may be an ordinary event.
        return status_named(kind) is not None or not document.keys().isdisjoint(("code", "param", "status"))
    if kind and kind not in _ENVELOPE_OBJECTS and ":" not in kind:  # a URI is the type of an RFC 9457 problem
        return False
    if document.get("success") is False or document.get("ok") is False:
        return True
    states = [name, *(value for key in _STATE_KEYS if (value := text_in(document.get(key))))]
    status = document.get("status")
    if isinstance(status, str) and (names_failure(status) or status_named(status) is not None):
        return True
    if any(_normalized(state) in _SUCCESS_WORDS and state.isascii() for state in states):
        return False
    if any(
        value and isinstance(value, (dict, list))
        for key, value in document.items()
        if key not in _ALLOWED_CONTAINERS
    ):
        return False
    if any(document.get(key) for key in _FAILURE_KEYS):
        codes = [document[key] for key in _CODE_KEYS if document.get(key) is not None]
        return not codes or not all(map(_is_success, codes))
    codes = [document[key] for key in (*_CODE_KEYS, "status", "statusCode") if document.get(key) is not None]
    return has_message and any(not _is_success(code) for code in codes)


_ALLOWED_CONTAINERS = frozenset(
    (*_MESSAGE_KEYS, *_NESTED_KEYS, *_FAILURE_KEYS, "usage", "metadata", "meta", "choices", "output")
)


def _is_success(code: Any) -> bool:
    """Whether a code means success: 0, an HTTP status that is no error, or a word such as "OK"."""
    if isinstance(code, str):
        if not _NUMBER.fullmatch(code.strip()):
            return code.isascii() and _normalized(code) in _SUCCESS_WORDS
        code = int(code)
    return type(code) is not int or code == 0 or 100 <= code <= 399


def parse_failure(error: Any) -> AnswerFailed:
    """Read a failure in any form seen: nested or flat object, list, plain string [litellm#40578].

    The innermost object counts first. The objects around it supply what it lacks, such as a status beside the
    error.
    """
    layers = _layers(error)
    if not layers:
        return AnswerFailed(text_in(error) or _NO_MESSAGE, None, None, None, None)
    messages = (
        message for layer in layers for key in _MESSAGE_KEYS if (message := _message_at(key, layer.get(key)))
    )
    message = next(messages, _NO_MESSAGE)
    code = next(_codes_in(layers[0]), None)
    if code is None:  # a code in an outer object may be the event's own: use it only if it is well known
        code = next((c for layer in layers[1:] for c in _codes_in(layer) if status_named(c)), None)
    short = text_in(layers[0].get("error"))
    is_word = short is not None and short.isprintable() and " " not in short
    if code is None and short and (is_word or short != message) and status_named(short) is not None:
        code = short  # OAuth's form, also used for names of exceptions, sometimes without a message
    type_ = text_in(layers[0].get("type"))
    return AnswerFailed(
        message=message,
        type=None if type_ == "error" else type_,  # "error" is the event's type, not the error's
        code=code,
        param=text_in(layers[0].get("param")),
        status=next((status for layer in layers if (status := _status_in(layer))), None),
    )


def _layers(error: Any) -> list[Mapping[str, Any]]:
    """The nested objects about one failure, the innermost first."""
    found: list[Mapping[str, Any]] = []
    while len(found) < _MAX_LAYERS:
        if isinstance(error, list) and error and isinstance(error[0], dict):  # as Gemini sends it
            error = error[0]
        if not isinstance(error, dict):
            break
        found.append(error)
        inner = (error.get(key) for key in _NESTED_KEYS)
        error = next((value for value in inner if _is_layer(value)), None)
    return found[::-1]


def _is_layer(value: Any) -> bool:
    layer = list_in(value)[:1] or [value]
    return isinstance(layer[0], dict) and bool(layer[0])


def message_in(document: Mapping[str, Any]) -> str | None:
    """The message in a JSON object that may be about a failure; None without one."""
    return next((message for key in _MESSAGE_KEYS if (message := text_in(document.get(key)))), None)


def _message_at(key: str, value: Any) -> str | None:
    if isinstance(value, (dict, list)) and value and key != "error":
        try:
            return json.dumps(value, ensure_ascii=False)
        except RecursionError:  # parsing allows deeper nesting than writing
            return None
    return text_in(value)


def _codes_in(layer: Mapping[str, Any]) -> Iterator[str]:
    for value in map(layer.get, _CODE_KEYS):
        if code := (str(value) if type(value) is int else text_in(value)):
            yield code


def _status_in(layer: Mapping[str, Any]) -> int | None:
    for key in _STATUS_KEYS:
        value = layer.get(key)
        if type(value) in (int, str) and _HTTP_ERROR.fullmatch(text := str(value)[:9]):
            return int(text)
    base_code = layer.get("status_code")
    if "status_msg" in layer and type(base_code) is int:
        return _STATUS_BY_BASE_RESP.get(base_code)
    return status_named(text_in(layer.get("status")))


def _normalized(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())
