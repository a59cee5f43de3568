"""Runs of text: events that differ in nothing but their text, read without parsing each (pure).

Nine of ten events of an answer are the same JSON but for a few letters. Parsing and decoding one costs ten
times what finding those letters does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # what json.loads reads each string with
from typing import Any, NamedTuple

from chat_stream.events import ChatEvent, TextDelta
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import has_surrogates

_CONTENT = re.compile(r'"content":\s*"')
# OpenAI pads each chunk with random letters, so that its size on the wire does not tell that of the text.
_PADDING = re.compile(r'"obfuscation":\s*"')
_OTHER_TEXT = "the text of another delta"
# A stream whose frame changes with every event (its time in seconds, say) is not learned from for ever: a
# lesson costs as much as parsing twice, and has to be worth it.
_FREE_LESSONS = 4
_DELTAS_PER_LESSON = 8


class _Frame(NamedTuple):
    """An event around its text: up to the opening quote, and from the closing one on to its end.

    `padding_end` is not empty where there is padding: `behind` ends at its opening quote then.
    """

    head: bytes
    behind: str
    padding_end: str


class TextRuns:
    """Learns the frame of one stream's events, and finds the events in it.

    For chat completions, whose decoder remembers nothing of a text but half a surrogate pair.
    """

    def __init__(self) -> None:
        self._frame: _Frame | None = None
        self._is_level = False
        self._lessons = 0
        self._deltas = 0

    @property
    def has_frame(self) -> bool:
        """Whether there is a frame that events may fit."""
        return self._frame is not None

    def learn(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> None:
        """Look at an event that was decoded in the ordinary way; each one has to be shown."""
        said = chat_events[0] if len(chat_events) == 1 else None
        if not isinstance(said, TextDelta) or said.choice != 0:
            self._is_level = False
            return
        self._is_level = self._frame is not None
        if self.take(event.raw, 0) is not None:
            return
        # Half of a surrogate pair may be held, to which the next text belongs.
        self._is_level = False
        if self._lessons < _FREE_LESSONS + self._deltas // _DELTAS_PER_LESSON:
            self._lessons += 1
            frame = _frame_of(event, said.text)
            if frame is not None:
                self._frame, self._is_level = frame, True

    def take(self, data: bytes, start: int) -> tuple[int, str, int] | None:
        """The run that begins at `start`, if any: where it ends, its text, and how many deltas that comes in.

        An event must begin at `start`. Takes time for the run and one event more, however long `data` is.
        """
        if not self._is_level or self._frame is None:
            return None
        head, behind, padding_end = self._frame
        texts: list[str] = []
        at = start
        try:
            while data.startswith(head, at):
                text_start = at + len(head)
                # Event by event: what is wrong with one of them must not cost a look at all that follow.
                end = data.find(b"\n", text_start) + 2
                event = data[text_start:end].decode()  # too short to fit where there is no line end
                text, stop = scanstring(event, 0, True)
                if not event.startswith(behind, stop):
                    break
                has_escapes = stop != len(text) + 1
                if has_escapes and has_surrogates(text):
                    break
                if padding_end:
                    padding_start = stop + len(behind)
                    padding, stop = scanstring(event, padding_start, True)
                    if not event.startswith(padding_end, stop) or padding_start + len(padding) + 1 != stop:
                        break
                if text:
                    texts.append(text)
                at = end
        except ValueError:  # no JSON, or no UTF-8
            pass
        if not texts:
            return None
        self._deltas += len(texts)
        return at, "".join(texts), len(texts)


def _frame_of(event: ServerSentEvent, text: str) -> _Frame | None:
    """The frame of an event that says this text and nothing else; None where that cannot be proven."""
    data = event.data
    found = _CONTENT.search(data)  # the first one only: there may be as many as an event has room for
    if found is None or f"data: {data}\n\n".encode() != event.raw:
        return None
    try:
        content, end = scanstring(data, found.end(), True)
        head, behind, padding_end = data[: found.end()], data[end:], ""
        if padding := _PADDING.search(behind):
            _, end = scanstring(behind, padding.end(), True)
            behind, padding_end = behind[: padding.end()], behind[end:]
        if content != text or not _is_proven(head, behind, padding_end, data):
            return None
    except (ValueError, TypeError, LookupError, RecursionError):  # not there, then
        return None
    if padding_end:
        return _Frame(f"data: {head}".encode(), behind, f"{padding_end}\n\n")
    return _Frame(f"data: {head}".encode(), f"{behind}\n\n", "")


def _is_proven(head: str, behind: str, padding_end: str, data: str) -> bool:
    """Whether with other words in its place the same chunk says those, and differs in nothing else.

    Nothing else may stand in its delta, nor another choice in the chunk: half of a surrogate pair there says
    nothing once, and something the next time. Raises ValueError, TypeError, LookupError or RecursionError
    where there is no such place.
    """
    chunk: Any = json.loads(data)
    [choice] = chunk["choices"]
    delta = choice["delta"]
    if any(delta[key] for key in delta if key not in ("content", "role")):
        return False
    delta["content"] = _OTHER_TEXT
    other = f'{head}{_OTHER_TEXT}"{behind}'
    if padding_end:
        chunk["obfuscation"] = _OTHER_TEXT
        other += f'{_OTHER_TEXT}"{padding_end}'
    return bool(_OTHER_TEXT not in data and json.loads(other) == chunk)
