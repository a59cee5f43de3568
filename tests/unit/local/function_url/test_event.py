"""The event that the emulated function URL makes of a request, as AWS documents it."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.function_url.event import IamCaller, UrlRequest, function_url_event

BARE = UrlRequest(
    method="GET",
    raw_path="/a%20b",
    query="",
    headers=(("Host", "127.0.0.1:3000"), ("User-Agent", "curl/8"), ("Accept", "a"), ("accept", "b")),
    body=b"",
    source_ip="127.0.0.1",
    port=3000,
    request_id="id-1",
    trace_id="Root=1",
    epoch_ms=1583348638390,
)


def event_of(**changes: Any) -> dict[str, Any]:
    return function_url_event(dataclasses.replace(BARE, **changes))


def test_the_event_is_that_of_payload_format_2() -> None:
    assert event_of() == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/a%20b",
        "rawQueryString": "",
        "headers": {
            "host": "127.0.0.1:3000",
            "user-agent": "curl/8",
            "accept": "a,b",
            "x-amzn-trace-id": "Root=1",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": "3000",
            "x-forwarded-proto": "http",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": "127.0.0.1:3000",
            "domainPrefix": "local",
            "http": {
                "method": "GET",
                "path": "/a%20b",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "curl/8",
            },
            "requestId": "id-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
    }


def test_the_event_of_a_signed_request_has_the_caller_but_not_the_signature() -> None:
    headers = (("Authorization", "AWS4-HMAC-SHA256 …"), ("X-Amz-Date", "20261125T000000Z"))
    request = dataclasses.replace(BARE, headers=headers)
    arn = "arn:aws:iam::111122223333:user/example-user"
    event = function_url_event(request, IamCaller("AKIA1", "111122223333", "AIDA1", arn))
    assert event["requestContext"]["accountId"] == "111122223333"
    assert event["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "AKIA1",
            "accountId": "111122223333",
            "callerId": "AIDA1",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": arn,
            "userId": "AIDA1",
        }
    }
    assert event["headers"]["x-amz-date"] == "20261125T000000Z"
    assert "authorization" not in event["headers"]
    assert function_url_event(request)["headers"]["authorization"] == "AWS4-HMAC-SHA256 …"


def test_query_parameters_are_decoded_and_duplicates_joined_by_commas() -> None:
    event = event_of(query="a=1&a=2&b=x%20y&c=")
    assert event["rawQueryString"] == "a=1&a=2&b=x%20y&c="
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y", "c": ""}


def test_cookies_are_listed_and_removed_from_the_headers() -> None:
    event = event_of(headers=(("Cookie", "a=1; b=2"), ("cookie", "c=3")))
    assert event["cookies"] == ["a=1", "b=2", "c=3"]
    assert "cookie" not in event["headers"]


def test_headers_of_the_connection_are_left_out() -> None:
    event = event_of(headers=(("Connection", "close"), ("Transfer-Encoding", "chunked"), ("X-A", "b")))
    assert not {"connection", "transfer-encoding"} & set(event["headers"])
    assert event["headers"]["x-a"] == "b"


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/plain", True),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("application/xml", True),
        ("application/x-www-form-urlencoded", False),
        ("application/octet-stream", False),
        ("image/png", False),
        ("", False),
    ],
)
def test_bodies_of_text_types_are_text_and_all_others_base64(content_type: str, is_text: bool) -> None:
    event = event_of(body="ü".encode(), headers=(("content-type", content_type),))
    assert (event["body"], event["isBase64Encoded"]) == (("ü", False) if is_text else ("w7w=", True))


@given(st.binary(min_size=1), st.sampled_from(["application/json", "image/png", ""]))
def test_no_byte_of_a_body_is_lost_whatever_its_type(body: bytes, content_type: str) -> None:
    event = event_of(body=body, headers=(("content-type", content_type),))
    decoded = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
    assert decoded == body
