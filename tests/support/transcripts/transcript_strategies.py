"""Chat events and transcripts, drawn by hypothesis."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.transcripts.transcript import Interruption, Transcript, TranscriptBuilder, UpstreamTrace

texts = st.text(st.characters(), max_size=4)  # surrogates included
maybe = st.none() | texts
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
indexes = st.integers(0, 2)

events: st.SearchStrategy[ChatEvent] = st.one_of(
    st.builds(AnswerStarted, maybe, maybe),
    st.builds(TextDelta, indexes, texts),
    st.builds(RefusalDelta, indexes, texts),
    st.builds(ReasoningDelta, indexes, texts),
    st.builds(AudioTranscriptDelta, indexes, texts),
    st.builds(ToolCallDelta, indexes, indexes, maybe, maybe, texts),
    st.builds(
        ImageReceived,
        indexes,
        st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "https://example.org/a"]),
        st.just("image/png"),
    ),
    st.builds(
        ChoiceFinished,
        indexes,
        st.sampled_from(["stop", "length", "content_filter", "tool_calls", "?"]),
        st.booleans(),
    ),
    st.builds(UsageReported, json_objects),
    st.builds(AnswerFailed, texts, maybe, maybe, maybe, st.none() | st.integers(400, 599)),
    st.just(StreamDone()),
)
breaks = st.none() | st.builds(
    Interruption, st.sampled_from(["failed", "truncated", "abandoned"]), st.just("some_code"), texts
)
STARTED_AT = datetime(2026, 11, 22, 10, 30, 0, 120_999, tzinfo=timezone(timedelta(hours=1)))


def built(
    chat_events: list[ChatEvent], interruption: Interruption | None = None, **fields: Any
) -> Transcript:
    """The transcript of the events, which are 10 ms apart, the first one at 10 ms."""
    builder = builder_for(**fields)
    for number, event in enumerate(chat_events, 1):
        builder.add(event, elapsed_ms=10 * number)
    trace = UpstreamTrace(attempts=2, request_id="req_1")
    return builder.finish(elapsed_ms=10 * len(chat_events) + 10, interruption=interruption, upstream=trace)


def builder_for(**fields: Any) -> TranscriptBuilder:
    """A builder for an ordinary request."""
    request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "parameters": {"stream": True}}
    defaults: dict[str, Any] = {
        "id": "r-1",
        "caller": "web",
        "route": "/v1/chat/completions",
        "request": request,
        "started_at": STARTED_AT,
    }
    return TranscriptBuilder(**{**defaults, **fields})


requests = st.fixed_dictionaries(
    {"model": maybe, "messages": st.lists(json_values, max_size=3), "parameters": json_objects}
)
transcripts = st.builds(
    built,
    st.lists(events, max_size=12),
    breaks,
    caller=maybe,
    request=requests,
    expected_choices=st.integers(1, 3),
)
