"""Only a valid trace context of the caller's gets into the log and the transcript."""

from __future__ import annotations

import pytest

from chat_stream.transcripts.schema import InvalidTranscriptError
from chat_stream.transcripts.transcript import parse_transcript
from observability.request_trace import traceparent
from tests.support.transcripts.transcript_strategies import built

VALID = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (VALID, VALID),
        (VALID.replace("00-", "cc-", 1), VALID.replace("00-", "cc-", 1)),
        (VALID.replace("00-", "cc-", 1) + "-what-the-future-brings", VALID.replace("00-", "cc-", 1)),
    ],
)
def test_a_valid_trace_context_is_kept(sent: str, kept: str) -> None:
    assert traceparent({"traceparent": sent}) == kept
    document = built([], traceparent=kept).document
    assert parse_transcript(document).document["traceparent"] == kept


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "a prompt",
        VALID.upper(),
        VALID + "-more",
        VALID + "\n",
        VALID.replace("00-", "ff-", 1),
        VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        VALID.replace("00f067aa0ba902b7", "0" * 16),
        VALID.replace("00-", "cc-", 1) + "more",
        VALID.replace("4", "\N{ARABIC-INDIC DIGIT FOUR}", 1),
    ],
)
def test_an_invalid_trace_context_is_left_out(sent: str) -> None:
    assert traceparent({"traceparent": sent}) is None
    assert traceparent({}) is None


def test_a_transcript_without_a_trace_context_has_no_field_for_it() -> None:
    document = built([]).document
    assert "traceparent" not in document
    with pytest.raises(InvalidTranscriptError, match="traceparent: should match"):
        parse_transcript({**document, "traceparent": "00-no"})
