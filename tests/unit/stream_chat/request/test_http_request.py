from __future__ import annotations

import base64
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import RequestError
from request.http_request import HttpRequest, is_http_request


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
def test_a_function_url_and_a_rest_api_give_the_same_request(event: dict[str, Any]) -> None:
    assert HttpRequest.from_event(event, 100) == HttpRequest(
        "GET", "/chatCompletion", {"message": "héllo you"}, {"accept": "text/event-stream"}, b""
    )


def test_the_path_excludes_a_custom_domains_base_path() -> None:
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


def sent(body: bytes, encoding: str, make: Any = function_url_event) -> dict[str, Any]:
    encoded = base64.b64encode(body).decode()
    headers = {"Content-Encoding": encoding}
    return dict(make(body=encoded, isBase64Encoded=True, headers=headers))


def refused(event: dict[str, Any], max_body_bytes: int = 1000) -> RequestError:
    with pytest.raises(RequestError) as raised:
        HttpRequest.from_event(event, max_body_bytes)
    return raised.value


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


COMPRESSIONS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    (" identity, gzip ", gzip.compress),
]


@pytest.mark.parametrize(("encoding", "compressed"), COMPRESSIONS)
@pytest.mark.parametrize("make", [function_url_event, rest_api_event])
def test_a_compressed_body_is_decompressed(
    encoding: str, compressed: Callable[[bytes], bytes], make: Any
) -> None:
    for body in (b"", b'{"a":1}', b"x" * 1000):
        assert HttpRequest.from_event(sent(compressed(body), encoding, make), 1000).body == body


def test_the_size_limit_applies_to_the_decompressed_body() -> None:
    error = refused(sent(gzip.compress(b"x" * 1001), "gzip"))
    assert (error.status, error.code) == (413, "request_too_large")


def test_a_decompression_bomb_is_refused_before_it_fills_the_memory() -> None:
    event = sent(gzip.compress(bytes(64 * 1024 * 1024)), "gzip")
    tracemalloc.start()
    try:
        assert refused(event, 100_000).status == 413
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_truncated_or_corrupt_compressed_body_is_400() -> None:
    whole = gzip.compress(b'{"a":1}' * 20)
    for body in (whole[:-1], whole[:1], b"\xff\xff garbage", whole + b"garbage"):
        error = refused(sent(body, "gzip"))
        assert (error.status, error.code) == (400, "invalid_body")
        assert "Content-Encoding" in error.message


def test_text_that_claims_to_be_compressed_is_400() -> None:
    event = function_url_event(body='{"a":1}', headers={"content-encoding": "gzip"})
    assert "Content-Encoding" in refused(event).message


@pytest.mark.parametrize("encoded", [True, False])
def test_a_body_that_api_gateway_has_decompressed_is_left_alone(encoded: bool) -> None:
    body = base64.b64encode(b'{"a":1}').decode() if encoded else '{"a":1}'
    event = rest_api_event(body=body, isBase64Encoded=encoded, headers={"Content-Encoding": "gzip"})
    assert HttpRequest.from_event(event, 100).body == b'{"a":1}'


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "deflate, br", "utf-8"])
def test_an_unsupported_encoding_is_415_and_the_error_lists_the_supported_ones(encoding: str) -> None:
    error = refused(sent(b"\x28\xb5\x2f\xfd" + bytes(9), encoding))
    assert (error.status, error.code) == (415, "unsupported_content_encoding")
    assert encoding in error.message
    assert "gzip" in error.message
    assert error.headers == {"accept-encoding": "gzip, deflate"}  # RFC 9110, section 12.5.3


def test_an_encoding_that_is_not_a_plain_name_is_not_quoted() -> None:
    error = refused(sent(b"x", "sk-secret <b>" * 50))
    assert error.status == 415
    assert "secret" not in error.message


@pytest.mark.parametrize("encoding", ["identity", "", " Identity , "])
def test_identity_means_no_encoding(encoding: str) -> None:
    assert HttpRequest.from_event(sent(b"{}", encoding), 100).body == b"{}"


def test_an_encoding_without_a_body_is_not_an_error() -> None:
    assert HttpRequest.from_event(function_url_event(headers={"content-encoding": "zstd"}), 100).body == b""


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
def test_an_event_stream_is_accepted_only_if_its_media_type_is_named(accept: str, wished: bool) -> None:
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
def test_an_event_that_only_resembles_a_request_is_not_one(event: dict[str, Any]) -> None:
    assert not is_http_request(event)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = [
    "version", "rawPath", "rawQueryString", "headers", "requestContext", "body", "isBase64Encoded", "path",
    "httpMethod", "queryStringParameters",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON | st.just("2.0")))
def test_no_event_raises_anything_but_a_request_error(event: dict[str, Any]) -> None:
    try:
        HttpRequest.from_event(event, 100)
    except RequestError as error:
        assert 400 <= error.status < 500


def test_a_request_with_the_empty_fields_of_other_events_is_a_request() -> None:
    # As cargo-lambda 1.9 sends them: every field of its type of event, most of them null.
    event = function_url_event(type=None, methodArn=None, routeArn=None, resource=None)
    assert is_http_request(event)
    assert HttpRequest.from_event(event, 100).path == "/chatCompletion"
