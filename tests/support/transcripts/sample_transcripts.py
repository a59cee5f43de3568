"""Transcripts of every kind, as many as a run needs: the same seed and number make the same one."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta

from chat_stream.events import AnswerFailed, ChoiceFinished, TextDelta
from chat_stream.transcripts.transcript import BrokenOff, Transcript, TranscriptBuilder

OUTCOMES = {"completed": 70, "incomplete": 8, "failed": 10, "truncated": 8, "abandoned": 4}  # of a hundred
MODELS = ("gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol")
CALLERS = ("web", "batch", "ios", None)
STARTED_AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
WORDS = ("the", "sky", "is", "blue", "because", "air", "—", "👋", "naïve", '"why?"', "a\tb\n", "\u2028")
LARGE_EVERY = 40
# On both sides of what an asynchronous invoke takes, of what a message takes, and far beyond.
LARGE_BYTES = (990_000, 1_010_000, 1_040_000, 1_060_000, 3_000_000)


def sample_transcript(seed: int, number: int) -> Transcript:
    """One to four kB mostly; one in LARGE_EVERY has about one of LARGE_BYTES, each in its turn."""
    draw = random.Random(f"{seed}/{number}")
    model = draw.choice(MODELS)
    prompt = _text(draw, draw.randint(200, 1500))
    builder = TranscriptBuilder(
        id=str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        caller=draw.choice(CALLERS),
        route="/v1/chat/completions",
        request={"model": model, "messages": [{"role": "user", "content": prompt}], "parameters": {}},
        started_at=STARTED_AT + timedelta(seconds=number),
    )
    size_bytes = draw.randint(200, 2000)
    if number % LARGE_EVERY == LARGE_EVERY // 2:
        size_bytes = LARGE_BYTES[number // LARGE_EVERY % len(LARGE_BYTES)]
    builder.add(TextDelta(0, _text(draw, size_bytes)), 300)
    [outcome] = draw.choices(list(OUTCOMES), list(OUTCOMES.values()))
    return builder.finish(draw.randint(400, 9000), broken_off=_end(builder, outcome))


def _end(builder: TranscriptBuilder, outcome: str) -> BrokenOff | None:
    """Add the events with which such an answer ends, or tell what else ended it."""
    match outcome:
        case "completed":
            builder.add(ChoiceFinished(0, "stop"), 400)
        case "incomplete":
            builder.add(ChoiceFinished(0, "length", True), 400)
        case "failed":
            builder.add(AnswerFailed("The server had an error.", "server_error", None, None, 500), 400)
        case "abandoned":
            return BrokenOff("abandoned", "caller_gone", "The caller went away.")
    return None


def _text(draw: random.Random, size_bytes: int) -> str:
    """Of about this size in a transcript, where characters outside ASCII are escaped."""
    phrase = " ".join(draw.choices(WORDS, k=40)) + " "
    return phrase * (size_bytes // len(json.dumps(phrase)) + 1)
