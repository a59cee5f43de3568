"""Assertions that hold for every transcript."""

from __future__ import annotations

import json
from collections.abc import Sequence

from chat_stream.transcripts.content import TranscriptContent, reduced
from chat_stream.transcripts.transcript import Transcript, parse_transcript
from tests.fuzz.in_process_function import UPSTREAM_KEY


def check_storable(transcript: Transcript, contents: Sequence[TranscriptContent] = ("full",)) -> None:
    """Assert that the transcript, reduced to each of `contents`, is valid by the schema and ASCII."""
    for content in contents:
        spelled = reduced(transcript, content).to_json()
        assert spelled.isascii()
        assert UPSTREAM_KEY.encode() not in spelled, "the relay's key is in the transcript"
        kept = parse_transcript(json.loads(spelled, parse_constant=refuse_constant))
        assert content != "full" or kept.document == transcript.document


def refuse_constant(name: str) -> None:
    """For json.loads: reject NaN and infinities, which Python accepts although they are not JSON."""
    raise AssertionError(f"{name} is not JSON")
