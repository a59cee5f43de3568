"""What the decoder makes of chat completions, ordinary and odd."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat_stream.dialects.chat_completions.events import (
    ChatCompletionDecoder,
    completion_chunks,
    completion_events,
)
from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ProviderField,
    ReasoningDelta,
    ReasoningField,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.sse import ServerSentEvent
from tests.support.conformance_cases import StreamCase, choices_of, events_of, stream_cases

NO_MESSAGE = "The upstream reported an error without a message."

CHAT_CASES = stream_cases("chat")


def sent(data: str, event: str = "message") -> ServerSentEvent:
    return ServerSentEvent(event=event, data=data, id="", retry=None, raw=b"")


def words(events: list[ChatEvent]) -> list[ChatEvent]:
    """The events without what is only for the provider."""
    return [event for event in events if not isinstance(event, (ProviderField, ReasoningField))]


def decoded(*chunks: object, event: str = "message", choices: int = 2) -> list[ChatEvent]:
    decoder = ChatCompletionDecoder(choices)
    return [
        chat_event
        for chunk in chunks
        for chat_event in decoder.decode(sent(chunk if isinstance(chunk, str) else json.dumps(chunk), event))
    ]


def delta(fields: dict[str, Any], index: int = 0, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields, **choice}]}


def calls(*fragments: dict[str, Any]) -> list[ChatEvent]:
    return decoded(*(delta({"tool_calls": [fragment]}) for fragment in fragments))


def case_events(case: StreamCase, size: int | None) -> list[ChatEvent]:
    if case.expected["http"]["content_type"].startswith("application/json"):
        return completion_events(json.loads(case.body))
    decoder = ChatCompletionDecoder(choices_of(case))
    return [chat_event for event in events_of(case, size) for chat_event in decoder.decode(event)]


def joined(
    events: list[ChatEvent], kind: type[TextDelta | RefusalDelta | ReasoningDelta], choice: int
) -> str:
    return "".join(event.text for event in events if isinstance(event, kind) and event.choice == choice)


def tool_calls(events: list[ChatEvent], choice: int) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta) and event.choice == choice:
            call = found.setdefault(
                event.index, {"index": event.index, "id": None, "name": None, "arguments": ""}
            )
            call["id"] = call["id"] or event.id
            call["name"] = call["name"] or event.name
            call["arguments"] += event.arguments
    return list(found.values())


@pytest.mark.parametrize("size", [1, None])
@pytest.mark.parametrize("case", CHAT_CASES, ids=lambda case: case.name)
def test_real_stream_says_what_is_expected_of_it(case: StreamCase, size: int | None) -> None:
    events, expected = case_events(case, size), case.expected
    finished = {event.choice: event.finish_reason for event in events if isinstance(event, ChoiceFinished)}
    for choice in expected["choices"]:
        number = choice["index"]
        text = joined(events, TextDelta, number)
        assert hashlib.sha256(text.encode()).hexdigest() == choice["text_sha256"]
        assert finished.get(number) == choice["finish_reason"]
        assert (joined(events, RefusalDelta, number) or None) == choice["refusal"]
        legacy = expected["function_call"]
        expected_calls = [{"index": 0, "id": None, **legacy}] if legacy else choice["tool_calls"]
        assert tool_calls(events, number) == expected_calls
    assert set(finished) <= {choice["index"] for choice in expected["choices"]}
    assert (joined(events, ReasoningDelta, 0) or None) == expected["reasoning"]
    usages = [event.usage for event in events if isinstance(event, UsageReported)]
    assert (usages[-1] if usages else None) == expected["usage"]
    assert (StreamDone() in events) == expected["done_sentinel"] or case.name == "chat_json_body_not_streamed"
    failures = [event for event in events if isinstance(event, AnswerFailed)]
    if (expected["error"] or {}).get("kind") == "upstream_error":
        [failure] = failures
        code = expected["error"]["code"]
        assert (failure.message, failure.type) == (expected["error"]["message"], expected["error"]["type"])
        assert failure.code == (None if code is None else str(code))
    else:
        assert failures == []


def test_id_and_model_are_reported_once_from_the_first_chunk_that_has_them() -> None:
    events = decoded({"id": "", "model": ""}, {"id": "a", "model": "m"}, {"id": "b", "model": "n"})
    assert events == [AnswerStarted("a", "m")]


@pytest.mark.parametrize(
    "choice", [{}, {"delta": None}, {"delta": {}}, {"delta": {"content": None}}, {"delta": 5}]
)
def test_missing_null_or_empty_delta_says_nothing(choice: dict[str, Any]) -> None:
    assert decoded({"choices": [choice]}, {"choices": []}, {"choices": None}, {}) == []


def test_message_is_read_where_no_delta_has_said_anything() -> None:
    message = {"content": "Hello"}
    empties: list[dict[str, Any]] = [
        {},
        {"delta": None},
        {"delta": {}},
        {"delta": {"role": "assistant", "content": ""}},
    ]
    for empty in empties:
        assert decoded({"choices": [{**empty, "message": message}]}) == [TextDelta(0, "Hello")]
    assert decoded({"choices": [{"delta": {"content": "Hell"}, "message": message}]}) == [
        TextDelta(0, "Hell")
    ]


def test_null_finish_reason_after_a_finish_reason_clears_nothing() -> None:
    reasons = ["", None, "stop", None, "length", ""]
    assert decoded(*(delta({}, finish_reason=reason) for reason in reasons)) == [ChoiceFinished(0, "stop")]


def test_end_of_one_choice_is_not_the_end_of_another() -> None:
    events = decoded(
        delta({}, 1, finish_reason="stop"), delta({"content": "x"}), delta({}, finish_reason="stop")
    )
    assert events == [ChoiceFinished(1, "stop"), TextDelta(0, "x"), ChoiceFinished(0, "stop")]


def test_content_in_parts_is_sorted_into_text_refusal_and_reasoning() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
        "b",
        {"type": "refusal", "refusal": "no"},
        {"type": "image_url", "image_url": {}},
    ]
    events = decoded(delta({"content": content}))
    assert events == [
        *(ReasoningDelta(0, "hm"), TextDelta(0, "a"), TextDelta(0, "b"), RefusalDelta(0, "no")),
        ReasoningField(0, "content"),
    ]


def test_reasoning_under_two_names_is_counted_once() -> None:
    assert decoded(delta({"reasoning": "hm", "reasoning_content": "hm"})) == [ReasoningDelta(0, "hm")]


def test_what_is_spoken_is_a_channel_of_its_own_and_its_sound_is_none() -> None:
    audio = {"transcript": "Hel", "data": "AAEC"}
    assert decoded(delta({"content": None, "audio": audio})) == [AudioTranscriptDelta(0, "Hel")]


@pytest.mark.parametrize(
    ("chunk", "failure"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c", "param": "p"}}, ("m", "t", "c", "p", None)),
        ({"error": {"message": "m", "code": 429}}, ("m", None, "429", None, 429)),
        ({"error": {"error": {"message": "m", "status": 503}}}, ("m", None, None, None, 503)),
        ({"error": "m"}, ("m", None, None, None, None)),
        ({"error": "m", "choices": []}, ("m", None, None, None, None)),
        ({"choices": [{"index": 0, "error": {"message": "m", "code": 502}}]}, ("m", None, "502", None, 502)),
        ({"object": "error", "message": "m", "type": "t", "code": 400}, ("m", "t", "400", None, 400)),
        ({"type": "error", "message": "m", "code": "c"}, ("m", None, "c", None, None)),
        ({"error": {"code": 200}}, (NO_MESSAGE, None, "200", None, None)),
    ],
)  # fmt: skip
def test_error_in_the_stream_is_seen_in_every_form(chunk: dict[str, Any], failure: tuple[Any, ...]) -> None:
    assert decoded(chunk) == [AnswerFailed(*failure)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"code":400,"details":"bad"}', "bad"),
        ('{"error":{"message":"bad"}}', "bad"),
        ('{"error":"bad"}', "bad"),
        ('"bad"', "bad"),
        ("bad", "bad"),
        ("", NO_MESSAGE),
        ("[1]", NO_MESSAGE),
    ],
)
def test_event_named_error_is_an_error_whatever_its_data(data: str, message: str) -> None:
    [failure] = decoded(data, event="error")
    assert isinstance(failure, AnswerFailed)
    assert failure.message == message


@pytest.mark.parametrize("error", [{}, {"error": None}])
def test_answer_that_ends_in_an_error_without_words_has_failed(error: dict[str, Any]) -> None:
    chunk = {**delta({"content": "lo"}, finish_reason="error"), **error}
    assert [type(event) for event in decoded(chunk)] == [TextDelta, ChoiceFinished, AnswerFailed]


def test_words_of_an_error_are_told_where_there_are_some() -> None:
    chunk = {**delta({}, finish_reason="error"), "error": {"message": "m"}}
    assert decoded(chunk) == [ChoiceFinished(0, "error"), AnswerFailed("m", None, None, None, None)]


@pytest.mark.parametrize(
    "reason", ["length", "content_filter", "model_length", "insufficient_system_resource"]
)
def test_answer_that_was_ended_before_its_end_is_cut_short(reason: str) -> None:
    assert decoded(delta({}, finish_reason=reason)) == [ChoiceFinished(0, reason, is_cut_short=True)]


@pytest.mark.parametrize("error", [None, {}, "", False, 0])
def test_empty_error_is_none(error: object) -> None:
    assert decoded({**delta({"content": "x"}), "error": error}) == [TextDelta(0, "x")]


def test_what_an_error_chunk_brings_besides_comes_before_the_error() -> None:
    chunk = {**delta({"content": "x"}, finish_reason="error"), "error": {"message": "m"}, "usage": {"a": 1}}
    assert decoded(chunk) == [
        TextDelta(0, "x"),
        ChoiceFinished(0, "error"),
        UsageReported({"a": 1}),
        AnswerFailed("m", None, None, None, None),
    ]


def test_new_id_on_a_used_index_opens_a_new_call_and_no_id_continues_the_last_of_that_index() -> None:
    assert calls(
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
        {"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}},
        {"index": 0, "id": "", "function": {"name": None, "arguments": "3"}},
    ) == [
        ToolCallDelta(0, 0, "a", "f", "1"),
        ToolCallDelta(0, 1, "b", "g", "2"),
        ToolCallDelta(0, 1, None, None, "3"),
    ]


def test_repeated_id_and_name_are_told_once() -> None:
    fragment = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "x"}}
    assert calls(fragment, fragment) == [
        ToolCallDelta(0, 0, "a", "f", "x"),
        ToolCallDelta(0, 0, None, None, "x"),
    ]


def test_calls_without_an_index_are_told_apart_by_their_id() -> None:
    events = calls(
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"function": {"arguments": "2"}},
        {"id": "b", "function": {"name": "g"}},
        {"id": "a", "function": {"arguments": "3"}},
    )
    assert [(call["id"], call["arguments"]) for call in tool_calls(events, 0)] == [("a", "123"), ("b", "")]


def test_calls_are_numbered_in_the_order_they_open_whatever_their_index() -> None:
    events = calls({"index": 7, "id": "a"}, {"index": 1, "id": "b"})
    assert events == [ToolCallDelta(0, 0, "a", None, ""), ToolCallDelta(0, 1, "b", None, "")]


def test_object_arguments_are_serialised() -> None:
    [event] = calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": {"city": "Tromsø"}}})
    assert event == ToolCallDelta(0, 0, "a", "f", '{"city":"Tromsø"}')


def test_custom_tool_call_is_a_call_with_its_input_as_arguments() -> None:
    [event] = calls({"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}})
    assert event == ToolCallDelta(0, 0, "a", "f", "x")


def test_surrogate_pair_over_two_deltas_becomes_one_character_in_its_own_channel() -> None:
    events = decoded(
        delta({"content": "a\ud83d"}),
        delta({"reasoning": "\ude00"}),
        delta({"content": "\ud83d"}, 1),
        delta({"content": "\ude00b"}),
        delta({"content": "\ude01"}, 1),
    )
    assert events == [
        *(TextDelta(0, "a"), ReasoningDelta(0, "\ufffd"), ReasoningField(0, "reasoning")),
        *(TextDelta(0, "😀b"), TextDelta(1, "😁")),
    ]


@pytest.mark.parametrize("end", [delta({}, finish_reason="stop"), "[DONE]", {"error": "m"}])
def test_half_pair_that_is_never_completed_becomes_a_replacement_character(end: object) -> None:
    assert decoded(delta({"content": "a\ud83d"}), end)[:2] == [TextDelta(0, "a"), TextDelta(0, "\ufffd")]


def test_surrogate_pair_split_in_tool_arguments_is_joined() -> None:
    events = calls(*({"index": 0, "function": {"arguments": half}} for half in ("\ud83d", "\ude00")))
    assert events == [ToolCallDelta(0, 0, None, None, "😀")]


def test_glued_events_are_taken_only_if_every_line_is_one() -> None:
    lines = [json.dumps(delta({"content": text})) for text in "ab"]
    assert decoded("\n".join(lines)) == [TextDelta(0, "a"), TextDelta(0, "b")]
    assert decoded("\n".join([*lines, "[DONE]"])) == [TextDelta(0, "a"), TextDelta(0, "b"), StreamDone()]
    assert decoded("\n".join([*lines, '{"choices":'])) == []
    assert decoded("\n".join([*lines, "5"])) == []


@pytest.mark.parametrize(
    "data", ["", " ", "null", "5", '"x"', "[]", "{", "<html>", "[" * 100_000, "9" * 5000]
)
def test_data_that_is_no_json_object_says_nothing(data: str) -> None:
    assert decoded(data) == []


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3)
KEYS = [
    "index",
    "delta",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "type",
    "text",
    "error",
    "message",
]
KEYS += ["id", "name", "choices", "finish_reason", "usage", "thinking", "code", "reasoning", "function_call"]
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
deltas = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "refusal", "reasoning", "tool_calls", "function_call"), values)
)
choices = st.fixed_dictionaries(
    {}, optional={"index": values, "delta": deltas | values, "finish_reason": values}
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(choices | values, max_size=3) | values},
    optional=dict.fromkeys(("id", "model", "usage", "error", "object", "type"), values),
)


@given(
    st.lists(chunks | values | st.text(max_size=20), max_size=4), st.sampled_from(["message", "error", "x"])
)
@example(["[" * 100_000, '{"choices":' * 50_000], "message")
@example(["[" * 100_000], "error")
def test_no_data_at_all_makes_the_decoder_raise(chunks: list[Any], name: str) -> None:
    for event in decoded(*chunks, event=name):
        if isinstance(event, TextDelta | RefusalDelta | ReasoningDelta):
            assert event.text
            event.text.encode()  # well-formed, or this raises


@given(chunks)
def test_completion_events_end_in_the_sentinel_or_an_error(completion: dict[str, Any]) -> None:
    assert isinstance(completion_events(completion)[-1], StreamDone | AnswerFailed)


COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "m",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "refusal": None,
                "annotations": [{"x": 1}],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
                ],
            },
            "logprobs": {"content": [{"token": "Hi", "logprob": -0.5}]},
            "content_filter_results": {},
            "finish_reason": "tool_calls",
        },
        {"index": 1, "message": {"role": "assistant", "refusal": "No."}, "finish_reason": "stop"},
    ],
    "usage": {"total_tokens": 3},
}


def test_whole_completion_becomes_chunks_without_loss() -> None:
    first, second, first_end, second_end, usage = completion_chunks(COMPLETION)
    kept = {key: COMPLETION[key] for key in ("id", "created", "model", "system_fingerprint", "service_tier")}
    for chunk in (first, second, first_end, second_end, usage):
        assert {key: chunk[key] for key in kept} == kept
        assert chunk["object"] == "chat.completion.chunk"
    [choice] = first["choices"]
    message: dict[str, Any] = COMPLETION["choices"][0]["message"]  # type: ignore[index]
    calls_with_index = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    assert choice["delta"] == {**message, "tool_calls": calls_with_index}
    assert choice["logprobs"] == {"content": [{"token": "Hi", "logprob": -0.5}]}
    assert choice["content_filter_results"] == {}
    assert choice["finish_reason"] is None
    assert [chunk["choices"][0]["finish_reason"] for chunk in (first_end, second_end)] == [
        "tool_calls",
        "stop",
    ]
    assert (usage["choices"], usage["usage"]) == ([], {"total_tokens": 3})


def test_chunks_of_a_completion_say_what_the_completion_says() -> None:
    streamed = decoded(*completion_chunks(COMPLETION), "[DONE]")
    assert sorted(map(repr, streamed)) == sorted(map(repr, completion_events(COMPLETION, 2)))


def test_completion_without_usage_has_no_usage_chunk() -> None:
    assert len(completion_chunks({**COMPLETION, "usage": None})) == 4


@given(chunks)
def test_no_completion_makes_chunking_raise(completion: dict[str, Any]) -> None:
    for chunk in completion_chunks(completion):
        assert chunk["object"] == "chat.completion.chunk"


# -- names, places and repetitions of other providers --------------------------------------------------------


@pytest.mark.parametrize("indexes", [(1, 1), (0, 1), (0, 250), (-1, "7"), (None, 3.0)])
def test_where_one_choice_was_asked_for_all_entries_are_of_it(indexes: tuple[Any, Any]) -> None:
    first, second = indexes
    chunks = [delta({"content": "a"}, first), delta({"content": "b"}, second), delta({}, second)]
    chunks[2]["choices"][0]["finish_reason"] = "stop"
    expected = [TextDelta(0, "a"), TextDelta(0, "b"), ChoiceFinished(0, "stop")]
    assert decoded(*chunks, choices=1) == expected
    document = {
        "choices": [{**choice, "message": choice.pop("delta")} for c in chunks for choice in c["choices"]]
    }
    assert completion_events(document)[:-1] == expected


def test_where_several_were_asked_for_each_keeps_its_own() -> None:
    chunks = [delta({"content": "a"}, 0), delta({"content": "b"}, 1)]
    assert decoded(*chunks, choices=2) == [TextDelta(0, "a"), TextDelta(1, "b")]


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_text": "hm", "reasoning_opaque": "abc="},
        {"thinking": "hm"},
        {"thinking": {"content": "hm", "signature": "s"}},
        {"reasoning": ["h", {"type": "text", "text": "m"}]},
        {"reasoning_content": {"text": "hm"}},
        {"reasoning_content": "", "reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "abc="}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
        {"content": [{"type": "reasoning", "text": "hm"}]},
    ],
)
def test_reasoning_is_told_once_under_whatever_name(said: dict[str, Any]) -> None:
    assert words(decoded(delta(said))) == [ReasoningDelta(0, "hm")]
    assert words(decoded({"choices": [{"message": said}]})) == [ReasoningDelta(0, "hm")]


@pytest.mark.parametrize(
    "sealed",
    [
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "abc="}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "abc="}]},
        {"reasoning": None, "thinking": True, "reasoning_content": 5},
    ],
)
def test_what_is_no_text_of_reasoning_says_nothing(sealed: dict[str, Any]) -> None:
    assert words(decoded(delta(sealed))) == []


def test_message_behind_deltas_counts_in_the_channels_that_have_said_nothing() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi.", "refusal": "no", "reasoning": "hm", "tool_calls": [call, call]}
    whole = {"index": 0, "delta": {}, "message": message, "finish_reason": "tool_calls"}
    events = decoded(
        delta({"content": "Hi"}), delta({"thinking": "hm"}), {"choices": [whole]}, {"choices": [whole]}
    )
    assert words(events) == [
        TextDelta(0, "Hi"),
        ReasoningDelta(0, "hm"),
        RefusalDelta(0, "no"),
        ToolCallDelta(0, 0, "c", "f", ""),
        ToolCallDelta(0, 0, None, None, "{}"),
        ChoiceFinished(0, "tool_calls"),
    ]


def test_calls_of_a_message_without_ids_are_as_many_as_it_has() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    events = completion_events(
        {"choices": [{"message": {"tool_calls": [call, call]}, "finish_reason": "stop"}]}
    )
    assert events[:2] == [ToolCallDelta(0, place, None, "f", '{"a":1}') for place in (0, 1)]


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [{"index": 0, "usage": {"total_tokens": 3}}]},
        {"choices": [], "x_groq": {"usage": {"total_tokens": 3}}},
        {"choices": [{"usage": {"total_tokens": 4}}], "usage": {"total_tokens": 3}},
        {"usage": {}, "choices": [None, {}, {"usage": {"total_tokens": 3}}]},
    ],
)
def test_usage_is_found_where_providers_put_it(chunk: dict[str, Any]) -> None:
    assert decoded(chunk) == [UsageReported({"total_tokens": 3})]


def test_failed_finish_reason_is_an_error_that_names_it() -> None:
    events = decoded(delta({"content": "a"}, finish_reason="network_error"))
    assert events[:2] == [TextDelta(0, "a"), ChoiceFinished(0, "network_error")]
    assert isinstance(events[2], AnswerFailed)
    assert '"network_error"' in events[2].message


@pytest.mark.parametrize("said", [{"message": "no"}, {"msg": "no"}, {"reason": "no", "id": "1"}])
def test_words_alone_are_a_failure_where_the_sentinel_follows_them(said: dict[str, Any]) -> None:
    assert not [event for event in decoded(said) if isinstance(event, AnswerFailed)]
    assert AnswerFailed("no", None, None, None, None) in decoded(said, "[DONE]")
    assert AnswerFailed("no", None, None, None, None) in decoded(delta({"content": "a"}), said, "[DONE]")
    finished = delta({"content": "a"}, finish_reason="stop")
    assert decoded(finished, said, "[DONE]")[-1] == StreamDone()
    assert decoded(said, delta({"content": "a"}), "[DONE]")[-1] == StreamDone()
    assert decoded(delta({"content": "a"}), {**said, "type": "progress"}, "[DONE]")[-1] == StreamDone()


def test_a_sentinel_without_any_answer_is_no_end_of_one() -> None:
    [failed] = decoded("[DONE]")
    assert isinstance(failed, AnswerFailed)
    assert decoded({"error": {"message": "m"}}, "[DONE]")[-1] == StreamDone()
