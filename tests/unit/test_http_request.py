from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_request import HttpRequest, is_http_request
from relay_error import RequestError


def function_url_event(**changes: Any) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/chatCompletion",
        "rawQueryString": "message=h%C3%A9llo+you&empty=",
        "headers": {"accept": "text/event-stream"},
        "requestContext": {"http": {"method": "GET", "path": "/chatCompletion"}},
        "isBase64Encoded": False,
        **changes,
    }


def rest_api_event(**changes: Any) -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "path": "/chatCompletion",
        "queryStringParameters": {"message": "héllo you"},
        "headers": {"Accept": "text/event-stream"},
        "body": None,
        "isBase64Encoded": False,
        **changes,
    }


@pytest.mark.parametrize("event", [function_url_event(), rest_api_event()])
def test_a_function_url_and_a_rest_api_mean_the_same(event: dict[str, Any]) -> None:
    assert HttpRequest.from_event(event, 100) == HttpRequest(
        "GET", "/chatCompletion", {"message": "héllo you"}, {"accept": "text/event-stream"}, b""
    )


def test_a_custom_domains_base_path_is_no_part_of_the_path() -> None:
    event = rest_api_event(path="/relay/chatCompletion", pathParameters={"proxy": "chatCompletion"})
    assert HttpRequest.from_event(event, 100).path == "/chatCompletion"


@pytest.mark.parametrize("make", [function_url_event, rest_api_event])
def test_a_base64_body_is_decoded(make: Any) -> None:
    event = make(body=base64.b64encode(b"\xff{}").decode(), isBase64Encoded=True)
    assert HttpRequest.from_event(event, 100).body == b"\xff{}"


def test_a_body_that_is_not_base64_is_400() -> None:
    with pytest.raises(RequestError, match="base64") as raised:
        HttpRequest.from_event(function_url_event(body="{*}", isBase64Encoded=True), 100)
    assert raised.value.status == 400


def test_the_size_of_a_body_is_counted_in_bytes() -> None:
    assert HttpRequest.from_event(function_url_event(body="é" * 5), 10).body == "é".encode() * 5
    with pytest.raises(RequestError) as raised:
        HttpRequest.from_event(function_url_event(body="é" * 6), 10)
    assert raised.value.status == 413


@pytest.mark.parametrize(("raw", "path"), [("/health/", "/health"), ("/", "/"), ("//", "/"), ("", "/")])
def test_a_trailing_slash_changes_nothing(raw: str, path: str) -> None:
    assert HttpRequest.from_event(function_url_event(rawPath=raw), 100).path == path


@pytest.mark.parametrize(
    ("accept", "wished"),
    [
        ("text/event-stream", True),
        ("application/json, Text/Event-Stream;q=0.9", True),
        ("*/*", False),
        ("text/event-streams", False),
        ("", False),
    ],
)
def test_an_event_stream_is_sent_only_to_who_names_it(accept: str, wished: bool) -> None:
    request = HttpRequest.from_event(function_url_event(headers={"Accept": accept}), 100)
    assert request.accepts("text/event-stream") is wished


@pytest.mark.parametrize("event", [{}, {"version": "2.0"}, {"Records": []}])
def test_an_event_of_another_kind_is_400(event: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="function URL") as raised:
        HttpRequest.from_event(event, 100)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "event",
    [
        rest_api_event(requestContext={"elb": {"targetGroupArn": "arn"}}),
        rest_api_event(type="REQUEST", methodArn="arn"),
        function_url_event(type="REQUEST", routeArn="arn"),
    ],
)
def test_what_only_looks_like_a_request_is_none(event: dict[str, Any]) -> None:
    assert not is_http_request(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = (
    "version",
    "rawPath",
    "rawQueryString",
    "headers",
    "requestContext",
    "body",
    "isBase64Encoded",
    "path",
    "httpMethod",
    "queryStringParameters",
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.just("2.0")))
def test_no_event_raises_anything_but_a_request_error(event: dict[str, Any]) -> None:
    try:
        HttpRequest.from_event(event, 100)
    except RequestError as error:
        assert 400 <= error.status < 500
