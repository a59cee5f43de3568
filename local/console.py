"""What the person at the terminal sees."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from chat_stream.transcripts.reader import Fetch, read_transcript
from chat_stream.transcripts.transcript import InvalidTranscript

FIRST_WORDS_CHARACTERS = 60


class Terminal:
    """Prints lines from a thread of its own: a terminal that is held (Ctrl-S) must not hold the stream."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[tuple[str, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._print, name="terminal", daemon=True)
        self._thread.start()

    def print_line(self, *lines: str) -> None:
        """Print a line soon, or several that stay together. None of their characters steers the terminal."""
        self._lines.put(lines)

    def close(self) -> None:
        """Print what is left; do not wait for a terminal that takes nothing."""
        self._lines.put(None)
        self._thread.join(timeout=2)

    def _print(self) -> None:
        while (lines := self._lines.get()) is not None:
            try:
                print("\n".join(printable(line) for line in lines), flush=True)
            except OSError:  # the terminal is gone; there is nobody to tell
                return


def printable(text: str) -> str:
    """The text as one line, without anything but tabs that would move a cursor or change colours."""
    encoding = sys.stdout.encoding or "utf-8"
    visible = text
    if not text.replace("\t", "").isprintable():
        visible = "".join(
            character if character.isprintable() or character == "\t" else " " for character in text
        )
    return visible.encode(encoding, "replace").decode(encoding)


def transcript_line(message: Mapping[str, Any], fetch: Fetch) -> str:
    """One line on a transcript, from the message on its queue; `fetch` gets what a pointer points to."""
    try:
        document = read_transcript(message, fetch).document
    except InvalidTranscript as error:
        return f"[transcript] not in the form expected: {error}"
    response = document["response"]
    reason = f" ({document['reason']})" if document["reason"] else ""
    fields = (
        document["id"],
        f"{document['outcome']}{reason}",
        response["model"] or document["request"]["model"],
        document["route"],
        f"caller={document['caller']}",
        f"{document['timings']['duration_ms']} ms",
        _said([choice["content"] for choice in response["choices"]]),
    )
    return "[transcript] " + "  ".join(str(field) for field in fields)


def _said(contents: Sequence[str | None]) -> str:
    """How long the answer is and how it begins, as far as TRANSCRIPT_CONTENT lets that be known."""
    texts = [text for text in contents if text is not None]
    if contents and not texts:
        return "(what was said is not kept)"
    first_words = _first_words(" ".join(texts[0].split())) if texts else ""
    return f'{sum(map(len, texts))} characters  "{first_words}"'


def _first_words(answer: str) -> str:
    if len(answer) <= FIRST_WORDS_CHARACTERS:
        return answer
    return answer[:FIRST_WORDS_CHARACTERS].rpartition(" ")[0] + " …"
