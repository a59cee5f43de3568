"""The relay's own key taken out of whatever the upstream says, should that repeat it (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from chat_stream.sse import ServerSentEvent

REDACTED = "[redacted]"

# A shorter one may be a word, which good answers hold: such a key is for a model on one's own machine.
MIN_KEY_CHARACTERS = 16

# JSON's other spelling of the characters that a key is made of. Text hardly ever has it.
_ESCAPE = b"\\u00"
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")

Value = TypeVar("Value")


class KeyRedaction:
    """Knows one key, and takes it out of texts, answers and documents.

    `text` takes out every key, for errors; the others one of at least MIN_KEY_CHARACTERS, so that no good
    answer is changed. What an answer spells over several of its deltas, its stream holds in pieces all the
    same; from a whole document, as a transcript is one, it is taken out.
    """

    def __init__(self, key: str = "") -> None:
        self._spellings = dict.fromkeys((key, json.dumps(key)[1:-1])) if key else {}
        self._long_key = key if len(key) >= MIN_KEY_CHARACTERS else ""
        self._long_bytes = self._long_key.encode("ascii")

    def text(self, text: str) -> str:
        """The text with the key blacked out, as it is and as JSON has it."""
        for spelled in self._spellings:
            text = text.replace(spelled, REDACTED)
        return text

    def data(self, data: bytes) -> bytes:
        """Bytes of an answer without the key; most often `data` itself."""
        if not self._long_key or not (self._long_bytes in data or _ESCAPE in data):
            return data
        redacted = self._plainly_redacted(data)
        return self._respelled(redacted) if _ESCAPED_ASCII.search(data) else redacted

    def event(self, event: ServerSentEvent) -> ServerSentEvent:
        """An event without the key, in both its forms; most often `event` itself."""
        raw = self._plainly_redacted(event.raw)
        if self._long_key and _ESCAPED_ASCII.search(raw):
            data = event.data.encode("utf-8", "surrogatepass")
            respelled = self._respelled(data)
            if respelled is not data:
                name = f"event: {event.event}\n" if event.event != "message" else ""
                text = respelled.decode("ascii")
                return event._replace(raw=f"{name}data: {text}\n\n".encode(), data=text)
        return event if raw is event.raw else event._replace(raw=raw, data=self.text(event.data))

    def document(self, document: dict[str, Any]) -> dict[str, Any]:
        """A JSON document without the key in any name or text; most often `document` itself."""
        if not self._long_key:
            return document
        try:
            text = json.dumps(document)
            redacted = self.text(text)
            return document if redacted == text else dict(json.loads(redacted))
        except RecursionError:  # so deep that it cannot be written either, but without its depths
            return document

    def _plainly_redacted(self, data: bytes) -> bytes:
        is_there = self._long_bytes and self._long_bytes in data
        return data.replace(self._long_bytes, REDACTED.encode("ascii")) if is_there else data

    def _respelled(self, data: bytes) -> bytes:
        """JSON that says the key in another spelling, written anew without it; all else as it is."""
        try:
            text = json.dumps(json.loads(data), separators=(",", ":"))
        except (ValueError, RecursionError):  # what is no JSON spells nothing otherwise
            return data
        return self.text(text).encode("ascii") if self._long_key in text else data


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
