"""The relay's own key is removed from what the upstream sends, in every spelling that JSON allows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.key_spellings import keys, nested, spelled
from upstream.key_redaction import MAX_DEPTH, REDACTED, KeyRedaction, redacted_value

KEY = "sk-a/key+of=the-usual-length=="
SPELLINGS = {
    "as it is": KEY,
    "slashes": KEY.replace("/", "\\/"),
    "slashes as codes": KEY.replace("/", "\\u002f"),
    "slashes as codes in capitals": KEY.replace("/", "\\u002F"),
    "letters as codes": KEY.replace("s", "\\u0073").replace("k", "\\u006B"),
    "all of it": "".join(f"\\u{ord(character):04x}" for character in KEY),
    "in arguments": KEY.replace("/", "\\\\/"),
    "codes in arguments": KEY.replace("/", "\\\\u002f"),
    "a code for the backslash of a code": KEY.replace("/", "\\u005cu002f"),
    "some in arguments and some not": KEY.replace("/", "\\\\/").replace("=", "\\u003d"),
}
each_spelling = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())


def test_an_error_loses_every_key_however_short() -> None:
    assert KeyRedaction('a"b').text('a"b and a\\"b') == "[redacted] and [redacted]"
    assert KeyRedaction("a/b").text("a/b, a\\/b, \\u0061\\u002Fb") == "[redacted], [redacted], [redacted]"
    assert KeyRedaction("").text("nothing \\u0061") == "nothing \\u0061"


@each_spelling
@pytest.mark.parametrize(
    "frame", ['{"a": ["It is %s."]}', '{"%s": 1}', 'no JSON: "%s', '{"a":"%s","a":1}', "%s"]
)
def test_bytes_lose_the_key_and_nothing_else(spelling: str, frame: str) -> None:
    redacted = KeyRedaction(KEY).data(f"data: {frame % spelling}é\n\n".encode())
    assert redacted == f"data: {frame % REDACTED}é\n\n".encode()


@each_spelling
def test_every_place_is_found_however_many_there_are(spelling: str) -> None:
    assert KeyRedaction(KEY).text(f"{spelling}{KEY}, {spelling}") == "[redacted][redacted], [redacted]"


@pytest.mark.parametrize(
    "around", ["\\n%s", "\\\\%s\\\\", '\\"%s\\"', "\\u00e9%s\\ud83d\\ude00", "\\ud83d%s"]
)
def test_escapes_beside_the_key_stay_whole(around: str) -> None:
    redacted = KeyRedaction(KEY).text(f'"{around % KEY}"')
    assert redacted == f'"{around % REDACTED}"'
    json.loads(redacted)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("nvapi-0123456789ab", '"\\nvapi-0123456789ab"'),
        ("0041bcdefghijklmnop", '"\\u0041bcdefghijklmnop"'),
        ("41bcdefghijklmnop-1", '"\\u0041bcdefghijklmnop-1"'),
        ("abcdefghijklmnop-\\", '"abcdefghijklmnop-\\"b"'),
    ],
)
def test_an_escape_that_the_key_begins_or_ends_in_is_removed_whole(key: str, text: str) -> None:
    redacted = KeyRedaction(key).data(text.encode()).decode()
    assert key not in redacted
    assert REDACTED in json.loads(redacted)


@each_spelling
def test_a_document_loses_the_key_in_names_texts_and_arguments(spelling: str) -> None:
    arguments = f'{{"path": "{spelling}"'  # incomplete, as in a stream
    redacted = KeyRedaction(KEY).document({"a": [KEY], KEY: 1, "arguments": arguments})
    assert redacted == {"a": [REDACTED], REDACTED: 1, "arguments": f'{{"path": "{REDACTED}"'}


def test_data_without_the_key_is_returned_as_the_same_object() -> None:
    redaction = KeyRedaction(KEY)
    document = {"a": "sk"}
    for data in (b'data: {"a": "\\u0073k, \\u00e9, \\/, \\n"}\n\n', b"", b"\xff\\"):
        assert redaction.data(data) is data
    assert redaction.document(document) is document


def test_a_short_key_is_not_removed_from_an_answer() -> None:
    plain = b'data: {"a": "ollama"}\n\n'
    assert KeyRedaction("ollama").data(plain) is plain
    assert KeyRedaction("ollama").document({"a": "ollama"}) == {"a": "ollama"}


@pytest.mark.parametrize("run", ["\\", "\\u005c", "\\u0073", "\\/", KEY, "\\\\u005cu005c"])
def test_long_runs_take_linear_time(run: str) -> None:
    """With quadratic time this test would not end in any reasonable time."""
    KeyRedaction(KEY).data((run * (1_000_000 // len(run))).encode() + b"\\u0073k")


@given(st.data(), keys(), st.integers(0, MAX_DEPTH - 1))
def test_no_spelling_of_any_key_is_left_after_decoding(data: st.DataObject, key: str, depth: int) -> None:
    text = data.draw(nested(key, depth))
    redacted = KeyRedaction(key).data(f'{{"b": ["{text}"]}}'.encode()).decode()
    for _ in range(depth + 1):
        assert key not in redacted
        redacted = "".join(json.loads(redacted)["b" if "b" in redacted[:4] else "a"])
    assert key not in redacted


@given(st.data(), keys())
def test_names_of_members_lose_the_key_too(data: st.DataObject, key: str) -> None:
    text = f'{{"{data.draw(spelled(key))}": 1}}'
    assert all(key not in name for name in json.loads(KeyRedaction(key).data(text.encode())))


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.text())
def test_a_good_documents_bytes_are_never_changed(value: object, text: str) -> None:
    for data in (json.dumps(value), json.dumps(value, ensure_ascii=False), text):
        encoded = data.encode("utf-8", "surrogatepass")
        assert KeyRedaction(KEY).data(encoded) == encoded


def test_redacted_value_changes_every_name_and_text() -> None:
    assert redacted_value({"a": ["b", 1, None]}, str.upper) == {"A": ["B", 1, None]}
