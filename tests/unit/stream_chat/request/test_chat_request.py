from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, responses_dialect
from errors import RequestError
from request.chat_request import (
    ChatRequest,
    parse_completion,
    parse_conversation,
    parse_question,
    parse_response,
    parse_ui_conversation,
    refuse_reconnect,
)
from request.http_request import HttpRequest
from settings import Settings

Parse = Callable[[HttpRequest, Settings], ChatRequest]

MESSAGES = [{"role": "user", "content": "hi"}]
UI_MESSAGES = [
    {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "hi"}]},
    {"id": "a1", "role": "assistant", "parts": [{"type": "text", "text": "ho"}]},
]


def settings(**values: Any) -> Settings:
    return Settings(**{"default_model": "default", **values})


def post(body: Any, path: str = "/v1/chat/completions", **headers: str) -> HttpRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpRequest("POST", path, {}, headers, data)


def get(**query: str) -> HttpRequest:
    return HttpRequest("GET", "/chatCompletion", query, {}, b"")


def upstream_body(chat: ChatRequest) -> Any:
    return json.loads(chat.upstream_body)


def test_unknown_fields_pass_through_untouched() -> None:
    odd = {"x_vendor": {"deep": [1, 2.5, None, "é", "\ud83d"]}, "seed": 2**70, "temperature": 1.0}
    chat = parse_completion(post({"model": "m", "messages": MESSAGES, "stream": False, **odd}), settings())
    assert upstream_body(chat) == {"model": "m", "messages": MESSAGES, "stream": False, **odd}
    assert chat.upstream_body.isascii()


def test_a_request_without_streaming_is_sent_without_stream_options() -> None:
    chat = parse_completion(post({"model": "m", "messages": MESSAGES}), settings())
    assert chat.answer_format == "json"
    assert "stream_options" not in upstream_body(chat)


def test_include_usage_is_added_to_the_callers_own_stream_options() -> None:
    body = {"messages": MESSAGES, "stream": True, "stream_options": {"include_obfuscation": False}}
    chat = parse_completion(post(body), settings())
    assert upstream_body(chat)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert chat.usage_wanted is False


def test_a_caller_who_asks_for_usage_gets_it() -> None:
    body = {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    assert parse_completion(post(body), settings()).usage_wanted is True


def test_include_usage_is_not_added_if_the_setting_is_false() -> None:
    chat = parse_completion(post({"messages": MESSAGES, "stream": True}), settings(include_usage=False))
    assert "stream_options" not in upstream_body(chat)
    assert chat.usage_wanted, "an unrequested usage chunk of the upstream is passed on"


def test_a_question_in_the_url_becomes_a_streamed_conversation() -> None:
    chat = parse_question(get(message="why?", model="m"), settings())
    assert upstream_body(chat)["messages"] == [{"role": "user", "content": "why?"}]
    assert upstream_body(chat)["model"] == "m"
    assert upstream_body(chat)["stream"] is True
    assert chat.answer_format == "text"


def test_a_question_without_a_model_gets_the_default_one() -> None:
    assert upstream_body(parse_question(get(message="why?"), settings()))["model"] == "default"


@pytest.mark.parametrize("query", [{}, {"message": ""}, {"message": "  "}])
def test_a_question_without_a_message_is_400_and_named(query: dict[str, str]) -> None:
    with pytest.raises(RequestError) as raised:
        parse_question(get(**query), settings())
    assert (raised.value.status, raised.value.param) == (400, "message")


def test_the_accept_header_decides_between_text_and_events() -> None:
    body = {"messages": MESSAGES, "stream": False}
    assert parse_conversation(post(body, "/chatCompletion"), settings()).answer_format == "text"
    asked = post(body, "/chatCompletion", accept="text/event-stream")
    assert parse_conversation(asked, settings()).answer_format == "event-source"


@pytest.mark.parametrize("model", [None, "", "m"])
def test_a_posted_message_is_like_the_question_of_a_get(model: str | None) -> None:
    query = {"message": "why?"} if model is None else {"message": "why?", "model": model}
    asked = parse_conversation(post(query, "/chatCompletion"), settings())
    assert asked == parse_question(get(**query), settings())


def test_other_fields_of_a_posted_message_are_sent_upstream() -> None:
    chat = parse_conversation(post({"message": "why?", "temperature": 0.5}, "/chatCompletion"), settings())
    assert upstream_body(chat)["temperature"] == 0.5
    assert "message" not in upstream_body(chat)


@pytest.mark.parametrize("message", ["", "  ", None])
def test_an_empty_posted_message_is_the_same_error_as_in_a_get(message: str | None) -> None:
    with pytest.raises(RequestError) as got:
        parse_question(get(message=" "), settings())
    with pytest.raises(RequestError) as posted:
        parse_conversation(post({"message": message}, "/chatCompletion"), settings())
    assert posted.value.document() == got.value.document()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"message": "why?", "messages": MESSAGES}, "messages"),
        ({"message": "why?", "messages": []}, "messages"),
        ({"message": ["why?"]}, "messages"),
        ({"message": 5}, "string"),
    ],
)
def test_an_invalid_posted_message_is_400_and_names_the_expected_form(
    body: dict[str, Any], names: str
) -> None:
    with pytest.raises(RequestError, match=names) as raised:
        parse_conversation(post(body, "/chatCompletion"), settings())
    assert (raised.value.status, raised.value.param) == (400, "message")


