"""What users see in their terminal."""

from __future__ import annotations

import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.figures import answer_figures
from chat_stream.transcripts.reader import Fetch, read_transcript
from chat_stream.transcripts.schema import InvalidTranscriptError
from local.aws.services import AUDIT, TRANSCRIPTS
from local.settings import LocalSettings

# SGR codes, as terminals have had them since ECMA-48: red, green, yellow.
_COLOURS = {
    "completed": 32, "incomplete": 33, "abandoned": 33, "truncated": 31, "failed": 31,
    "[refused]": 33, "WARNING": 33, "ERROR": 31, "CRITICAL": 31,
}  # fmt: skip
_COLOURED = re.compile(rf"(?:^|(?<= ))(?:{'|'.join(map(re.escape, _COLOURS))})(?= |$)")


class Terminal:
    """Prints lines from a thread of its own, so that a paused terminal (Ctrl-S) does not pause the stream.

    A terminal has colours, unless NO_COLOR is set (https://no-color.org); a file or a pipe has none.
    """

    def __init__(self) -> None:
        has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._paint: Callable[[str], str] = coloured if has_colours else str
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
                print("\n".join(self._paint(printable(line)) for line in lines), flush=True)
            except OSError:  # the terminal is gone
                return


def coloured(line: str) -> str:
    """The line, with the first word that names an outcome in the colour of that outcome."""
    return _COLOURED.sub(lambda word: f"\x1b[{_COLOURS[word[0]]}m{word[0]}\x1b[0m", line, count=1)


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
        f"  logs:     {_relative_path(settings.log_folder)}",
        f"  endpoint: {settings.aws_endpoint}",
        f"  lambda:   {settings.invoke_endpoint}",
    ]


def _relative_path(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def transcript_line(message: Mapping[str, Any], fetch: Fetch) -> str:
    """One line that sums up the answer whose transcript is in a queue's message: when, which model, the
    outcome, the time to the first token, tokens per second, tokens, cost, id.

    Args:
        fetch: gets the object of a pointer.
    """
    try:
        transcript = read_transcript(message, fetch)
    except InvalidTranscriptError as error:
        return f"[transcript] not in the expected form: {error}"
    figures = answer_figures(transcript.document)
    document = reduced(transcript, "none").document  # a name or a reason might be anything, even the prompt
    timings = document["timings"]
    first_ms, rate, cost = timings["time_to_first_token_ms"], figures.output_tokens_per_s, figures.cost_usd
    tokens = (figures.input_tokens, figures.output_tokens)
    return joined(
        f"[transcript] {clock(timings['started_at'])}",
        document["response"]["model"] or document["request"]["model"],
        f"{document['outcome']} ({document['reason']})" if document["reason"] else document["outcome"],
        None if first_ms is None else f"first token {first_ms / 1000:.2f} s",
        None if rate is None else f"{rate:.0f} tokens/s",
        None if tokens == (None, None) else f"{tokens[0] or 0} + {tokens[1] or 0} tokens",
        None if cost is None else f"${cost:.6f}",
        document["id"],
    )


def clock(timestamp: str) -> str:
    """The local time of day of a moment in ISO 8601."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%H:%M:%S")


def joined(*fields: str | None) -> str:
    """The fields that are neither None nor empty, as columns of one line."""
    return "  ".join(field for field in fields if field)
