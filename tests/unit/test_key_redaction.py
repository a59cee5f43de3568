from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_stream.sse import EventStreamParser, ServerSentEvent
from key_redaction import KeyRedaction, redacted_value

KEY = "sk-a-key-of-the-usual-length"
ESCAPED = KEY.replace("s", "\\u0073").replace("k", "\\u006B")


def event(data: str, name: str = "") -> ServerSentEvent:
    raw = (f"event: {name}\n" if name else "") + f"data: {data}\n\n"
    return EventStreamParser().feed(raw.encode())[0]


def test_an_error_loses_every_key_in_both_spellings() -> None:
    assert KeyRedaction('a"b').text('a"b and a\\"b') == "[redacted] and [redacted]"
    assert KeyRedaction("").text("nothing") == "nothing"


@pytest.mark.parametrize("spelled", [KEY, ESCAPED])
@pytest.mark.parametrize("name", ["", "response.failed"])
def test_an_event_that_says_the_key_is_written_without_it(spelled: str, name: str) -> None:
    redacted = KeyRedaction(KEY).event(event(f'{{"a": ["It is {spelled}."]}}', name))
    assert json.loads(redacted.data) == {"a": ["It is [redacted]."]}
    again = EventStreamParser().feed(redacted.raw)
    assert [(e.event, e.data) for e in again] == [(redacted.event, redacted.data)]
    assert redacted.event == (name or "message")


def test_words_that_are_no_json_and_comments_lose_it_too() -> None:
    assert KeyRedaction(KEY).event(event(f"not JSON {KEY}")).data == "not JSON [redacted]"
    parsed = EventStreamParser().feed(f": {KEY}\ndata: x\n\n".encode())[0]
    assert KEY.encode() not in KeyRedaction(KEY).event(parsed).raw


@pytest.mark.parametrize("spelled", [KEY, ESCAPED])
def test_a_body_and_a_document_lose_it(spelled: str) -> None:
    body = KeyRedaction(KEY).data(f'{{"a": {{"{spelled}": "{spelled}"}}}}'.encode())
    assert json.loads(body) == {"a": {"[redacted]": "[redacted]"}}
    assert KeyRedaction(KEY).document({"a": [KEY]}) == {"a": ["[redacted]"]}


def test_what_does_not_say_it_stays_the_same_object() -> None:
    redaction = KeyRedaction(KEY)
    plain, document = event('{"a": "\\u0073k, \\u00e9"}'), {"a": "sk"}
    assert redaction.event(plain) is plain
    assert redaction.document(document) is document
    assert redaction.data(plain.raw) is plain.raw


def test_a_key_that_may_be_a_word_takes_nothing_from_an_answer() -> None:
    plain = event('{"a": "ollama"}')
    assert KeyRedaction("ollama").event(plain) is plain
    assert KeyRedaction("ollama").document({"a": "ollama"}) == {"a": "ollama"}


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.text())
def test_a_good_documents_bytes_are_never_changed(value: object, text: str) -> None:
    for data in (json.dumps(value), json.dumps(value, ensure_ascii=False), text):
        encoded = data.encode("utf-8", "surrogatepass")
        assert KeyRedaction(KEY).data(encoded) == encoded


def test_every_name_and_text_of_a_value_is_passed_through() -> None:
    assert redacted_value({"a": ["b", 1, None]}, str.upper) == {"A": ["B", 1, None]}
