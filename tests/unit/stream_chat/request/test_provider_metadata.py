"""A provider's fields leave as metadata of a UI message's parts and return to where they came from."""

from __future__ import annotations

from typing import Any

import pytest

from chat_stream.events import (
    ChatEvent,
    ProviderField,
    ReasoningDelta,
    ReasoningField,
    TextDelta,
    ToolCallDelta,
)
from chat_stream.memory_bound import AnswerTooLargeError
from errors import RequestError
from request.provider_metadata import CarriedFields
from request.ui_messages import openai_messages
from tests.support.clients.ui_message_client import Client, Part, inner, rendered

GOOGLE: dict[str, Any] = {"google": {"thought_signature": "c2VhbA=="}}
DETAILS = [{"type": "reasoning.encrypted", "data": "eA==", "id": "c0", "index": 0}]
QUESTION = {"role": "user", "parts": [{"type": "text", "text": "Hi"}]}


def call(index: int = 0, arguments: str = "{}") -> ToolCallDelta:
    return ToolCallDelta(0, index, f"c{index}", "f", arguments)


def of_message(name: str, value: Any) -> ProviderField:
    return ProviderField(0, None, name, value)


def next_turn(*events: ChatEvent) -> list[dict[str, Any]]:
    """The messages that the upstream gets for this answer in the next turn, from the client."""
    answer = {"role": "assistant", "parts": Client(rendered(*events)).parts}
    return openai_messages([QUESTION, answer, QUESTION])[1:-1]


def returned(*parts: Part) -> dict[str, Any]:
    return openai_messages([QUESTION, {"role": "assistant", "parts": list(parts)}])[1]


def tool(**fields: Any) -> Part:
    return {"type": "tool-f", "toolCallId": "c0", "state": "output-available", "input": {}, **fields}


# -- there and back ------------------------------------------------------------------------------------------


def test_each_call_gets_its_own_signature_back() -> None:
    other = {"google": {"thought_signature": "b3RoZXI="}}
    message, *_ = next_turn(
        *(call(0), ProviderField(0, 0, "extra_content", GOOGLE), call(1), call(2)),
        ProviderField(0, 2, "extra_content", other),
    )
    assert [sent.get("extra_content") for sent in message["tool_calls"]] == [GOOGLE, None, other]


def test_a_google_signature_has_the_form_of_the_ai_sdks_own_packages() -> None:
    *_, announced = inner(call(), ProviderField(0, 0, "extra_content", GOOGLE))
    assert announced["providerMetadata"] == {"google": {"thoughtSignature": "c2VhbA=="}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extra_content", {**GOOGLE, "other": {"signature": "x"}}),
        ("extra_content", {"anthropic": {"signature": "x"}}),
        ("provider_specific_fields", {"thought_signature": "c2VhbA=="}),
        ("thoughtSignature", "c2VhbA=="),
    ],
)
def test_other_fields_of_a_call_come_back_unchanged(name: str, value: Any) -> None:
    message, *_ = next_turn(call(), ProviderField(0, 0, name, value))
    [sent] = message["tool_calls"]
    assert sent == {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}, name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reasoning_details", DETAILS),
        ("thinking_blocks", [{"type": "thinking", "thinking": "hm", "signature": "c2VhbA=="}]),
        ("reasoning_opaque", "c2VhbA=="),
        ("extra_content", GOOGLE),
    ],
)
@pytest.mark.parametrize(
    "events",
    [
        [TextDelta(0, "a")],
        [TextDelta(0, "a"), call()],
        [call(), TextDelta(0, "a")],
        [call(0, "no JSON"), call(1)],
        [call(0, "no JSON")],
        [ReasoningDelta(0, "hm"), call()],
        [ReasoningDelta(0, "hm"), TextDelta(0, "a")],
    ],
    ids=lambda events: "-".join(type(event).__name__ for event in events),
)
def test_message_fields_come_back_whatever_the_answer_consists_of(
    events: list[ChatEvent], name: str, value: Any
) -> None:
    for at in range(len(events) + 1):
        message, *_ = next_turn(*events[:at], of_message(name, value), *events[at:])
        assert message[name] == value


def test_pieces_of_reasoning_are_joined_under_their_signature() -> None:
    pieces: list[dict[str, Any]] = [
        {"thinking": "I ", "signature": None},
        {"thinking": "see"},
        {"signature": "c2VhbA=="},
    ]
    blocks: list[ChatEvent] = [
        of_message("thinking_blocks", [{"type": "thinking", **piece}]) for piece in pieces
    ]
    message, *_ = next_turn(*blocks, call())
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": "I see", "signature": "c2VhbA=="}]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_text", "reasoning_content"])
def test_reasoning_of_an_answer_with_calls_returns_in_its_own_field(name: str) -> None:
    named: list[ChatEvent] = [] if name == "reasoning_content" else [ReasoningField(0, name)]
    message, *_ = next_turn(ReasoningDelta(0, "I "), *named, ReasoningDelta(0, "see."), call())
    assert message[name] == "I see."
    assert len([key for key in message if key.startswith("reasoning")]) == 1


