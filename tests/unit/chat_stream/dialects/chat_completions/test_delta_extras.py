"""Decoding what is not text in deltas: images, sources, and fields that the provider wants back."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pytest

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder, completion_events
from chat_stream.events import (
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ProviderField,
    ReasoningDelta,
    ReasoningField,
    SourceCited,
    TextDelta,
    ToolCallDelta,
)
from chat_stream.memory_bound import AnswerTooLargeError
from chat_stream.sse import ServerSentEvent
from tests.support.dialects.chat_chunks import decoded

PNG = "data:image/png;base64,iVBORw0KGgo="
PAGE = "https://example.org/a"


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


def image(url: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, "index": 0}


def cited(url: object, **fields: Any) -> dict[str, Any]:
    return {"type": "url_citation", "url_citation": {"url": url, **fields}}


# -- images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "media_type"),
    [
        (PNG, "image/png"),
        ("DATA:image/WebP;base64,AA==", "image/webp"),
        ("data:image/svg+xml,%3Csvg/%3E", "image/svg+xml"),
        ("https://example.org/a.JPG?x=1.txt", "image/jpeg"),
        ("https://example.org/a", "image/*"),
    ],
)
def test_image_has_the_media_type_that_its_url_shows(url: str, media_type: str) -> None:
    assert decoded(delta(images=[image(url)])) == [ImageReceived(0, url, media_type)]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,<script>", "file:///etc/passwd", "", None, 5, [PNG]]
)
def test_url_that_cannot_be_an_image_is_ignored(url: object) -> None:
    assert decoded(delta(images=[image(url), url])) == []


def test_repeated_image_is_reported_once() -> None:
    sent = delta(images=[image(PNG)])
    assert decoded(sent, sent) == [ImageReceived(0, PNG, "image/png")]
    sent["choices"].append({**sent["choices"][0], "index": 1})
    assert decoded(sent, sent) == [ImageReceived(index, PNG, "image/png") for index in (0, 1)]


def test_image_in_content_parts_is_reported() -> None:
    parts = [{"type": "text", "text": "a"}, image(PNG), {"type": "image_url", "image_url": PAGE}]
    assert decoded(delta(content=parts)) == [
        *(TextDelta(0, "a"), ImageReceived(0, PNG, "image/png"), ImageReceived(0, PAGE, "image/*"))
    ]


def test_document_with_image_and_source_has_the_events_of_its_stream() -> None:
    message = {"content": "a", "images": [image(PNG)], "annotations": [cited(PAGE)]}
    events = completion_events({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert events[:4] == [
        *(TextDelta(0, "a"), ImageReceived(0, PNG, "image/png"), SourceCited(0, PAGE, None)),
        ChoiceFinished(0, "stop"),
    ]


def test_more_images_than_an_answer_can_have_raise_answer_too_large() -> None:
    chunks = [delta(images=[image(f"{PAGE}/{n}/{at}") for at in range(1000)]) for n in range(70)]
    with pytest.raises(AnswerTooLargeError):
        decoded(*chunks)


# -- sources -------------------------------------------------------------------------------------------------


def test_each_source_is_reported_once_with_its_title() -> None:
    flat = {"type": "url_citation", "url": f"{PAGE}/b", "title": ""}
    assert decoded(delta(annotations=[cited(PAGE, title="A"), flat]), delta(annotations=[cited(PAGE)])) == [
        SourceCited(0, PAGE, "A"),
        SourceCited(0, f"{PAGE}/b", None),
    ]


def test_sources_at_the_top_of_chunks_are_reported_once() -> None:
    beside = {"citations": [PAGE, f"{PAGE}/b"], "search_results": [{"title": "A", "url": PAGE}]}
    events = decoded(*({**delta(content=text), **beside} for text in "xy"))
    sources = [SourceCited(0, PAGE, "A"), SourceCited(0, f"{PAGE}/b", None)]
    assert events == [TextDelta(0, "x"), *sources, TextDelta(0, "y")]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", None, 5, {}])
def test_source_without_an_http_url_is_ignored(url: object) -> None:
    assert decoded({**delta(annotations=[cited(url), url]), "citations": [url], "search_results": url}) == []


# -- fields for the provider ---------------------------------------------------------------------------------


def test_signature_of_a_tool_call_belongs_to_that_call() -> None:
    extra = {"google": {"thought_signature": "c2VhbA=="}}
    calls: list[dict[str, Any]] = [
        {"index": index, "id": f"c{index}", "function": {"name": "f", "arguments": "[1]"}} for index in (0, 1)
    ]
    assert decoded(delta(tool_calls=[calls[0], {**calls[1], "extra_content": extra}])) == [
        ToolCallDelta(0, 0, "c0", "f", "[1]"),
        ToolCallDelta(0, 1, "c1", "f", "[1]"),
        ProviderField(0, 1, "extra_content", extra),
    ]


@pytest.mark.parametrize(
    "name",
    ["reasoning_details", "thinking_blocks", "reasoning_opaque", "thoughtSignature", "encrypted_content"],
)
def test_signature_of_a_message_belongs_to_the_message(name: str) -> None:
    value = [{"type": "x", "data": "c2VhbA=="}]
    assert ProviderField(0, None, name, value) in decoded(delta(content="", **{name: value}))


def test_only_signatures_are_kept_of_a_messages_extra_content() -> None:
    """If `thought` were sent back, the provider would take the text for a thought."""
    extra = {"google": {"thought": True, "thought_signature": "c2VhbA=="}}
    assert decoded(delta(content="a", extra_content=extra)) == [
        TextDelta(0, "a"),
        ProviderField(0, None, "extra_content", {"google": {"thought_signature": "c2VhbA=="}}),
    ]
    assert decoded(delta(content="a", extra_content={"google": {"thought": True}})) == [TextDelta(0, "a")]


@pytest.mark.parametrize("fields", [{"x": "y"}, {"reasoning_details": []}, {"provider": "signature"}])
def test_other_fields_are_not_provider_fields(fields: dict[str, Any]) -> None:
    assert decoded(delta(content="a", **fields)) == [TextDelta(0, "a")]


def test_provider_fields_are_strict_json() -> None:
    [event] = decoded(delta(thinking_blocks=[{"n": float("nan"), "t": "\ud83d"}]))[1:]
    assert event == ProviderField(0, None, "thinking_blocks", [{"n": None, "t": "\ufffd"}])


def test_deeply_nested_provider_field_is_dropped_and_the_text_kept() -> None:
    """This covers depths at which the event can still be parsed but the field no longer copied."""

    def events_at(depth: int) -> list[ChatEvent]:
        deep = '{"a":' * depth + "1" + "}" * depth
        data = f'{{"choices":[{{"delta":{{"content":"a","signature":{deep}}}}}]}}'
        return ChatCompletionDecoder(2).decode(ServerSentEvent("message", data, "", None, b""))

    # The depth that can be parsed depends on Python's version and the stack: find it, and test around it.
    end = bisect_left(range(20_000), True, key=lambda depth: not events_at(depth))
    near = [events for depth in range(end - 50, end + 50) if (events := events_at(depth))]
    assert [events[:1] for events in near] == [[TextDelta(0, "a")]] * len(near)
    assert {len(events) for events in near} <= {1, 2}


# -- the field of the reasoning ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reasoning", "content"])
def test_name_of_the_reasoning_field_is_reported_once(name: str) -> None:
    value = (
        "hm" if name == "reasoning" else [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    )
    chunk = delta(**{name: value})
    assert decoded(chunk, chunk) == [
        *(ReasoningDelta(0, "hm"), ReasoningField(0, name), ReasoningDelta(0, "hm"))
    ]


def test_usual_reasoning_field_is_not_reported_even_if_a_signature_follows() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x"}]
    events = decoded(delta(reasoning_content="hm"), delta(reasoning_details=details))
    assert events == [ReasoningDelta(0, "hm"), ProviderField(0, None, "reasoning_details", details)]
