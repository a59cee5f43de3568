"""What users see in their terminal."""

from __future__ import annotations

import queue
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chat_stream.transcripts.reader import Fetch, read_transcript
from chat_stream.transcripts.schema import InvalidTranscriptError
from local.aws.services import AUDIT, TRANSCRIPTS
from local.settings import LocalSettings

FIRST_WORDS_CHARACTERS = 60


class Terminal:
    """Prints lines from a thread of its own, so that a paused terminal (Ctrl-S) does not pause the stream."""

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[tuple[str, ...] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._print, name="terminal", daemon=True)
        self._thread.start()

    def print_line(self, *lines: str) -> None:
        """Queue a line, or several that stay together, for printing. Control characters are removed."""
        self._lines.put(lines)

    def close(self) -> None:
        """Print the queued lines, but do not wait for a paused terminal."""
        self._lines.put(None)
        self._thread.join(timeout=2)

    def _print(self) -> None:
        while (lines := self._lines.get()) is not None:
            try:
                print("\n".join(printable(line) for line in lines), flush=True)
            except OSError:  # the terminal is gone
                return


def printable(text: str) -> str:
    """The text as one line, without control characters (which move the cursor or change colours) but tabs."""
    encoding = sys.stdout.encoding or "utf-8"
    visible = "".join(letter if letter.isprintable() or letter == "\t" else " " for letter in text)
    return visible.encode(encoding, "replace").decode(encoding)


def greeting(settings: LocalSettings, url: str) -> list[str]:
    """The lines that say what the stack serves, at `url` and beside it, and what to try first."""
    model = "the upstream that you set" if settings.has_upstream else "a scripted model (no OPENAI_API_KEY)"
    return [
        f"ready: {url}/" + ("  (in a browser: the playground)" if settings.has_playground else ""),
        f"  try:      curl -N '{url}/chatCompletion?message=hello'{settings.key_hint}",
        f"  model:    {model}",
        f"  queues:   {settings.queue_url(TRANSCRIPTS)}",
        f"            {settings.queue_url(AUDIT)}",
        f"  archive:  {_relative_path(settings.archive_folder)}",
        f"  endpoint: {settings.aws_endpoint}",
        f"  lambda:   {settings.invoke_endpoint}",
    ]


def _relative_path(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def transcript_line(message: Mapping[str, Any], fetch: Fetch) -> str:
    """One line that sums up the transcript in a queue's message; `fetch` gets the object of a pointer."""
    try:
        document = read_transcript(message, fetch).document
    except InvalidTranscriptError as error:
        return f"[transcript] not in the expected form: {error}"
    response = document["response"]
    reason = f" ({document['reason']})" if document["reason"] else ""
    fields = (
        document["id"],
        f"{document['outcome']}{reason}",
        response["model"] or document["request"]["model"],
        document["route"],
        f"caller={document['caller']}",
        f"{document['timings']['duration_ms']} ms",
        _summary([choice["content"] for choice in response["choices"]]),
    )
    return "[transcript] " + "  ".join(str(field) for field in fields)


def _summary(contents: Sequence[str | None]) -> str:
    """How long the answer is and how it begins, unless TRANSCRIPT_CONTENT leaves the text out."""
    texts = [text for text in contents if text is not None]
    if contents and not texts:
        return "(the transcript leaves the text out)"
    first_words = textwrap.shorten(texts[0], FIRST_WORDS_CHARACTERS, placeholder=" …") if texts else ""
    return f'{sum(map(len, texts))} characters  "{first_words}"'
