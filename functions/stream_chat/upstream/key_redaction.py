"""Removes the relay's own key from what the upstream sends, in case the upstream repeats it (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

REDACTED = "[redacted]"

# A shorter key may be an ordinary word in good answers; such keys are for models on one's own machine.
MIN_KEY_CHARACTERS = 16

# JSON within a JSON string, such as a tool call's arguments, escapes its escapes. Deeper levels are not read.
MAX_DEPTH = 4

# JSON's escapes (RFC 8259, 7): each stands for one character.
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

Value = TypeVar("Value")


class KeyRedaction:
    """Removes one key from texts, bytes and documents, in every spelling that JSON allows.

    `text`, for errors, removes any key. The other methods remove keys of at least MIN_KEY_CHARACTERS, so that
    no good answer is changed. A key split across deltas stays in the stream unless the deltas are written
    together; it is removed from whole documents, such as transcripts.
    """

    def __init__(self, key: str = "") -> None:
        self._key = key
        self._is_long = len(key) >= MIN_KEY_CHARACTERS
        self._bytes = key.encode()
        # Every escaped spelling of the key contains one of these: all but three characters have only the
        # \u escape. Ordinary text hardly ever contains one.
        short = [re.escape(character) for character in '"/\\' if character in key]
        escapes = rf"\\(?:{'|'.join(('u00[2-7]', *short))})"
        self._escapes = re.compile(escapes)
        self._escaped_bytes = re.compile(escapes.encode("ascii"))

    def text(self, text: str) -> str:
        """The text without the key, whether spelled plainly or with JSON's escapes."""
        if not self._key or not (self._key in text or self._escapes.search(text)):
            return text
        while spans := _key_spans(self._key, text):
            pieces, start = [], 0
            for begin, end in spans:
                pieces.append(text[start:begin])
                start = end
            text = REDACTED.join((*pieces, text[start:]))
        return text

    def data(self, data: bytes) -> bytes:
        """The bytes without the key; most often `data` itself."""
        if not self._is_long:
            return data
        if self._bytes in data or (b"\\" in data and self._escaped_bytes.search(data)):
            text = data.decode("latin-1")  # maps each byte to one character and back
            redacted = self.text(text)
            return data if redacted == text else redacted.encode("latin-1")
        return data

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """The JSON document without the key in any name or text; most often `document` itself."""
        if not self._is_long:
            return document
        try:
            text = json.dumps(document)
            redacted = self.text(text)
            return document if redacted == text else dict(json.loads(redacted))
        except RecursionError:  # too deep to be written whole: writing it truncates its depths
            return document


def redacted_value(value: Value, redacted: Callable[[str], str]) -> Value:
    """A JSON value with every name and text in it passed through `redacted`."""
    changed: Any = value
    if isinstance(value, str):
        changed = redacted(value)
    elif isinstance(value, list):
        changed = [redacted_value(item, redacted) for item in value]
    elif isinstance(value, dict):
        changed = {redacted(name): redacted_value(item, redacted) for name, item in value.items()}
    return changed  # type: ignore[no-any-return]


def _key_spans(key: str, text: str) -> list[tuple[int, int]]:
    """The start and end of each place where the text spells the key, without overlaps.

    Searches the text itself, then the text with its escapes decoded, then that with its escapes decoded, and
    so on.
    """
    read = [text]
    while key not in read[-1]:
        if len(read) > MAX_DEPTH or "\\" not in read[-1]:
            return []
        read.append(_ESCAPE.sub(_character, read[-1]))
    spans = [found.span() for found in re.finditer(re.escape(key), read.pop())]
    for source in reversed(read):
        places = _places_in(source, [place for span in spans for place in span])
        spans = list(zip(places[::2], places[1::2], strict=True))
    return _whole_escapes(text, spans)


def _character(escape: re.Match[str]) -> str:
    digits, letter = escape.groups()
    return chr(int(digits, 16)) if digits else _CONTROLS.get(letter, letter)


def _places_in(text: str, places: Sequence[int]) -> list[int]:
    """The positions in the text of characters whose positions in the decoded text are `places`."""
    found, shift = [], 0
    escapes = _ESCAPE.finditer(text)
    escape = next(escapes, None)
    for place in places:
        while escape is not None and escape.start() - shift < place:
            shift += len(escape[0]) - 1
            escape = next(escapes, None)
        found.append(place + shift)
    return found


def _whole_escapes(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, extended over an escape that they begin or end in: `\\nvapi-1` contains `nvapi-1`."""
    whole: list[tuple[int, int]] = []
    escapes = _ESCAPE.finditer(text)
    escape = next(escapes, None)
    for begin, end in spans:
        while escape is not None and escape.end() <= begin:
            escape = next(escapes, None)
        if escape is not None:
            begin = min(begin, escape.start())
        while escape is not None and escape.end() < end:
            escape = next(escapes, None)
        if escape is not None and escape.start() < end:
            end = max(end, escape.end())
        whole.append((max(begin, whole[-1][1]) if whole else begin, end))
    return whole
