"""Turn an HTTP request into the event that a function URL hands to its function, payload format 2.0 (pure).

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

URL_ID = "local"


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """A request as received; header names and values are decoded as latin-1."""

    method: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    port: int
    request_id: str
    trace_id: str
    epoch_ms: int


@dataclass(frozen=True, slots=True)
class IamCaller:
    """The caller whose signature was verified, if the URL's AuthType is AWS_IAM."""

    access_key_id: str
    account_id: str
    user_id: str
    user_arn: str


class SignatureError(Exception):
    """The request is refused: a 403 with `error_type` as x-amzn-errortype and `document` as its JSON."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        # AWS capitalises the key if it checked no signature: another of its services answers then.
        self.document = {"Message" if error_type == "AccessDeniedException" else "message": message}


def function_url_event(request: UrlRequest, caller: IamCaller | None = None) -> dict[str, Any]:
    """The event. Fields that AWS leaves out when they would be empty are left out here too.

    For signed requests, the events of real URLs hold `x-amz-date` and `x-amz-security-token` but no
    `authorization`: the function does not see the signature itself.
    """
    headers = _joined((name.lower(), value) for name, value in request.headers)
    if caller:
        headers.pop("authorization", None)
    cookie_header = headers.pop("cookie", "")
    for hop_by_hop in ("connection", "transfer-encoding", "keep-alive", "te", "upgrade", "expect"):
        headers.pop(hop_by_hop, None)
    host = headers.get("host", f"127.0.0.1:{request.port}")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.raw_path,
        "rawQueryString": request.query,
        "headers": headers
        | {
            "x-amzn-trace-id": request.trace_id,
            "x-forwarded-for": request.source_ip,
            "x-forwarded-port": str(request.port),
            "x-forwarded-proto": "http",
        },
        "requestContext": {
            "accountId": caller.account_id if caller else "anonymous",
            "apiId": URL_ID,
            "domainName": host,
            "domainPrefix": URL_ID,
            "http": {
                "method": request.method,
                "path": request.raw_path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(request.epoch_ms / 1000)),
            "timeEpoch": request.epoch_ms,
        },
        "isBase64Encoded": False,
    }
    if caller:
        event["requestContext"]["authorizer"] = {"iam": _iam(caller)}
    if cookies := [cookie.strip() for cookie in cookie_header.replace(",", ";").split(";") if cookie.strip()]:
        event["cookies"] = cookies
    if parameters := _joined(parse_qsl(request.query, keep_blank_values=True)):
        event["queryStringParameters"] = parameters
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    return event


def _iam(caller: IamCaller) -> dict[str, str | None]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account_id,
        "callerId": caller.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.user_arn,
        "userId": caller.user_id,
    }


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a dict; the values of a repeated name are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as text if its media type is textual and it is UTF-8; else in base64."""
    if _is_text(content_type.partition(";")[0].strip().lower()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass  # binary, whatever its header says
    return base64.b64encode(body).decode(), True


def _is_text(media_type: str) -> bool:
    # Form posts (application/x-www-form-urlencoded) are base64 on AWS.
    return (
        media_type.startswith("text/")
        or media_type in ("application/json", "application/javascript", "application/xml")
        or media_type.endswith(("+json", "+xml"))
    )
