"""Events of any JSON shape give a request or an error below 500, and nothing else."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from errors import RequestError
from request.http_request import HttpRequest

MAX_BODY_BYTES = 64

# Including surrogates and NULs, which JSON can contain.
texts = st.text(st.characters() | st.sampled_from("\0\ud800\udfff/%&=;+?"), max_size=12)
odd_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def deep(levels: int) -> Any:
    """An object that is nested this deeply."""
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


def sometimes(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A valid value of a field, or any other value."""
    return right | odd_values


maps = sometimes(st.dictionaries(texts, sometimes(texts), max_size=4))
fields: dict[str, st.SearchStrategy[Any]] = {
    "headers": maps,
    "body": sometimes(st.binary(max_size=80).map(lambda data: base64.b64encode(data).decode())),
    "isBase64Encoded": sometimes(st.booleans()),
}
function_url_events = st.fixed_dictionaries(
    {"version": st.just("2.0")},
    optional={
        **fields,
        "rawPath": sometimes(texts),
        "rawQueryString": sometimes(texts),
        "requestContext": sometimes(
            st.fixed_dictionaries(
                {},
                optional={
                    "http": sometimes(st.fixed_dictionaries({}, optional={"method": sometimes(texts)})),
                    "authorizer": sometimes(st.fixed_dictionaries({}, optional={"iam": maps})),
                },
            )
        ),
    },
)
rest_api_events = st.fixed_dictionaries(
    {},
    optional={
        **fields,
        "version": odd_values,
        "httpMethod": sometimes(texts),
        "path": sometimes(texts),
        "pathParameters": sometimes(st.fixed_dictionaries({}, optional={"proxy": odd_values})),
        "queryStringParameters": maps,
        "requestContext": sometimes(st.fixed_dictionaries({}, optional={"identity": maps})),
    },
)


@given(function_url_events | rest_api_events | odd_values)
@example(None)
@example([])
@example("2.0")
@example({"version": "2.0", "requestContext": deep(200)})
@example({"httpMethod": "GET", "path": "/", "headers": {"a": deep(200)}})
def test_any_json_value_is_a_request_or_an_error_below_500(event: Any) -> None:
    try:
        request = HttpRequest.from_event(event, MAX_BODY_BYTES)
    except RequestError as error:
        assert error.status in (400, 413)
        assert json.loads(error.document())["error"]["message"] == error.message
        return
    assert request.path.startswith("/")
    assert "//" not in request.path
    assert len(request.body) <= MAX_BODY_BYTES
    assert isinstance(request.principal, str)
    for holder in (request.query, request.headers):
        assert all(isinstance(text, str) for pair in holder.items() for text in pair)
    assert request.headers.keys() == {name.lower() for name in request.headers}


@given(st.binary(max_size=MAX_BODY_BYTES))
def test_every_base64_body_is_decoded_to_the_original(data: bytes) -> None:
    event = {
        "httpMethod": "POST",
        "path": "/",
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }
    assert HttpRequest.from_event(event, MAX_BODY_BYTES).body == data


@given(texts)
def test_text_that_is_not_base64_is_a_400_and_is_not_quoted(text: str) -> None:
    event = {"httpMethod": "POST", "path": "/", "body": f"*{text}", "isBase64Encoded": True}
    try:
        HttpRequest.from_event(event, MAX_BODY_BYTES)
    except RequestError as error:
        assert (error.status, error.code) == (400, "invalid_body")
        assert error.message == "The request body is not valid base64."
    else:
        raise AssertionError("it was taken")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_size_of_a_body_is_measured_as_utf_8(text: str) -> None:
    event = {"httpMethod": "POST", "path": "/", "body": text}
    size = len(text.encode())
    if size <= MAX_BODY_BYTES:
        assert len(HttpRequest.from_event(event, MAX_BODY_BYTES).body) == size
    else:
        try:
            HttpRequest.from_event(event, MAX_BODY_BYTES)
        except RequestError as error:
            assert error.status == 413
        else:
            raise AssertionError("it was taken")
