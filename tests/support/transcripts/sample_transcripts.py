"""Generated transcripts of every kind: the same seed and number give the same transcript."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta

from chat_stream.events import AnswerFailed, ChoiceFinished, TextDelta
from chat_stream.transcripts.transcript import Interruption, Transcript, TranscriptBuilder

OUTCOMES = {"completed": 70, "incomplete": 8, "failed": 10, "truncated": 8, "abandoned": 4}  # percentages
MODELS = ("gpt-6-luna", "gpt-6.1-terra", "gpt-6.1-sol")
CALLERS = ("web", "batch", "ios", None)
STARTED_AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
WORDS = ("the", "sky", "is", "blue", "because", "air", "—", "👋", "naïve", '"why?"', "a\tb\n", "\u2028")
LARGE_EVERY = 20
# Below and above the limits of an asynchronous invoke and of a message, and far above.
LARGE_BYTES = (990_000, 1_010_000, 1_040_000, 1_060_000, 3_000_000)


def sample_transcript(seed: int, number: int) -> Transcript:
    """A transcript of one to four kB; one in LARGE_EVERY has about the next size of LARGE_BYTES instead."""
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
    return builder.finish(draw.randint(400, 9000), interruption=_end(builder, outcome))


def _end(builder: TranscriptBuilder, outcome: str) -> Interruption | None:
    """Add the last events of an answer with this outcome, or return what broke it off."""
    match outcome:
        case "completed":
            builder.add(ChoiceFinished(0, "stop"), 400)
        case "incomplete":
            builder.add(ChoiceFinished(0, "length", True), 400)
        case "failed":
            builder.add(AnswerFailed("The server had an error.", "server_error", None, None, 500), 400)
        case "abandoned":
            return Interruption("abandoned", "caller_gone", "The caller went away.")
    return None


def _text(draw: random.Random, size_bytes: int) -> str:
    """A text of about this size in a transcript, where characters outside ASCII are escaped."""
    phrase = " ".join(draw.choices(WORDS, k=40)) + " "
    return phrase * (size_bytes // len(json.dumps(phrase)) + 1)
