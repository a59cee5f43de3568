"""The figures of an answer, read from its transcript: tokens, cost, speed.

The log, the metrics, the terminal of the local stack and reports all show these figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

# Where the upstream's usage has each count: in chat completions, in Responses, in names of other servers.
_INPUT = (("prompt_tokens",), ("input_tokens",), ("promptTokens",), ("inputTokens",))
_OUTPUT = (("completion_tokens",), ("output_tokens",), ("completionTokens",), ("outputTokens",))
_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek's name
)
_REASONING = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
)

MAX_TOKENS = 10**12  # a larger number is no count, and Python might not be able to make a float of it
# What arrives within less time shows how the network delivers, not how fast the model writes. An answer that
# is not streamed arrives at once.
MIN_STREAMED_MS = 100


class AnswerFigures(NamedTuple):
    """The figures of one answer; None where the upstream does not report one, or there is nothing to measure.

    Attributes:
        input_tokens: of the prompt, cached ones included.
        output_tokens: of the answer, all its choices and its reasoning included.
        cached_tokens: those of `input_tokens` that the upstream had cached.
        reasoning_tokens: those of `output_tokens` that are reasoning.
        cost_usd: what the answer cost, if the transcript has it.
        output_tokens_per_s: tokens after the first, by the time since then.
    """

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    output_tokens_per_s: float | None


def answer_figures(document: Mapping[str, Any]) -> AnswerFigures:
    """The figures of the answer whose transcript has this document."""
    usage = document["response"]["usage"]
    tokens = [_count(usage, paths) for paths in (_INPUT, _OUTPUT, _CACHED, _REASONING)]
    if not any(tokens):  # some servers fill in the fields without counting
        tokens = [None] * len(tokens)
    input_tokens, output_tokens, cached_tokens, reasoning_tokens = tokens
    cost_usd = _cost_usd(document.get("cost"))
    speed = _output_tokens_per_s(document, output_tokens, reasoning_tokens)
    return AnswerFigures(input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost_usd, speed)


def _count(usage: Any, paths: tuple[tuple[str, ...], ...]) -> int | None:
    for path in paths:
        value = usage
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TOKENS:
            continue
        if value == int(value):
            return int(value)
    return None


def _cost_usd(cost: Any) -> float | None:
    value = cost.get("usd") if isinstance(cost, Mapping) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None


def _output_tokens_per_s(
    document: Mapping[str, Any], output_tokens: int | None, reasoning_tokens: int | None
) -> float | None:
    """The speed after the first token. Reasoning that was not shown came before it, and does not count."""
    timings = document["timings"]
    first_ms, duration_ms = timings["time_to_first_token_ms"], timings["duration_ms"]
    if output_tokens is None or first_ms is None or duration_ms - first_ms < MIN_STREAMED_MS:
        return None
    is_shown = any(choice["reasoning"] for choice in document["response"]["choices"])
    later_tokens = output_tokens - (0 if is_shown else reasoning_tokens or 0) - 1
    speed = round(later_tokens * 1000 / (duration_ms - first_ms), 2) if later_tokens > 0 else 0
    return speed or None
