from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from lambda_stream import LambdaContext, ResponseAbortedError, ResponseStream, streaming_handler

ran: list[str] = []


@streaming_handler
def handle(event: dict[str, Any], stream: ResponseStream, context: LambdaContext) -> None:
    """Answer as the event asks."""
    ran.clear()
    stream.after_response(lambda: ran.append("after"))
    if event.get("empty"):
        return
    stream.start(201, {"a": "b"}, ["c=d"])
    stream.write(event.get("data", b"hello"))
    if "abort" in event:
        stream.abort("Type", "message")
    if "raise" in event:
        raise ValueError("mid-answer")


CONTEXT = LambdaContext("r-1")


def test_under_the_stock_runtime_the_answer_is_one_object_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert handle({"version": "2.0"}, CONTEXT) == {
        "statusCode": 201,
        "headers": {"a": "b"},
        "cookies": ["c=d"],
        "body": "hello",
        "isBase64Encoded": False,
    }
    assert (ran, caplog.text) == (["after"], "")


def test_a_rest_api_gets_its_cookies_as_multi_value_headers() -> None:
    answer = handle({"httpMethod": "GET"}, CONTEXT)
    assert answer["multiValueHeaders"] == {"set-cookie": ["c=d"]}
    assert "cookies" not in answer


def test_a_load_balancer_with_multi_value_headers_gets_only_those() -> None:
    answer = handle({"httpMethod": "GET", "multiValueHeaders": {"accept": ["*/*"]}}, CONTEXT)
    assert answer["multiValueHeaders"] == {"a": ["b"], "set-cookie": ["c=d"]}
    assert "headers" not in answer


def test_a_rest_api_whose_event_has_both_kinds_of_headers_gets_plain_ones() -> None:
    event = {"httpMethod": "GET", "headers": None, "multiValueHeaders": None}
    assert handle(event, CONTEXT)["headers"] == {"a": "b"}


def test_a_body_that_is_not_utf8_is_in_base64() -> None:
    answer = handle({"data": b"\xff\x00"}, CONTEXT)
    assert (answer["body"], answer["isBase64Encoded"]) == ("/wA=", True)


def test_an_answer_that_was_never_started_is_an_empty_200() -> None:
    answer = handle({"empty": True}, CONTEXT)
    assert answer == {"statusCode": 200, "headers": {}, "cookies": [], "body": "", "isBase64Encoded": False}


def test_an_aborted_answer_is_raised_after_the_callbacks() -> None:
    with pytest.raises(ResponseAbortedError, match="Type: message"):
        handle({"abort": True}, CONTEXT)
    assert ran == ["after"]


def test_an_exception_is_raised_after_the_callbacks() -> None:
    with pytest.raises(ValueError, match="mid-answer"):
        handle({"raise": True}, CONTEXT)
    assert ran == ["after"]


def test_the_handler_says_which_events_are_streamed() -> None:
    assert handle.streams({"any": "event"})
    picky = partial(streaming_handler, streams=lambda event: event == "stream")(handle.handle)
    assert picky.streams("stream")
    assert not picky.streams(None)


def test_the_decorated_handler_keeps_name_and_docstring() -> None:
    assert (handle.__name__, handle.__doc__) == ("handle", "Answer as the event asks.")  # type: ignore[attr-defined]
