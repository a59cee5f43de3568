"""How the messages of useChat become messages of chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import RequestError
from request.ui_messages import continued_message_id, openai_messages
from tests.support.transcripts.transcript_strategies import json_values

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
SECRET = "what nobody may read in a log"


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def file(media_type: str, url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "file", "mediaType": media_type, "url": url, **fields}


def tool(state: str = "output-available", **fields: Any) -> dict[str, Any]:
    return {
        "type": "tool-weather",
        "toolCallId": "call_1",
        "state": state,
        "input": {"city": "Rome"},
        **fields,
    }


def ui(role: str, *parts: object, **fields: Any) -> dict[str, Any]:
    return {"id": "m1", "role": role, "parts": list(parts), **fields}


def converted(role: str, *parts: object) -> list[dict[str, Any]]:
    """The messages that this one becomes. A text before it ensures that the conversation is not empty."""
    return openai_messages([ui("user", text("Hi")), ui(role, *parts)])[1:]


def refused(*messages: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        openai_messages(list(messages))
    assert caught.value.status == 400
    assert SECRET not in caught.value.message
    return caught.value


def result(*parts: object) -> object:
    """The result of the only tool call as the model gets it."""
    return converted("assistant", *parts)[1]["content"]


# -- text ----------------------------------------------------------------------------------------------------


def test_a_single_text_is_a_plain_string_in_every_role() -> None:
    messages = [
        ui(role, text(f"I am {role}."), metadata={"x": 1}) for role in ("system", "user", "assistant")
    ]
    assert openai_messages(messages) == [
        {"role": "system", "content": "I am system."},
        {"role": "user", "content": "I am user."},
        {"role": "assistant", "content": "I am assistant."},
    ]


def test_several_texts_of_system_and_assistant_are_joined() -> None:
    for role in ("system", "assistant"):
        assert converted(role, text("a "), text("b")) == [{"role": role, "content": "a b"}]


def test_several_user_texts_stay_apart() -> None:
    assert converted("user", text("one"), text("two")) == [
        {"role": "user", "content": [text("one"), text("two")]}
    ]


def test_other_fields_of_a_part_are_not_sent() -> None:
    part = {**text("a"), "state": "done", "providerMetadata": {"openai": {"itemId": "x"}}}
    assert converted("user", part, file("image/png", PNG)) == [
        {"role": "user", "content": [text("a"), {"type": "image_url", "image_url": {"url": PNG}}]}
    ]


# -- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["image/png", "image/*", "image", "IMAGE/JPEG", "image/svg+xml"])
@pytest.mark.parametrize("url", [PNG, "https://example.org/a.png", "http://example.org/a.png"])
def test_the_url_of_an_image_is_sent_unchanged(media_type: str, url: str) -> None:
    [message] = converted("user", file(media_type, url))
    assert message["content"] == [{"type": "image_url", "image_url": {"url": url}}]


def test_an_image_part_of_version_4_is_an_image() -> None:
    [message] = converted("user", {"type": "image", "image": PNG, "mediaType": "image/png"})
    assert message["content"] == [{"type": "image_url", "image_url": {"url": PNG}}]


def test_an_image_without_text_is_not_accompanied_by_an_empty_text() -> None:
    [message] = converted("user", file("image/png", PNG), text(""))
    assert message["content"] == [{"type": "image_url", "image_url": {"url": PNG}}]


@pytest.mark.parametrize(("name", "sent"), [("a.pdf", "a.pdf"), (None, "part-1.pdf"), ("", "part-1.pdf")])
def test_a_pdf_in_a_data_url_is_a_file_with_a_name(name: str | None, sent: str) -> None:
    [message] = converted("user", text("Read."), file("application/pdf", PDF, filename=name))
    assert message["content"][1] == {"type": "file", "file": {"filename": sent, "file_data": PDF}}


@pytest.mark.parametrize(
    ("media_type", "audio_format"),
    [
        ("audio/wav", "wav"),
        ("audio/x-wav", "wav"),
        ("audio/mp3", "mp3"),
        ("audio/mpeg", "mp3"),
        ("Audio/WAV; codecs=1", "wav"),
    ],
)
def test_audio_in_a_data_url_is_input_audio(media_type: str, audio_format: str) -> None:
    [message] = converted("user", file(media_type, f"data:{media_type};base64,UklGRg=="))
    audio = {"data": "UklGRg==", "format": audio_format}
    assert message["content"] == [{"type": "input_audio", "input_audio": audio}]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (file("application/pdf", f"https://example.org/{SECRET}.pdf"), "`application/pdf` with an https URL"),
        (file("application/pdf", f"data:application/pdf,{SECRET}"), "`application/pdf` with a data URL"),
        (file("audio/wav", "https://example.org/a.wav"), "`audio/wav` with an https URL"),
        (file("audio/wav", "data:audio/wav;base64,"), "`audio/wav` with a data URL"),
        (file("audio/ogg", "data:audio/ogg;base64,AAAA"), "`audio/ogg` with a data URL"),
        (file("video/mp4", "data:video/mp4;base64,AAAA"), "`video/mp4` with a data URL"),
        (file("text/plain", f"data:text/plain,{SECRET}"), "`text/plain` with a data URL"),
        (file("image/png", "blob:https://example.org/1"), "an image with a blob URL"),
        (file("image/png", SECRET), "an image with an unknown URL"),
        ({"type": "image", "image": "blob:https://example.org/1"}, "an image with a blob URL"),
        (file("", PNG), "is a file with a data URL"),
        (file(SECRET, PNG), "is a file with a data URL"),
    ],
)
def test_an_unsupported_file_is_refused_and_its_media_type_named(part: dict[str, Any], named: str) -> None:
    error = refused(ui("user", text("a"), part))
    assert (error.code, error.param) == ("unsupported_part", "messages[0].parts[1]")
    assert named in error.message
    assert "Images can be sent as http(s) or data URLs" in error.message


# -- the assistant's steps -----------------------------------------------------------------------------------


def test_each_step_is_a_message_followed_by_the_results_of_its_calls() -> None:
    messages = converted(
        "assistant",
        {"type": "step-start"},
        {"type": "reasoning", "text": "hm"},
        text("Let me "),
        text("look."),
        tool(output="sunny"),
        {"type": "dynamic-tool", "toolName": "clock", "toolCallId": "call_2", "state": "output-available"}
        | {"input": {}, "output": {"time": "12:00", "zone": "Österreich"}},
        {"type": "step-start"},
        text("Sunny at noon."),
    )
    assert messages == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_2", "content": '{"time":"12:00","zone":"Österreich"}'},
        {"role": "assistant", "content": "Sunny at noon."},
    ]


def test_an_assistant_image_is_sent_in_the_field_where_the_model_put_it() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG}}
    assert converted("assistant", file("image/png", PNG)) == [
        {"role": "assistant", "content": "", "images": [image]}
    ]
    [message] = converted("assistant", text("a"), file("image/*", "https://example.org/a"))
    assert (message["content"], message["images"][0]["image_url"]["url"]) == ("a", "https://example.org/a")


def test_a_call_without_text_has_no_content() -> None:
    call, _ = converted("assistant", tool(output="x"))
    assert call["content"] is None


@pytest.mark.parametrize(
    ("output", "sent"),
    [("", ""), ("a", "a"), (None, "null"), (5, "5"), ([1, "a"], '[1,"a"]'), (True, "true")],
)
def test_a_tool_output_is_sent_as_a_string_or_as_json(output: object, sent: str) -> None:
    assert result(tool(output=output)) == sent


def test_a_tool_that_returns_nothing_has_null_as_its_result() -> None:
    assert result(tool()) == "null"


def test_a_tool_error_is_sent_to_the_model() -> None:
    assert result(tool("output-error", errorText="no such city")) == "no such city"


@pytest.mark.parametrize("state", ["output-denied", "approval-responded"])
def test_a_denied_call_is_sent_to_the_model_with_the_reason(state: str) -> None:
    assert result(tool(state, approval={"id": "a", "approved": False})) == "Tool call execution denied."
    denial = {"id": "a", "approved": False, "reason": "too dear"}
    assert result(tool(state, approval=denial)) == "Tool call execution denied: too dear"


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"input": {"a": "ö"}}, '{"a":"ö"}'),
        ({"input": None, "rawInput": {"a": 1}}, '{"a":1}'),
        ({"input": None, "rawInput": '{"ci'}, "{}"),  # strict APIs would refuse it as a JSON string
        ({"input": [1]}, "{}"),
        ({"input": None}, "{}"),
    ],
)
def test_arguments_are_always_a_json_object(fields: dict[str, Any], arguments: str) -> None:
    call, _ = converted("assistant", tool("output-error", errorText="e", **fields))
    assert call["tool_calls"][0]["function"]["arguments"] == arguments


def test_a_raw_input_counts_only_if_the_input_failed() -> None:
    call, _ = converted("assistant", tool(input=None, rawInput={"a": 1}, output="x"))
    assert call["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_call_stopped_while_it_was_being_written_is_left_out() -> None:
    assert converted("assistant", text("a"), tool("input-streaming")) == [
        {"role": "assistant", "content": "a"}
    ]
    assert converted("assistant", tool("input-streaming", input=None)) == []


@pytest.mark.parametrize(
    "part",
    [
        tool("input-available"),
        tool("approval-requested", approval={"id": "a"}),
        tool("approval-responded", approval={"id": "a", "approved": True}),
        tool("approval-responded", approval="no"),
        tool("approval-responded"),
        tool(None),  # type: ignore[arg-type]
        tool(["output-available"]),  # type: ignore[arg-type]
    ],
)
def test_a_call_without_a_result_is_refused_and_its_place_named(part: dict[str, Any]) -> None:
    error = refused(ui("user", text(SECRET)), ui("assistant", text(SECRET), part))
    assert (error.code, error.param) == ("invalid_value", "messages[1].parts[1]")
    assert "without a result" in error.message


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (tool(toolCallId=""), "toolCallId` must not be empty"),
        (tool(toolCallId=None), "toolCallId` must be a string"),
        (tool(type="tool-", output="x"), "`tool-<name>`"),
        (tool(type="dynamic-tool", output="x"), "toolName` must be a string"),
        (tool(type="dynamic-tool", toolName="", output="x"), "toolName` must not be empty"),
        (tool("output-error"), "errorText` must be a string"),
        (tool(output=[float("inf")]), "a number that JSON cannot represent"),
        (tool(input={"a": float("inf")}), "a number that JSON cannot represent"),
        (text(None), "text` must be a string"),  # type: ignore[arg-type]
    ],
)
def test_a_part_with_an_invalid_field_is_refused_and_its_place_named(
    part: dict[str, Any], expected: str
) -> None:
    error = refused(ui("assistant", part))
    assert (error.code, error.param) == ("invalid_value", "messages[0].parts[0]")
    assert expected in error.message


# -- what is left out and what is refused -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
@pytest.mark.parametrize(
    "part_type", ["reasoning", "reasoning-file", "source-url", "source-document", "data-chart", "step-start"]
)
def test_parts_that_are_only_shown_are_left_out(role: str, part_type: str) -> None:
    shown = {"type": part_type, "text": SECRET, "url": SECRET, "data": SECRET}
    assert converted(role, shown, text("a")) == [{"role": role, "content": "a"}]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_a_message_without_content_for_the_model_is_left_out(role: str) -> None:
    for parts in ([], [text("")], [{"type": "step-start"}, {"type": "reasoning", "text": "hm"}]):
        assert converted(role, *parts) == []


def test_messages_without_any_content_for_the_model_are_refused() -> None:
    error = refused(ui("user", text("")), ui("assistant"))
    assert (error.code, error.param) == ("invalid_value", "messages")


@pytest.mark.parametrize(
    ("role", "part", "expected"),
    [
        ("assistant", file("application/pdf", PDF), "a part of type `file`"),
        ("assistant", {"type": "steering-message"}, "a part of type `steering-message`"),
        ("user", tool(), "a part of type `tool-weather`"),
        ("user", {"type": SECRET}, "a part of unknown type"),
        ("user", {"type": ""}, "a part of unknown type"),
        ("system", file("image/png", PNG), "A system message can only contain text."),
    ],
)
def test_a_part_that_chat_completions_do_not_support_is_refused(
    role: str, part: dict[str, Any], expected: str
) -> None:
    error = refused(ui("user", text("a")), ui(role, text("a"), part))
    assert (error.code, error.param) == ("unsupported_part", "messages[1].parts[1]")
    assert expected in error.message


@pytest.mark.parametrize("messages", [None, [], {}, "Hi", 5])
def test_messages_must_be_a_list_of_at_least_one(messages: object) -> None:
    with pytest.raises(RequestError) as caught:
        openai_messages(messages)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_value", "messages")
    assert "at least one" in caught.value.message


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (SECRET, "messages[1]"),
        ({"parts": []}, "messages[1]"),
        (ui("tool"), "messages[1]"),
        (ui(["user"]), "messages[1]"),  # type: ignore[arg-type]
        ({"role": "user", "content": SECRET}, "messages[1]"),  # as AI SDK 4 sent it
        (ui("user", SECRET), "messages[1].parts[0]"),
        (ui("user", {"text": SECRET}), "messages[1].parts[0]"),
        (ui("user", {"type": 5}), "messages[1].parts[0]"),
    ],
)
def test_a_value_that_is_not_a_ui_message_is_refused_and_its_place_named(message: object, param: str) -> None:
    error = refused(ui("user", text("a")), message)
    assert (error.code, error.param) == ("invalid_value", param)
    assert f"`{param}" in error.message


TYPES = ["text", "file", "image", "tool-a", "dynamic-tool", "reasoning", "data-a", "step-start"]
STATES = ["input-streaming", "output-available", "output-error", "output-denied"]
FIELDS = ["text", "state", "input", "output", "errorText", "toolCallId", "toolName", "approval", "rawInput"]
FIELDS += ["mediaType", "url", "filename", "image"]
FIELDS += ["providerMetadata", "callProviderMetadata", "resultProviderMetadata"]
fields = st.dictionaries(
    st.sampled_from(FIELDS), st.sampled_from([*STATES, "image/png", PNG]) | json_values, max_size=6
)
parts = st.builds(lambda kind, more: {**more, "type": kind}, st.sampled_from(TYPES), fields) | json_values
roles = st.sampled_from(["system", "user", "assistant"])
messages = st.builds(lambda role, of: ui(role, *of), roles, st.lists(parts, max_size=3)) | json_values


@given(st.lists(messages, max_size=3) | json_values)
def test_any_json_becomes_messages_or_an_error_that_names_a_place(body: object) -> None:
    continued_message_id(body)
    try:
        sent = openai_messages(body)
    except RequestError as error:
        assert error.status == 400
        assert (error.param or "").startswith("messages")
    else:
        assert sent
        for message in sent:
            assert (
                message["content"] or message["role"] == "tool" or {"tool_calls", "images"} & message.keys()
            )
            for call in message.get("tool_calls", []):
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
