"""Finish reasons: what the word means with which an upstream ends a choice (pure).

Gateways pass on the finish reasons of the provider behind them, spelled as it spells them. Sources: the API
references of OpenAI, Gemini (FinishReason), Anthropic (stop_reason), Bedrock (StopReason), Mistral, DeepSeek,
Z.ai, Cohere, xAI, Together, watsonx, text-generation-inference, vLLM and SGLang.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

Outcome = Literal["completed", "incomplete", "failed"]
Kind = Literal["stop", "length", "content-filter", "tool-calls", "error", "other"]


class Finish(NamedTuple):
    """The meaning of a finish reason: how the choice has ended, and why (`kind`, as the AI SDK names it)."""

    outcome: Outcome
    kind: Kind


# One entry for each meaning. Finish reasons are in lower case, their words joined by underscores.
_REASONS: Mapping[Finish, str] = {
    Finish("completed", "stop"): (
        "stop end_turn stop_sequence eos eos_token eos_found complete completed finished finish end done"
    ),
    Finish("completed", "tool-calls"): "tool_calls tool_call tool_use function_call function_calls",
    Finish("incomplete", "length"): (
        "length max_tokens max_output_tokens max_completion_tokens max_length max_len max_context"
        " model_length model_context_window_exceeded context_window_exceeded context_length_exceeded"
        " context_length token_limit time_limit error_limit"
    ),
    Finish("incomplete", "content-filter"): (
        "content_filter content_filtered sensitive refusal safety recitation language blocklist"
        " prohibited_content spii model_armor image_safety image_prohibited_content image_recitation"
        " guardrail_intervened guardrail guardrails error_toxic moderation"
    ),
    # The turn continues in another request, or the server ran out of resources.
    Finish("incomplete", "other"): "pause_turn compaction insufficient_system_resource not_finished",
    Finish("failed", "error"): (
        "error network_error failed failure abort aborted cancelled canceled user_cancel timeout"
        " malformed_function_call malformed_tool_use malformed_model_output malformed_response"
        " unexpected_tool_call too_many_tool_calls missing_thought_signature"
    ),
}
_MEANINGS: Mapping[str, Finish] = {
    word: finish for finish, words in _REASONS.items() for word in words.split()
}
_UNKNOWN = Finish("completed", "other")

_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREFIX = re.compile(r"^(?:finish_|stop_)?reason_")  # of xAI's and protobuf's constants
_NAMES_AN_ERROR = re.compile(r"(?:^|_)(?:error|failed|failure)(?:_|$)")


def meaning_of(finish_reason: str) -> Finish:
    """The meaning of a finish reason, in any spelling: MAX_TOKENS, maxTokens, max-tokens.

    An unknown one means a completed answer, since upstreams invent words for a stop, unless it contains a
    word such as "error".
    """
    word = re.sub("[^a-z0-9]+", "_", _CAMEL_CASE.sub("_", finish_reason[:100]).lower()).strip("_")
    word = _PREFIX.sub("", word)
    if word in _MEANINGS:
        return _MEANINGS[word]
    return Finish("failed", "error") if _NAMES_AN_ERROR.search(word) else _UNKNOWN