def test_a_null_message_counts_as_absent() -> None:
    chat = parse_conversation(post({"message": None, "messages": MESSAGES}, "/chatCompletion"), settings())
    assert upstream_body(chat)["messages"] == MESSAGES
    assert "message" not in upstream_body(chat)


@pytest.mark.parametrize("refused", [{"model": "other"}, {"fallbacks": ["other"]}, {"n": 2.5}])
def test_the_limits_of_a_conversation_apply_to_a_posted_message(refused: dict[str, Any]) -> None:
    body = {"model": "allowed", "message": "why?", **refused}
    with pytest.raises(RequestError):
        parse_conversation(post(body, "/chatCompletion"), settings(allowed_models=("allowed",)))


def test_the_transcript_records_what_the_caller_asked_for() -> None:
    body = {"messages": MESSAGES, "stream": True, "temperature": 0.5}
    assert parse_completion(post(body), settings()).recorded == {
        "model": "default",
        "messages": MESSAGES,
        "parameters": {"stream": True, "temperature": 0.5},
    }


def test_n_choices_are_expected_if_n_are_requested() -> None:
    assert parse_completion(post({"messages": MESSAGES, "n": 3}), settings()).expected_choices == 3


BAD_FIELDS: list[tuple[Parse, dict[str, Any], str]] = [
    (parse_completion, {"messages": []}, "messages"),
    *((parse_completion, {"messages": value}, "messages") for value in (None, "hi")),
    (parse_completion, {"messages": [*MESSAGES, "hi"]}, "messages[1]"),
    (parse_completion, {"messages": [{"content": "hi"}]}, "messages[0]"),
    *((parse_completion, {"model": value}, "model") for value in (5, "", "forbidden")),
    (parse_completion, {"stream": "yes"}, "stream"),
    (parse_completion, {"stream_options": []}, "stream_options"),
    *((parse_completion, {"n": value}, "n") for value in (0, True, "2")),
    (parse_response, {"input": []}, "input"),
    *((parse_response, {"input": value}, "input") for value in (None, "", 5)),
    (parse_response, {"input": [{}, "hi"]}, "input[1]"),
    (parse_response, {"model": "forbidden"}, "model"),
    (parse_response, {"stream": 1}, "stream"),
    (parse_response, {"background": True}, "background"),
    (parse_ui_conversation, {"messages": []}, "messages"),
    (parse_ui_conversation, {"messages": [{"role": "user", "content": "hi"}]}, "messages[0]"),
    (parse_ui_conversation, {"model": "forbidden"}, "model"),
    (parse_ui_conversation, {"n": 0}, "n"),
]


@pytest.mark.parametrize(("parse", "change", "param"), BAD_FIELDS)
def test_a_bad_field_is_400_and_named(parse: Parse, change: dict[str, Any], param: str) -> None:
    good: dict[Parse, dict[str, Any]] = {
        parse_completion: {"messages": MESSAGES},
        parse_response: {"input": "hi"},
        parse_ui_conversation: {"messages": UI_MESSAGES},
    }
    with pytest.raises(RequestError) as raised:
        parse(post({"model": "allowed", **good[parse], **change}), settings(allowed_models=("allowed",)))
    assert (raised.value.status, raised.value.param) == (400, param)
    assert raised.value.message.count(f"`{param}") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"messages": NaN}',
        b"[" * 100_000,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_not_a_json_object_is_400(body: bytes) -> None:
    with pytest.raises(RequestError, match="body") as raised:
        parse_completion(post(body), settings())
    assert raised.value.status == 400


def test_an_error_never_quotes_the_body() -> None:
    with pytest.raises(RequestError) as raised:
        parse_completion(post(b'{"messages": "my secret plan'), settings())
    assert "secret" not in raised.value.document().decode()


