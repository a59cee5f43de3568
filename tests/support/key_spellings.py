"""A key in all the ways in which JSON can escape it, character by character."""

from __future__ import annotations

import json

from hypothesis import strategies as st

_SHORT = {"/": "\\/", '"': '\\"', "\\": "\\\\"}


def _spellings(character: str) -> list[str]:
    """The ways to write a character in a JSON string."""
    code = f"{ord(character):04x}"
    spelled = [f"\\u{code}", f"\\u{code.upper()}"]
    if character in _SHORT:
        spelled.append(_SHORT[character])
    if character not in '"\\':
        spelled.append(character)
    return spelled


@st.composite
def spelled(draw: st.DrawFn, text: str) -> str:
    """The text as the inside of a JSON string, with any escapes."""
    return "".join(draw(st.sampled_from(_spellings(character))) for character in text)


@st.composite
def nested(draw: st.DrawFn, text: str, depth: int) -> str:
    """The inside of a JSON string that holds JSON, and so on to `depth`; the innermost string is the text."""
    inside = draw(spelled(text))
    for _ in range(depth):
        inside = draw(spelled(f'{{"a": "{inside}"}}'))
    return inside


def keys() -> st.SearchStrategy[str]:
    """Keys of printable ASCII that are long enough to be redacted in answers."""
    common = st.text("abcXYZ019-_/+=.", min_size=16, max_size=24)
    return common | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=16, max_size=24)


def strings_in(text: str) -> list[str]:
    """Every string in a JSON document, names of members included; the text itself if it is not JSON."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        for name, value in pairs:
            found.append(name)
            _note_strings(value, found)

    try:
        _note_strings(json.loads(text, object_pairs_hook=note), found)
    except ValueError:
        return [text]
    return found


def _note_strings(value: object, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        for item in value:
            _note_strings(item, found)
