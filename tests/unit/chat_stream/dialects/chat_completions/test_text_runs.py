"""Text runs: which events a frame is learned from, and which events are read as a run."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.dialects.chat_completions.text_runs import TextRuns
from chat_stream.events import ChatEvent, ReasoningDelta, TextDelta
from chat_stream.sse import EventStreamParser

OPENAI = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764400000,"model":"gpt-6-luna",'
    '"service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":TEXT},'
    '"logprobs":null,"finish_reason":null}]}'
)
FRAMES = {
    "openai": OPENAI,
    "openai with padding": OPENAI[:-1] + ',"usage":null,"obfuscation":PADDING}',
    "a role each time": '{"choices":[{"delta":{"role":"assistant","content":TEXT},"index":0}]}',
    "nulls": '{"choices":[{"delta":{"content":TEXT,"refusal":null,"tool_calls":[]}}],"error":null}',
    "spaces": '  {"choices": [{"index": 0, "delta": {"content":   TEXT }}], "obfuscation": PADDING }  ',
    "spaces in the padding": '{"choices":[{"delta":{"content":TEXT}}],"obfuscation":  PADDING , "x": 1}',
    "escapes": '{"model":"a\\/b \\u00e9","choices":[{"delta":{"content":TEXT}}]}',
    "beyond ascii": '{"model":"模型","choices":[{"delta":{"content":TEXT}}],"é":1}',
}
each_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


def event_in(frame: str, text: str, padding: str = "", *, ascii_only: bool = True) -> bytes:
    """The event with this frame, text and padding."""
    data = frame.replace("TEXT", json.dumps(text, ensure_ascii=ascii_only))
    return raw_event(data.replace("PADDING", json.dumps(padding)))


def raw_event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def runs_after(*events: bytes) -> TextRuns:
    """TextRuns that have learned from these events, decoded one after the other."""
    runs, parser, decoder = TextRuns(), EventStreamParser(), ChatCompletionDecoder(2)
    for data in events:
        for event in parser.feed(data):
            runs.learn(event, decoder.decode(event))
    return runs


def runs_for(frame: str) -> TextRuns:
    """TextRuns that know the frame: of two events, because the first one also starts the answer."""
    return runs_after(event_in(frame, "a", "x"), event_in(frame, "b", "y"))


@each_frame
@pytest.mark.parametrize("ascii_only", [True, False])
def test_events_in_a_known_frame_are_one_run(frame: str, ascii_only: bool) -> None:
    texts = ["Hel", "lo\n", "", ' "', "é", "世界", "😀", "\\", "}", "\u2028"]
    data = b"".join(event_in(frame, text, "x" * n, ascii_only=ascii_only) for n, text in enumerate(texts))
    run = (len(data), "".join(texts), len(texts) - 1)
    assert runs_for(frame).take(data, 0) == run
    assert runs_for(frame).take(b"..." + data, 3) == (len(data) + 3, *run[1:])
    in_part = runs_for(frame).take(data + data[:-1], 0)
    assert in_part is not None
    assert in_part[1:] == (run[1] + run[1][:-1], 2 * run[2] - 1)


@given(st.lists(st.text(), min_size=1), st.sampled_from(sorted(FRAMES)), st.booleans(), st.text("aZ09"))
def test_text_of_a_run_is_that_of_its_events(
    texts: list[str], frame: str, ascii_only: bool, padding: str
) -> None:
    data = b"".join(event_in(FRAMES[frame], text, padding, ascii_only=ascii_only) for text in texts)
    assert reads_as_one_run(runs_for(FRAMES[frame]), data, texts) or any(
        "\\u00" in json.dumps(text) for text in texts
    )


def reads_as_one_run(runs: TextRuns, data: bytes, texts: Sequence[str]) -> bool:
    whole = "".join(texts)
    run = runs.take(data, 0)
    return run == ((len(data), whole, sum(map(bool, texts))) if whole else None)


BROKEN = {
    "an incomplete event": event_in(OPENAI, "b")[:-1],
    "an event without its blank line": event_in(OPENAI, "b")[:-2] + b"\ndata: x\n\n",
    "another frame": event_in(OPENAI.replace("null}", '"stop"}'), "b"),
    "another beginning": b" " + event_in(OPENAI, "b"),
    "half of a surrogate pair": event_in(OPENAI, "\ud83d"),
    "the other half of a surrogate pair": event_in(OPENAI, "\ude00b"),
    "a control character": raw_event(OPENAI.replace("TEXT", '"\x01"')),
    "an invalid escape": raw_event(OPENAI.replace("TEXT", '"\\x"')),
    "a quote too many": raw_event(OPENAI.replace("TEXT", '"""')),
    "another value": raw_event(OPENAI.replace("TEXT", "null")),
    "invalid UTF-8": raw_event(OPENAI.replace("TEXT", '"@"')).replace(b"@", b"\xe4\xb8"),
    "UTF-8 cut within a character": raw_event(OPENAI.replace("TEXT", '"@')).replace(b"@", b"\xe4"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_run_ends_before_an_event_that_does_not_match(broken: bytes) -> None:
    good = event_in(OPENAI, "a")
    assert runs_for(OPENAI).take(good + broken + good, 0) == (len(good), "a", 1)
    assert runs_for(OPENAI).take(broken + good, 0) is None


@pytest.mark.parametrize(
    "padding", ['"\\u0073k"', '"\\n"', '"', '"\x01"', "null", '"","error":{}', '"a","obfuscation":"b"']
)
def test_run_ends_before_padding_that_is_more_than_letters(padding: str) -> None:
    frame = FRAMES["openai with padding"]
    odd = raw_event(frame.replace("TEXT", '"b"').replace("PADDING", padding))
    good = event_in(frame, "a", "xyz")
    assert runs_for(frame).take(good + odd + good, 0) == (len(good), "a", 1)


def test_events_without_text_do_not_form_a_run() -> None:
    assert runs_for(OPENAI).take(event_in(OPENAI, "") * 3, 0) is None
    assert runs_for(OPENAI).take(b"", 0) is None


UNLEARNABLE = {
    "an event of another type": b"event: x\n" + event_in(OPENAI, "b"),
    "a comment before it": b": c\n" + event_in(OPENAI, "b"),
    "a field after it": event_in(OPENAI, "b")[:-1] + b"id: 1\n\n",
    "CRLF": event_in(OPENAI, "b").replace(b"\n", b"\r\n"),
    "no space after the colon": event_in(OPENAI, "b").replace(b": {", b":{", 1),
    "two lines": event_in(OPENAI, "b").replace(b',"logprobs"', b',\ndata: "logprobs"'),
    "invalid UTF-8": event_in(OPENAI, "b").replace(b"fp_1", b"\xff"),
    "another choice": event_in(OPENAI.replace('"index":0', '"index":1'), "b"),
    "two choices": event_in(OPENAI.replace('"choices":[', '"choices":[{"index":1},'), "b"),
    "two choices, the first one with text": event_in(OPENAI.replace("null}]", "null},{}]"), "b"),
    "a message": event_in(OPENAI.replace('"delta"', '"message"'), "b"),
    "a message in place of a delta": event_in(OPENAI.replace('"delta":', '"delta":null,"message":'), "b"),
    "parts": event_in(OPENAI.replace("TEXT", '[{"type":"text","text":TEXT,"content":"b"}]'), "b"),
    "another text before": event_in(OPENAI.replace('"id"', '"x":{"content":"b"},"id"'), "b"),
    "a later text": event_in(OPENAI.replace("TEXT", 'TEXT,"content":"b"'), "b"),
    "half of a surrogate pair": event_in(OPENAI, "b\ud83d"),
    "half of a surrogate pair elsewhere": event_in(OPENAI.replace("TEXT", 'TEXT,"refusal":"\\ud83d"'), "b"),
    "a call without new content": event_in(OPENAI.replace("TEXT", 'TEXT,"tool_calls":[{}]'), "b"),
    "the text of the probe": event_in(OPENAI, "the text of another delta"),
    "padding equal to the text of the probe": event_in(
        FRAMES["openai with padding"], "b", "the text of another delta"
    ),
    "padding elsewhere": event_in(OPENAI.replace("TEXT", 'TEXT,"obfuscation":""'), "b"),
    "padding twice": event_in(OPENAI.replace("null}]", 'null}],"obfuscation":"a","obfuscation":"b"'), "b"),
    "a number too long to parse": event_in(OPENAI.replace("1764400000", "1" * 4301), "b"),
    "an end": event_in(OPENAI.replace("null}]", '"stop"}]'), "b"),
    "usage": event_in(OPENAI.replace('"id"', '"usage":{"n":1},"id"'), "b"),
    "reasoning": event_in(OPENAI.replace('"content"', '"reasoning"'), "b"),
    "invalid JSON": b'data: "content":"b"\n\n',
    "no text": b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("event", UNLEARNABLE.values(), ids=UNLEARNABLE.keys())
def test_no_frame_is_learned_from_an_event_that_may_hold_more_than_text(event: bytes) -> None:
    runs = runs_after(b'data: {"id":"c","choices":[]}\n\n', event)
    assert runs.take(event, 0) is None


@pytest.mark.parametrize("event", UNLEARNABLE.values(), ids=UNLEARNABLE.keys())
def test_no_run_follows_an_event_that_may_hold_more_than_text(event: bytes) -> None:
    good = event_in(OPENAI, "a")
    runs = runs_after(good, good, event)
    if event != UNLEARNABLE["the text of the probe"]:  # it matches a frame that is known already
        assert runs.take(good, 0) is None
    assert runs_after(good, good, event, b"\n" + good, good).take(good, 0) == (len(good), "a", 1)


def learns_from(*chat_events: ChatEvent) -> bool:
    """Whether a frame is learned from an event that supposedly decodes to these chat events."""
    [event] = EventStreamParser().feed(event_in(OPENAI, "b"))
    runs = TextRuns()
    runs.learn(event, chat_events)
    return runs.take(event.raw, 0) is not None


def test_only_an_event_with_one_text_of_the_first_choice_is_learned_from() -> None:
    text = TextDelta(0, "b")
    assert learns_from(text)
    assert not learns_from()
    assert not learns_from(text, text)
    assert not learns_from(TextDelta(1, "b"))
    assert not learns_from(TextDelta(0, "c"))
    assert not learns_from(ReasoningDelta(0, "b"))


def test_deeply_nested_event_is_not_learned_from() -> None:
    deep = OPENAI.replace("1764400000", "[" * 100_000 + "]" * 100_000)
    [event] = EventStreamParser().feed(event_in(deep, "b"))
    runs = TextRuns()
    runs.learn(event, [TextDelta(0, "b")])
    assert runs.take(event.raw, 0) is None


def test_new_frame_replaces_the_old_one() -> None:
    later = OPENAI.replace("1764400000", "1764400001")
    runs = runs_after(event_in(OPENAI, "a"), event_in(OPENAI, "a"), event_in(later, "b"))
    assert runs.take(event_in(later, "c"), 0) == (len(event_in(later, "c")), "c", 1)
    assert runs.take(event_in(OPENAI, "c"), 0) is None


def in_time(second: int) -> bytes:
    return event_in(OPENAI.replace("1764400000", str(second)), "a")


def test_learning_stops_if_the_frame_changes_with_each_event() -> None:
    runs = runs_after(*map(in_time, range(3)))
    assert runs.take(in_time(2), 0)
    runs = runs_after(*map(in_time, range(30)))
    assert runs.take(in_time(29), 0) is None


def test_learning_continues_if_the_frame_changes_now_and_then() -> None:
    parser, decoder, runs = EventStreamParser(), ChatCompletionDecoder(), TextRuns()
    taken = 0
    for second in range(100):
        [event] = parser.feed(in_time(second))
        runs.learn(event, decoder.decode(event))
        taken += runs.take(in_time(second) * 9, 0) is not None
    assert taken >= 99
