"""Runs of text: events that differ in nothing but their text, read without parsing each (pure).

Nine of ten events of an answer are the same JSON but for a few letters. Parsing and decoding one costs ten times
what finding those letters does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # what json.loads reads each string with
from typing import Any, NamedTuple

from chat_stream.chat_events import ChatEvent, TextDelta
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import has_surrogates

_CONTENT = re.compile(r'"content":\s*"')
# OpenAI pads each chunk with random letters, so that its size on the wire does not tell that of the text.
_PADDING = re.compile(r'"obfuscation":\s*"')
_OTHER_TEXT = "the text of another delta"
# A stream whose frame changes with every event (its time in seconds, say) is not learned from for ever.
_MAX_VAIN_LESSONS = 4


class _Frame(NamedTuple):
    """An event around its text: up to the opening quote, and from the closing one on to its end.

    `padding_end` is not empty where there is padding: `behind` ends at its opening quote then.
    """

    head: str
    behind: str
    padding_end: str


class TextRuns:
    """Learns the frame of one stream's events, and finds the events in it."""

    def __init__(self) -> None:
        self._frame: _Frame | None = None
        self._is_level = False
        self._vain_lessons = 0

    @property
    def has_frame(self) -> bool:
        """Whether there is a frame that events may fit."""
        return self._frame is not None

    def learn(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> None:
        """Look at an event that was decoded in the ordinary way; each one has to be shown."""
        said = chat_events[0] if len(chat_events) == 1 else None
        self._is_level = False
        if not isinstance(said, TextDelta) or said.choice != 0:
            return
        if self._frame is None or not self._fits(event, said.text):
            if self._vain_lessons == _MAX_VAIN_LESSONS:
                return
            self._vain_lessons += 1
            self._frame = _frame_of(event, said.text)
        # Otherwise half of a surrogate pair may be held, to which the next text belongs.
        self._is_level = self._frame is not None

    def take(self, data: bytes) -> tuple[bytes, str, int] | None:
        """The run that `data` begins with, if any: its bytes, its text, and how many deltas that comes in.

        `data` must begin where an event does.
        """
        if not self._is_level or self._frame is None:
            return None
        head, behind, padding_end = self._frame
        try:
            text = data[: data.rfind(b"\n\n") + 2].decode()
        except UnicodeDecodeError:
            return None
        texts: list[str] = []
        at = 0
        try:
            while text.startswith(head, at):
                piece, end = scanstring(text, at + len(head), True)
                if not text.startswith(behind, end) or (not piece.isascii() and has_surrogates(piece)):
                    break
                end += len(behind)
                if padding_end:
                    _, end = scanstring(text, end, True)
                    if not text.startswith(padding_end, end):
                        break
                    end += len(padding_end)
                if piece:
                    texts.append(piece)
                at = end
        except ValueError:  # no JSON from here on
            pass
        if not texts:
            return None
        self._vain_lessons = 0
        raw = data[:at] if text.isascii() else text[:at].encode()
        return raw, "".join(texts), len(texts)

    def _fits(self, event: ServerSentEvent, text: str) -> bool:
        self._is_level = True
        run = self.take(event.raw)
        self._is_level = False
        return run == (event.raw, text, 1)


def _frame_of(event: ServerSentEvent, text: str) -> _Frame | None:
    """The frame of an event that says this text and nothing else; None where that cannot be proven."""
    whole = f"data: {event.data}\n\n"
    if whole.encode() != event.raw or has_surrogates(text):
        return None
    for found in _CONTENT.finditer(whole):
        try:
            content, end = scanstring(whole, found.end(), True)
            head, behind, padding_end = whole[: found.end()], whole[end:], ""
            if padding := _PADDING.search(behind):
                _, end = scanstring(behind, padding.end(), True)
                behind, padding_end = behind[: padding.end()], behind[end:]
            frame = _Frame(head, behind, padding_end)
            if content == text and _is_proven(frame, event.data, text):
                return frame
        except (ValueError, TypeError, LookupError, RecursionError):  # not there, then
            continue
    return None


def _is_proven(frame: _Frame, data: str, text: str) -> bool:
    """Whether with other words in its place the same chunk says those, and differs in nothing else.

    Raises ValueError, TypeError, LookupError or RecursionError where that cannot even be asked.
    """
    padding = f'{_OTHER_TEXT}"' if frame.padding_end else ""
    other = f'{frame.head}{_OTHER_TEXT}"{frame.behind}{padding}{frame.padding_end}'
    chunk: Any = json.loads(data)
    chunk["choices"][0]["delta"]["content"] = _OTHER_TEXT
    if padding:
        chunk["obfuscation"] = _OTHER_TEXT
    return bool(text != _OTHER_TEXT and json.loads(other.removeprefix("data: ")) == chunk)
