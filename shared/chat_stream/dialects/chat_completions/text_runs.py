"""Text runs: consecutive events that differ only in their text, read without parsing each (pure).

Nine of ten events of an answer are the same JSON apart from the text. Parsing and decoding an event takes ten
times as long as slicing the text out of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]  # what json.loads uses for strings
from typing import Any, NamedTuple

from chat_stream.events import ChatEvent, TextDelta
from chat_stream.sse import ServerSentEvent
from chat_stream.surrogates import has_surrogates

_CONTENT = re.compile(r'"content":\s*"')
# OpenAI pads each chunk with random letters, so that its size does not reveal the length of the text.
_PADDING = re.compile(r'"obfuscation":\s*"')
_PROBE_TEXT = "the text of another delta"
# Learning a frame costs as much as parsing an event twice. In a stream whose frame keeps changing (because
# of a time in seconds, for instance), another frame is learned only if enough deltas have been read with the
# others.
_FREE_LESSONS = 4
_DELTAS_PER_LESSON = 8
# Most answers begin with one or two events of their own. One without text among the first events has no runs.
_EVENTS_BEFORE_A_FRAME = 8


class _Frame(NamedTuple):
    """An event without its text: `head` ends with the opening quote, `tail` follows the closing quote.

    With padding, `tail` ends with the padding's opening quote, and `padding_end` is the rest of the event.
    Without padding, `padding_end` is empty.
    """

    head: bytes
    tail: str
    padding_end: str


class TextRuns:
    """Learns the frame of one stream's events, and reads runs of events that have this frame.

    This is correct for chat completions because a text changes nothing in their decoder, unless it ends in
    half of a surrogate pair.
    """

    def __init__(self) -> None:
        self._frame: _Frame | None = None
        self._is_ready = False  # whether there is a frame, and the decoder holds no half of a surrogate pair
        self._lessons = 0
        self._events = 0  # decoded one by one
        self._deltas = 0

    @property
    def may_follow(self) -> bool:
        """Whether a run may begin after the next event, so that this one should be read alone."""
        return self._frame is not None or self._events < _EVENTS_BEFORE_A_FRAME

    def learn(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> None:
        """Learn from an event that was decoded. Must be called for every event that `take` has not read."""
        self._events += 1
        chat_event = chat_events[0] if len(chat_events) == 1 else None
        if not isinstance(chat_event, TextDelta) or chat_event.choice != 0:
            self._is_ready = False
            return
        self._is_ready = self._frame is not None
        if self.take(event.raw, 0) is not None:
            return
        # The decoder may hold half of a surrogate pair, which the next text completes.
        self._is_ready = False
        if self._lessons < _FREE_LESSONS + self._deltas // _DELTAS_PER_LESSON:
            self._lessons += 1
            frame = _frame_of(event, chat_event.text)
            if frame is not None:
                self._frame, self._is_ready = frame, True

    def take(self, data: bytes, start: int) -> tuple[int, str, int] | None:
        """The run that begins at `start`, if any: where it ends, its text, and the number of its deltas.

        An event must begin at `start`. The time depends on the length of the run and the next event, not on
        that of `data`.
        """
        if not self._is_ready or self._frame is None:
            return None
        head, tail, padding_end = self._frame
        texts: list[str] = []
        at = start
        try:
            while data.startswith(head, at):
                text_start = at + len(head)
                # Decode event by event, so that a bad one does not cost a pass over all that follow.
                end = data.find(b"\n", text_start) + 2
                event = data[text_start:end].decode()  # without a line end: one byte, which matches no frame
                text, stop = scanstring(event, 0, True)
                if not event.startswith(tail, stop):
                    break
                has_escapes = stop != len(text) + 1
                if has_escapes and has_surrogates(text):
                    break
                if padding_end:
                    padding_start = stop + len(tail)
                    padding, stop = scanstring(event, padding_start, True)
                    # Padding is plain letters. A run takes nothing else for padding, so no escapes either.
                    if not event.startswith(padding_end, stop) or padding_start + len(padding) + 1 != stop:
                        break
                if text:
                    texts.append(text)
                at = end
        except ValueError:  # invalid JSON or UTF-8
            pass
        if not texts:
            return None
        self._deltas += len(texts)
        return at, "".join(texts), len(texts)


def _frame_of(event: ServerSentEvent, text: str) -> _Frame | None:
    """The frame of an event that consists of this text only; None if that cannot be proven."""
    data = event.data
    found = _CONTENT.search(data)  # only the first: an event may contain very many
    if found is None or f"data: {data}\n\n".encode() != event.raw:
        return None
    try:
        content, end = scanstring(data, found.end(), True)
        head, tail, padding_end = data[: found.end()], data[end:], ""
        if padding := _PADDING.search(tail):
            _, end = scanstring(tail, padding.end(), True)
            tail, padding_end = tail[: padding.end()], tail[end:]
        if content != text or not _is_proven(head, tail, padding_end, data):
            return None
    except (ValueError, TypeError, LookupError, RecursionError):  # the text is somewhere else
        return None
    if padding_end:
        return _Frame(f"data: {head}".encode(), tail, f"{padding_end}\n\n")
    return _Frame(f"data: {head}".encode(), f"{tail}\n\n", "")


def _is_proven(head: str, tail: str, padding_end: str, data: str) -> bool:
    """Whether replacing the text between `head` and `tail` changes the chunk's content and nothing else.

    The delta must hold nothing else, and the chunk no other choice: half of a surrogate pair in there adds
    nothing to this event but something to the next one. Raises ValueError, TypeError, LookupError or
    RecursionError if the chunk has another structure.
    """
    chunk: Any = json.loads(data)
    [choice] = chunk["choices"]
    delta = choice["delta"]
    if any(delta[key] for key in delta if key not in ("content", "role")):
        return False
    delta["content"] = _PROBE_TEXT
    other = f'{head}{_PROBE_TEXT}"{tail}'
    if padding_end:
        chunk["obfuscation"] = _PROBE_TEXT
        other += f'{_PROBE_TEXT}"{padding_end}'
    return bool(_PROBE_TEXT not in data and json.loads(other) == chunk)
