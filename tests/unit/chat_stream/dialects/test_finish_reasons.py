"""The meanings of providers' finish reasons."""

from __future__ import annotations

import pytest

from chat_stream.dialects.finish_reasons import meaning_of


@pytest.mark.parametrize(
    ("reasons", "outcome", "kind"),
    [
        ("stop STOP end_turn stop_sequence eos COMPLETE REASON_STOP FINISHED", "completed", "stop"),
        ("tool_calls tool_use TOOL_CALL function_call toolUse REASON_TOOL_CALLS", "completed", "tool-calls"),
        (
            "length max_tokens MAX_TOKENS maxTokens max-tokens model_length REASON_MAX_LEN"
            " FINISH_REASON_MAX_TOKENS model_context_window_exceeded max_output_tokens",
            "incomplete",
            "length",
        ),
        (
            "content_filter content-filter SAFETY RECITATION PROHIBITED_CONTENT sensitive refusal"
            " content_filtered guardrail_intervened ERROR_TOXIC IMAGE_SAFETY",
            "incomplete",
            "content-filter",
        ),
        ("insufficient_system_resource pause_turn", "incomplete", "other"),
        (
            "error ERROR network_error MALFORMED_FUNCTION_CALL malformed_tool_use timeout abort"
            " engine_error internalError generation_failed",
            "failed",
            "error",
        ),
        ("OTHER a-new-one FINISH_REASON_UNSPECIFIED terror", "completed", "other"),
    ],
)
def test_finish_reason_means_the_same_in_every_spelling(reasons: str, outcome: str, kind: str) -> None:
    for reason in reasons.split():
        assert meaning_of(reason) == (outcome, kind), reason


def test_any_finish_reason_has_a_meaning() -> None:
    for reason in ("", "_", "é", "a" * 1_000_000, "A" * 1_000_000, "\ud800"):
        assert meaning_of(reason) == ("completed", "other")
