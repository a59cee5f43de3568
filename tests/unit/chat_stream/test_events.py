"""Chat events: equality, truth and immutability."""

from __future__ import annotations

import pytest

from chat_stream.events import (
    AnswerFailed,
    AudioTranscriptDelta,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
)

KINDS = (TextDelta, RefusalDelta, ReasoningDelta, AudioTranscriptDelta)


def test_events_are_equal_if_type_and_values_are() -> None:
    assert TextDelta(0, "a") == TextDelta(0, "a")
    assert not TextDelta(0, "a") != TextDelta(0, "a")  # noqa: SIM202 - the other operator
    assert TextDelta(0, "a") != TextDelta(0, "b")
    assert len({TextDelta(0, "a"), TextDelta(0, "a")}) == 1


@pytest.mark.parametrize("kind", KINDS[1:])
def test_events_of_different_types_are_unequal(kind: type) -> None:
    assert kind(0, "a") != TextDelta(0, "a")
    assert not kind(0, "a") == TextDelta(0, "a")  # noqa: SIM201 - the other operator
    assert TextDelta(0, "a") != (0, "a")
    assert len({kind(0, "a"), TextDelta(0, "a")}) == 2


def test_event_without_values_is_true() -> None:
    assert StreamDone()
    assert StreamDone() == StreamDone()
    assert StreamDone() != ()


def test_events_are_immutable() -> None:
    failed = AnswerFailed("m", None, None, None, None)
    with pytest.raises(AttributeError):
        failed.message = "other"  # type: ignore[misc]