# -- responses -----------------------------------------------------------------------------------------------


def test_a_response_request_is_sent_as_the_caller_wrote_it() -> None:
    body = {"model": "m", "input": "hi", "stream": True, "instructions": "be brief", "x_vendor": [1]}
    chat = parse_response(post(body, "/v1/responses"), settings())
    assert upstream_body(chat) == body
    assert (chat.dialect, chat.answer_format, chat.expected_choices) == (
        responses_dialect(),
        "responses-sse",
        1,
    )


def test_the_transcript_of_a_response_records_its_input_as_messages() -> None:
    chat = parse_response(post({"input": "hi", "instructions": "be brief"}), settings())
    messages = [{"role": "user", "content": "hi"}]
    recorded = {"model": "default", "messages": messages, "parameters": {"instructions": "be brief"}}
    assert chat.recorded == recorded
    items = [
        {"role": "user", "content": "hi"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]
    assert parse_response(post({"input": items}), settings()).recorded["messages"] == items


def test_a_response_without_streaming_is_requested_without_it() -> None:
    chat = parse_response(post({"input": "hi"}), settings())
    assert chat.answer_format == "json"
    assert upstream_body(chat)["stream"] is False


def test_a_stored_prompt_needs_neither_input_nor_model() -> None:
    body = {"prompt": {"id": "pmpt_1"}, "stream": True}
    chat = parse_response(post(body), settings())
    assert upstream_body(chat) == body
    assert chat.recorded["model"] is None


@pytest.mark.parametrize(
    "kept", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}]
)
@pytest.mark.parametrize("given", [{}, {"input": ""}, {"input": []}, {"input": None}])
def test_a_response_needs_no_input_if_openai_stores_it(kept: dict[str, Any], given: dict[str, Any]) -> None:
    chat = parse_response(post({"model": "m", **kept, **given}), settings())
    assert upstream_body(chat) == {"model": "m", **kept, **given, "stream": False}
    assert chat.recorded["messages"] == []


def test_a_null_prompt_counts_as_absent() -> None:
    assert (
        upstream_body(parse_response(post({"input": "hi", "prompt": None}), settings()))["model"] == "default"
    )


def test_a_stored_prompt_does_not_bypass_the_allowed_models() -> None:
    chat = parse_response(post({"prompt": {"id": "pmpt_1"}}), settings(allowed_models=("default",)))
    assert upstream_body(chat)["model"] == "default"


# -- UI messages ---------------------------------------------------------------------------------------------


def test_a_ui_conversation_is_streamed_and_keeps_the_applications_fields() -> None:
    body = {
        "id": "chat-1",
        "messages": UI_MESSAGES[:1],
        "trigger": "submit-message",
        "messageId": "u1",
        "model": "m",
        "temperature": 0.2,
    }
    chat = parse_ui_conversation(post(body, "/api/chat"), settings())
    assert upstream_body(chat) == {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.2,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert (chat.dialect, chat.answer_format, chat.continued_message_id) == (
        CHAT_COMPLETIONS,
        "ui-message",
        None,
    )


def test_the_transcript_of_a_ui_conversation_records_the_messages_that_the_model_got() -> None:
    body = {"id": "chat-1", "messages": UI_MESSAGES[:1], "trigger": "submit-message", "seed": 5}
    chat = parse_ui_conversation(post(body), settings())
    parameters = {"id": "chat-1", "trigger": "submit-message", "seed": 5}
    assert chat.recorded == {"model": "default", "messages": MESSAGES, "parameters": parameters}


def test_an_answer_that_continues_a_ui_message_has_its_id() -> None:
    chat = parse_ui_conversation(post({"messages": UI_MESSAGES}), settings())
    assert chat.continued_message_id == "a1"


def test_an_event_source_that_sends_an_event_id_is_stopped() -> None:
    http = HttpRequest(
        "GET", "/chatCompletion", {}, {"accept": "text/event-stream", "last-event-id": "r"}, b""
    )
    with pytest.raises(RequestError) as raised:
        refuse_reconnect(http, parse_question(http._replace(query={"message": "hi"}), settings()))
    assert (raised.value.status, raised.value.code) == (410, "answer_ended")


@pytest.mark.parametrize(("accept", "event_id"), [("text/event-stream", ""), ("text/plain", "r-1")])
def test_no_other_request_is_taken_for_a_reconnect(accept: str, event_id: str) -> None:
    headers = {"accept": accept, "last-event-id": event_id}
    http = HttpRequest("GET", "/chatCompletion", {"message": "hi"}, headers, b"")
    refuse_reconnect(http, parse_question(http, settings()))
