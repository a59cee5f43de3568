"""Conversations of Vercel's AI SDK: useChat sends back the fields that a provider needs in the next turn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.clients.client_scenarios import events_of
from tests.support.clients.node_programs import run_node_program
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply

# The answers to one question; a plain one without calls follows them.
ANSWERS = {
    name: [f"chat_{name}"]
    for name in (
        "gemini_thought_signature",
        "reasoning_then_tool_call",
        "openrouter_signed_reasoning",
        "litellm_thinking_blocks",
        "gemini_signed_text",
        "images_in_deltas",
        "url_citations",
    )
}
ANSWERS["tool_call_ids_counted_anew"] = ["chat_tool_call_ids_counted_anew"] * 3

Conversations = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=["ai", "ai-6", "ai-7"])
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def conversations(package: str, relay: ServedRelay, replay: ReplayUpstream) -> Conversations:
    """One conversation for each name; useChat's engine runs the tools and sends their results by itself."""
    for name, answers in ANSWERS.items():
        replies = [Reply(events_of(answer)) for answer in [*answers, "chat_basic_openai"]]
        replay.answer(f"{name} by {package}", *replies)
    jobs = [
        {"transport": "chat", "url": f"{relay.url}/api/chat", "model": f"{name} by {package}"}
        for name in ANSWERS
    ]
    return dict(zip(ANSWERS, run_node_program("ai_sdk.mjs", package, jobs=jobs), strict=True))


@pytest.fixture
def sent(conversations: Conversations, package: str, replay: ReplayUpstream) -> Any:
    """A function that returns the messages that the upstream got in each request of a conversation."""

    def messages(name: str) -> list[list[dict[str, Any]]]:
        assert conversations[name]["error"] is None
        return [exchange.body["messages"] for exchange in replay.exchanges(f"{name} by {package}")]

    return messages


def test_a_thought_signature_is_sent_back_with_its_call_in_every_later_turn(sent: Any) -> None:
    _, *later = sent("gemini_thought_signature")
    assert len(later) == 3
    for messages in later:
        [call] = messages[1]["tool_calls"]
        assert call["extra_content"] == {"google": {"thought_signature": "CtoBASIGNATURE=="}}
        assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}


def test_the_reasoning_before_a_call_is_sent_back_in_every_later_turn(sent: Any) -> None:
    _, *later = sent("reasoning_then_tool_call")
    assert [messages[1]["reasoning_content"] for messages in later] == ["I need the weather."] * 3


def test_signed_and_encrypted_reasoning_is_sent_back_whole(sent: Any) -> None:
    _, second, *_ = sent("openrouter_signed_reasoning")
    text, encrypted = second[1]["reasoning_details"]
    assert (text["text"], text["signature"], encrypted["data"]) == ("I see.", "c2VhbA==", "eA==")
    assert (second[1]["reasoning"], "reasoning_content" in second[1]) == ("I see.", False)
    _, second, *_ = sent("litellm_thinking_blocks")
    block = {"type": "thinking", "thinking": "I see.", "signature": "c2VhbA=="}
    assert second[1]["thinking_blocks"] == [block]


def test_a_signature_of_text_is_sent_back_with_the_next_question(sent: Any) -> None:
    _, second, *_ = sent("gemini_signed_text")
    signed = {"google": {"thought_signature": "CtoBASIGNATURE=="}}
    assert second[1] == {"role": "assistant", "content": "Hi", "extra_content": signed}


def test_an_image_is_a_file_of_the_message_and_is_sent_back_with_the_next_question(
    conversations: Conversations, sent: Any
) -> None:
    [image] = [part for part in conversations["images_in_deltas"]["messages"][1]["parts"] if "url" in part]
    assert (image["type"], image["mediaType"]) == ("file", "image/png")
    _, second, *_ = sent("images_in_deltas")
    assert second[1]["images"] == [{"type": "image_url", "image_url": {"url": image["url"]}}]


def test_a_source_is_shown_once_and_is_not_sent_back(conversations: Conversations, sent: Any) -> None:
    parts = conversations["url_citations"]["messages"][1]["parts"]
    assert [(part["url"], part["title"]) for part in parts if part["type"] == "source-url"] == [
        ("https://example.org/a", "A")
    ]
    _, second, *_ = sent("url_citations")
    assert second[1] == {"role": "assistant", "content": "Hello"}


def test_call_ids_that_repeat_in_each_answer_do_not_mix_up_results(
    conversations: Conversations, sent: Any
) -> None:
    parts = conversations["tool_call_ids_counted_anew"]["messages"][1]["parts"]
    calls = [part for part in parts if part["type"] == "tool-get_weather"]
    ids = [f"functions.get_weather:{number}" for number in range(3)]
    assert [call["toolCallId"] for call in calls] == ids
    assert {call["state"] for call in calls} == {"output-available"}
    *_, last = sent("tool_call_ids_counted_anew")
    assert [call["id"] for message in last for call in message.get("tool_calls", [])] == ids
    results = [message for message in last if message["role"] == "tool"]
    assert [result["tool_call_id"] for result in results] == ids
    assert [json.loads(result["content"]) for result in results] == [{"of": {"city": "Rome"}}] * 3
