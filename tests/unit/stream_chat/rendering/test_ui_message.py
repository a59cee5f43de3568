"""How an answer becomes a UI message stream."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.events import (
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ProviderField,
    ReasoningDelta,
    ReasoningField,
    RefusalDelta,
    SourceCited,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from errors import UpstreamError
from rendering.timings import RelayTimings
from rendering.ui_message import UiMessageRenderer
from tests.support.clients.ui_message_client import (
    EVENT,
    START,
    Client,
    chat,
    inner,
    parts_in,
    rendered,
    renderer,
    types,
)
from tests.support.transcripts.transcript_strategies import events

ERROR = UpstreamError(502, "upstream_interrupted", "The answer was cut off.")
END = [{"type": "finish-step"}, {"type": "finish"}]

# -- the frame -----------------------------------------------------------------------------------------------


def test_the_message_begins_with_the_first_event_whatever_it_contains() -> None:
    made = renderer()
    assert parts_in(made.render(EVENT, [])) == START
    assert made.render(EVENT, []) == b""


def test_a_continued_message_keeps_its_id() -> None:
    made = UiMessageRenderer(chat(continued_message_id="msg-7"), RelayTimings())
    assert parts_in(made.render(EVENT, [])) == [
        {"type": "start", "messageId": "msg-7"},
        {"type": "start-step"},
    ]


def test_each_part_is_one_line_of_ascii() -> None:
    made = renderer()
    made.render(EVENT, [])
    assert made.render(EVENT, [TextDelta(0, "é\n👋")]) == (
        b'data: {"type":"text-start","id":"text-1"}\n\n'
        b'data: {"type":"text-delta","id":"text-1","delta":"\\u00e9\\n\\ud83d\\udc4b"}\n\n'
    )


def test_the_sentinel_ends_the_message_at_once_and_nothing_follows() -> None:
    made = renderer()
    stream = made.render(EVENT, [TextDelta(0, "a"), StreamDone(), TextDelta(0, "b"), StreamDone()])
    assert stream.endswith(b'data: {"type":"finish"}\n\ndata: [DONE]\n\n')
    assert Client(parts_in(stream)).text == "a"
    assert made.render(EVENT, [TextDelta(0, "c"), StreamDone()]) == b""
    assert made.end(b"rest") == b""
    assert made.failure(ERROR) == b""
    assert made.reported_failure(EVENT, ERROR) == b""


def test_without_a_sentinel_the_end_of_the_stream_ends_the_message() -> None:
    made = renderer()
    made.render(EVENT, [TextDelta(0, "a")])
    assert made.end(b": bye\n") == (
        b'data: {"type":"text-end","id":"text-1"}\n\n'
        b'data: {"type":"finish-step"}\n\ndata: {"type":"finish"}\n\ndata: [DONE]\n\n'
    )
    assert made.end(b"") == b""


def test_an_empty_answer_is_a_complete_message() -> None:
    assert rendered() == [*START, *END]


# -- text and reasoning --------------------------------------------------------------------------------------


def test_reasoning_and_text_are_separate_parts_of_which_one_is_open_at_a_time() -> None:
    assert inner(
        ReasoningDelta(0, "h"),
        ReasoningDelta(0, "m"),
        TextDelta(0, "a"),
        ReasoningDelta(0, "o"),
        TextDelta(0, "b"),
    ) == [
        {"type": "reasoning-start", "id": "reasoning-1"},
        {"type": "reasoning-delta", "id": "reasoning-1", "delta": "h"},
        {"type": "reasoning-delta", "id": "reasoning-1", "delta": "m"},
        {"type": "reasoning-end", "id": "reasoning-1"},
        {"type": "text-start", "id": "text-2"},
        {"type": "text-delta", "id": "text-2", "delta": "a"},
        {"type": "text-end", "id": "text-2"},
        {"type": "reasoning-start", "id": "reasoning-3"},
        {"type": "reasoning-delta", "id": "reasoning-3", "delta": "o"},
        {"type": "reasoning-end", "id": "reasoning-3"},
        {"type": "text-start", "id": "text-4"},
        {"type": "text-delta", "id": "text-4", "delta": "b"},
        {"type": "text-end", "id": "text-4"},
    ]


def test_only_the_first_choice_is_shown() -> None:
    second = ToolCallDelta(1, 0, "a", "f", "{}")
    others: list[ChatEvent] = [
        TextDelta(1, "x"),
        RefusalDelta(2, "x"),
        ReasoningDelta(1, "x"),
        second,
        ChoiceFinished(1, "length"),
    ]
    assert rendered(*others, AudioTranscriptDelta(0, "x"), AnswerStarted("id", "m")) == [*START, *END]


def test_the_end_of_the_answer_closes_open_parts_and_the_end_of_the_choice_does_not() -> None:
    made = renderer()
    made.render(EVENT, [TextDelta(0, "a")])
    assert made.render(EVENT, [ChoiceFinished(0, "stop")]) == b""
    assert types(parts_in(made.end(b"")))[0] == "text-end"


# -- the end -------------------------------------------------------------------------------------------------


def test_usage_is_sent_at_the_end_and_the_last_report_counts() -> None:
    usage = {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
        "cost": 0.5,
    }
    parts = rendered(UsageReported({"total_tokens": 1}), ChoiceFinished(0, "stop"), UsageReported(usage))
    counts = {
        "inputTokens": 11,
        "outputTokens": 7,
        "totalTokens": 18,
        "reasoningTokens": 3,
        "cachedInputTokens": 4,
    }
    assert parts[-1]["messageMetadata"] == {"usage": {**counts, "raw": usage}}


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 0, "completion_tokens": None}, {"inputTokens": 0}),
        ({"prompt_tokens": True, "total_tokens": "5", "prompt_tokens_details": [1]}, {}),
        ({"total_tokens": 1.5, "completion_tokens_details": None}, {"totalTokens": 1.5}),
    ],
)
def test_only_the_upstreams_own_numbers_are_sent(usage: dict[str, Any], counts: dict[str, float]) -> None:
    assert rendered(UsageReported(usage))[-1]["messageMetadata"] == {"usage": {**counts, "raw": usage}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "oddity",
    [{"prompt_tokens": float("inf")}, {"cost": float("nan")}, nested(20_000)],
    ids=("inf", "nan", "deep"),
)
def test_usage_that_json_cannot_represent_is_the_only_loss(oddity: dict[str, Any]) -> None:
    parts = rendered(TextDelta(0, "a"), UsageReported({"total_tokens": 5, **oddity}))
    assert parts[-1]["messageMetadata"] == {"usage": {"totalTokens": 5}}
    assert Client(parts).text == "a"


# -- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_reported", [True, False])
def test_a_failure_closes_open_parts_and_is_an_error_part_without_a_finish(is_reported: bool) -> None:
    made = renderer()
    made.render(EVENT, [ToolCallDelta(0, 0, "a", "f", "{"), ReasoningDelta(0, "hm")])
    assert (made.reported_failure(EVENT, ERROR) if is_reported else made.failure(ERROR)) == (
        b'data: {"type":"reasoning-end","id":"reasoning-1"}\n\n'
        b'data: {"type":"error","errorText":"The answer was cut off."}\n\n'
        b"data: [DONE]\n\n"
    )
    assert made.failure(ERROR) == made.end(b"") == made.render(EVENT, [TextDelta(0, "x")]) == b""


def test_a_failure_before_the_first_event_is_only_the_error_part() -> None:
    error = {"type": "error", "errorText": "The answer was cut off."}
    assert parts_in(renderer().reported_failure(EVENT, ERROR)) == [error]
    made = renderer()
    assert parts_in(made.failure(ERROR)) == [error]
    assert made.render(EVENT, [TextDelta(0, "x")]) == b""


# -- real streams, and any stream ----------------------------------------------------------------------------


ends = st.sampled_from(["end", "failure", "reported_failure"])


@given(st.lists(st.lists(events, max_size=4), max_size=6), ends, ends)
def test_any_events_become_a_well_formed_stream_that_ends_once(
    reads: list[list[ChatEvent]], end: str, again: str
) -> None:
    made = renderer()
    stream = b"".join(made.render(EVENT, read) for read in reads)
    for way in (end, again):
        if way == "end":
            stream += made.end(b"")
        else:
            stream += made.failure(ERROR) if way == "failure" else made.reported_failure(EVENT, ERROR)
    assert stream.count(b"data: [DONE]\n\n") == 1
    assert stream.endswith(b"data: [DONE]\n\n")
    client = Client(parts_in(stream))
    is_done = any(isinstance(event, StreamDone) for read in reads for event in read)
    assert (client.finish is not None, client.error is None) == (is_done or end == "end",) * 2
    sent = [event for read in reads for event in read]
    sent = sent[: sent.index(StreamDone())] if is_done else sent
    texts = [e.text for e in sent if isinstance(e, TextDelta | RefusalDelta) and e.choice == 0]
    assert client.text == "".join(texts)
    assert client.reasoning == "".join(
        e.text for e in sent if isinstance(e, ReasoningDelta) and e.choice == 0
    )


def test_an_image_and_a_source_are_separate_parts_and_do_not_end_a_text() -> None:
    url, page = "data:image/png;base64,AA==", "https://example.org/a"
    sources: list[ChatEvent] = [SourceCited(0, page, "A"), SourceCited(0, f"{page}/b", None)]
    parts = inner(TextDelta(0, "a"), ImageReceived(0, url, "image/png"), *sources, TextDelta(0, "b"))
    assert types(parts) == [
        *("text-start", "text-delta", "file", "source-url", "source-url", "text-delta", "text-end")
    ]
    image, first, second = parts[2:5]
    assert image == {"type": "file", "url": url, "mediaType": "image/png"}
    assert (first["url"], first["title"]) == (page, "A")
    assert (second["url"], "title" in second) == (f"{page}/b", False)
    assert first["sourceId"] != second["sourceId"]


def test_images_and_sources_of_other_choices_are_left_out() -> None:
    of_others: list[ChatEvent] = [
        ImageReceived(1, "https://example.org/a", "image/*"),
        SourceCited(1, "https://example.org/b", None),
        ProviderField(1, None, "signature", "x"),
        ReasoningField(1, "reasoning"),
    ]
    assert inner(*of_others) == []