def test_reasoning_within_content_returns_in_content() -> None:
    message, *_ = next_turn(ReasoningDelta(0, "hm"), ReasoningField(0, "content"), TextDelta(0, "a"), call())
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert message["content"] == [thought, {"type": "text", "text": "a"}]
    assert not [key for key in message if key.startswith("reasoning")]


def test_reasoning_in_reasoning_details_returns_only_there() -> None:
    fields: list[ChatEvent] = [
        of_message("reasoning_details", DETAILS),
        ReasoningField(0, "reasoning_details"),
    ]
    message, *_ = next_turn(ReasoningDelta(0, "hm"), *fields, call())
    assert [key for key in message if key.startswith("reasoning")] == ["reasoning_details"]


def test_reasoning_of_an_answer_without_calls_stays_with_the_client() -> None:
    assert next_turn(ReasoningDelta(0, "hm"), TextDelta(0, "a")) == [{"role": "assistant", "content": "a"}]


def test_reasoning_of_every_step_returns_once_a_tool_was_called() -> None:
    answer = [{"type": "reasoning", "text": "1"}, tool(output="x"), {"type": "step-start"}]
    answer += [{"type": "reasoning", "text": "2"}, {"type": "text", "text": "a"}]
    messages = openai_messages([QUESTION, {"role": "assistant", "parts": answer}])
    assert [message.get("reasoning_content") for message in messages] == [None, "1", None, "2"]


def test_an_answer_with_nothing_for_the_provider_has_no_metadata() -> None:
    parts = rendered(ReasoningDelta(0, "hm"), TextDelta(0, "a"), call())
    assert not [part for part in parts if "providerMetadata" in part]


# -- what a client may send ----------------------------------------------------------------------------------


def test_metadata_of_other_packages_is_ignored() -> None:
    metadata = {"openai": {"itemId": "x"}, "google": {"other": 5}}
    message = returned(
        {"type": "text", "text": "a", "providerMetadata": metadata},
        tool(output="x", callProviderMetadata=None),
    )
    assert message.keys() == {"role", "content", "tool_calls"}


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        (5, ""),
        ({"deltaRelay": []}, ".deltaRelay"),
        ({"deltaRelay": {"message": "x"}}, ".deltaRelay.message"),
        ({"deltaRelay": {"message": {"role": "system"}}}, ".deltaRelay.message"),
        ({"deltaRelay": {"message": {"content": "x"}}}, ".deltaRelay.message"),
        ({"deltaRelay": {"toolCall": {"function": {}}}}, ".deltaRelay.toolCall"),
        ({"deltaRelay": {"message": {"reasoning_opaque": 5}}}, ".deltaRelay.message.reasoning_opaque"),
        ({"deltaRelay": {"reasoningField": "role"}}, ".deltaRelay.reasoningField"),
        ({"deltaRelay": {"reasoningField": ["reasoning"]}}, ".deltaRelay.reasoningField"),
        ({"google": {"thoughtSignature": {}}}, ".google.thoughtSignature"),
        ({"google": "x"}, ".google"),
        ({"openrouter": {"reasoning_details": "x"}}, ".openrouter.reasoning_details"),
    ],
)
def test_metadata_of_another_shape_is_refused_and_its_place_named(metadata: object, place: str) -> None:
    parts = {
        "providerMetadata": {"type": "text", "text": "a"},
        "callProviderMetadata": tool(output="x"),
        "resultProviderMetadata": tool(output="x"),
    }
    for name, part in parts.items():
        with pytest.raises(RequestError) as caught:
            returned({**part, name: metadata})
        where = f"messages[1].parts[0].{name}{place}"
        assert (caught.value.status, caught.value.param) == (400, where)
        assert f"`{where}` must be" in caught.value.message


def test_no_field_from_a_client_replaces_one_of_the_relays_own() -> None:
    fields = {"signature": "x", "thinking_blocks": []}
    metadata = {"deltaRelay": {"message": fields, "toolCall": fields}}
    message = returned(tool(output="x", callProviderMetadata=metadata))
    [sent] = message["tool_calls"]
    assert message.keys() == {"role", "content", "tool_calls", *fields}
    assert sent.keys() == {"id", "type", "function", *fields}


def test_more_than_the_relay_keeps_of_an_answer_is_refused() -> None:
    carried = CarriedFields()
    carried.add(ProviderField(0, 0, "signature", "x" * 9_000_000))
    with pytest.raises(AnswerTooLargeError):
        carried.add(ProviderField(0, 1, "signature", "x" * 9_000_000))
