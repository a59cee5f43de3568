"""No answer shows the relay's own key, whatever its format, its place in an event or its JSON escapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from tests.support.key_spellings import keys, nested, strings_in
from tests.support.runtime.relaying import RelayCall, Relayed
from tests.support.upstreams.replay_upstream import DONE, Reply, event

KEY = "sk-a/key+of=the-usual-length=="
SLASHED = KEY.replace("/", "\\/")
FORMATS = [
    ("text", "chat"),
    ("sse", "chat"),
    ("event-source", "chat"),
    ("ui-message", "chat"),
    ("json", "chat"),
]
FORMATS += [("responses-sse", "responses"), ("json", "responses")]
DIALECTS: dict[str, Dialect] = {"chat": CHAT_COMPLETIONS, "responses": responses_dialect()}

# TEXT stands for the content of a JSON string.
CHAT_EVENTS = {
    "text": '{"choices":[{"index":0,"delta":{"content":"TEXT"}}]}',
    "text of a run": '{"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}\n\ndata: ' * 3
    + '{"id":"c","choices":[{"index":0,"delta":{"content":"TEXT"}}]}',
    "padding": '{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":"TEXT"}',
    "refusal": '{"choices":[{"index":0,"delta":{"refusal":"TEXT"}}]}',
    "reasoning": '{"choices":[{"index":0,"delta":{"reasoning_content":"TEXT"}}]}',
    "arguments": '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function",'
    '"function":{"name":"f","arguments":"{\\"a\\": \\"TEXT\\"}"}}]}}]}',
    "name of a tool": '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","function":'
    '{"name":"TEXT","arguments":"{}"}}]}}]}',
    "name of a member": '{"TEXT":1,"choices":[{"index":0,"delta":{"content":"x"}}]}',
    "a member that comes twice": '{"choices":[{"index":0,"delta":{"content":"TEXT","content":"x"}}]}',
    "usage": '{"choices":[],"usage":{"total_tokens":1,"TEXT":["TEXT"]}}',
    "model": '{"model":"TEXT","choices":[{"index":0,"delta":{"content":"x"}}]}',
    "no JSON": '{"choices": "TEXT',
    "error": '{"error":{"message":"TEXT","code":"TEXT"}}',
    "finish_reason": '{"choices":[{"index":0,"delta":{},"finish_reason":"TEXT"}]}',
}
RESPONSE = '{"id":"r","object":"response","status":"completed","output":[{"type":"message","id":"m","role":'
RESPONSE += '"assistant","content":[{"type":"output_text","text":"TEXT"}]}]}'
RESPONSE_EVENTS = {
    "text": '{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,'
    '"delta":"TEXT"}',
    "whole": f'{{"type":"response.completed","response":{RESPONSE}}}',
    "error": '{"type":"error","code":"TEXT","message":"TEXT","sequence_number":5}',
}
ENDING = {"chat": event(finish="stop") + DONE, "responses": b""}


def assert_hidden(got: Relayed, key: str) -> None:
    """The key is in neither the bytes nor a string of a document in them, nor in headers or transcript."""
    shown = got.data.decode()
    assert key not in shown
    for line in shown.split("\n"):
        for text in strings_in(line.removeprefix("data: ")):
            assert key not in text
    for text in (*strings_in(json.dumps(got.transcript)), *got.headers.values(), str(got.body.error)):
        assert key not in text


def streamed(text: str, api: str) -> Reply:
    last = "" if api == "chat" else RESPONSE_EVENTS["whole"].replace("TEXT", "x")
    tail = ENDING[api] or f"event: response.completed\ndata: {last}\n\n".encode()
    name = f"event: {json.loads(text)['type']}\n" if api == "responses" else ""
    return Reply([f"{name}data: {text}\n\n".encode() + tail])


def places() -> list[tuple[str, str, str]]:
    events = {"chat": CHAT_EVENTS, "responses": RESPONSE_EVENTS}
    return [(fmt, api, place) for fmt, api in FORMATS for place in events[api]]


def template(api: str, place: str) -> str:
    return (CHAT_EVENTS if api == "chat" else RESPONSE_EVENTS)[place]


@pytest.mark.parametrize(("fmt", "api", "place"), places())
def test_no_format_shows_a_key_in_an_event(relay: RelayCall, fmt: str, api: str, place: str) -> None:
    spelled = SLASHED.replace("s", "\\u0073")
    inside = spelled.replace("\\", "\\\\") if place == "arguments" else spelled
    reply = streamed(template(api, place).replace("TEXT", f"It is {inside}."), api)
    assert_hidden(relay(reply, fmt=fmt, dialect=DIALECTS[api], openai_api_key=KEY), KEY)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), keys(), st.sampled_from(places()))
def test_no_format_shows_any_key_however_it_is_escaped(
    relay: RelayCall, data: st.DataObject, key: str, where: tuple[str, str, str]
) -> None:
    fmt, api, place = where
    depth = 1 if place == "arguments" else data.draw(st.integers(0, 1))
    inside = data.draw(nested(key, depth))
    text = template(api, place)
    text = text.replace('{\\"a\\": \\"TEXT\\"}', "TEXT").replace("TEXT", inside)
    assert_hidden(relay(streamed(text, api), fmt=fmt, dialect=DIALECTS[api], openai_api_key=key), key)


@pytest.mark.parametrize("spelled", [KEY, SLASHED])
@pytest.mark.parametrize(("fmt", "status"), [("json", 200), ("sse", 200), ("text", 200), ("json", 400)])
def test_no_document_or_error_shows_the_key(relay: RelayCall, fmt: str, status: int, spelled: str) -> None:
    message = f'{{"role":"assistant","content":"{spelled}","{spelled}":1}}'
    for body in (
        f'{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}',
        f'{{"error":{{"message":"{spelled}","{spelled}":["{spelled}"]}}}}',
        f'{{"detail":"{spelled}"}}',
    ):
        reply = Reply([body.encode()], status, {"content-type": "application/json", "x-request-id": KEY})
        assert_hidden(relay(reply, fmt=fmt, upstream_retries=0, openai_api_key=KEY), KEY)


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_a_key_split_across_two_deltas_in_one_write_is_not_shown(relay: RelayCall, fmt: str) -> None:
    deltas: Any = [
        event("x") * 2 + event("x " + KEY[:9]) + event(KEY[9:] + ".") + event(finish="stop") + DONE
    ]
    assert_hidden(relay(Reply(deltas), fmt=fmt, openai_api_key=KEY), KEY)


def test_arguments_from_several_deltas_are_announced_without_the_key(relay: RelayCall) -> None:
    def delta(arguments: str) -> bytes:
        call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": arguments}}
        return (
            b"data: "
            + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).encode()
            + b"\n\n"
        )

    pieces: list[Any] = [delta('{"a": "sk-a\\/key+of'), 0.05, delta('=the-usual-length=="}')]
    got = relay(Reply([*pieces, event(finish="tool_calls"), DONE]), fmt="ui-message", openai_api_key=KEY)
    assert b"tool-input-available" in got.data
    assert_hidden(got, KEY)
