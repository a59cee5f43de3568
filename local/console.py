"""What the person at the terminal sees."""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import Any

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


def transcript_line(message: str) -> str:
    """One line on a transcript, from the message on its queue."""
    try:
        transcript = json.loads(message)
        response, choices = transcript["response"], transcript["response"]["choices"]
        answer = " ".join(choices[0]["content"].split()) if choices and choices[0]["content"] else ""
        reason = f" ({transcript['reason']})" if transcript["reason"] else ""
        fields = (
            transcript["id"],
            f"{transcript['outcome']}{reason}",
            response["model"] or transcript["request"]["model"],
            transcript["route"],
            f"caller={transcript['caller']}",
            f"{transcript['timings']['duration_ms']} ms",
            f"{sum(_length(choice) for choice in choices)} characters",
            f'"{_first_words(answer)}"',
        )
        return "[transcript] " + "  ".join(str(field) for field in fields)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return f"[transcript] not in the form expected: {message[:200]}"


def _length(choice: dict[str, Any]) -> int:
    return len(choice["content"] or "")


def _first_words(answer: str) -> str:
    if len(answer) <= FIRST_WORDS_CHARACTERS:
        return answer
    return answer[:FIRST_WORDS_CHARACTERS].rpartition(" ")[0] + " …"
