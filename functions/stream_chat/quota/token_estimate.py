"""How many tokens an exchange has taken: as the upstream has counted, or at the most, where nobody has.

A tokenizer would be exact for one family of models only, and needs megabytes of vocabulary for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from quota.prompt_tokens import BYTES_PER_TOKEN, PromptTokens, text_tokens
from request.openai_fields import CHAT_COMPLETIONS, RESPONSES

# The most that providers document for one answer: OpenAI and Anthropic 128,000, Google 65,536, open models
# 131,072.
HIGHEST_OUTPUT = 131_072

_KNOWN_FIELDS = CHAT_COMPLETIONS.fields | RESPONSES.fields

# Failures without a word of an answer, of which the upstream may still have had the work.
_MAY_BE_BILLED = ("upstream_timeout", "internal_error", "not_event_stream")

HIGHEST_COUNT = 10**12  # more is no count of tokens, whoever reports it
# OpenAI's and Anthropic's names, then those of gateways that pass on Bedrock's, Gemini's or Ollama's own.
_COUNTS = (
    ("total_tokens",),
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("totalTokens",),
    ("inputTokens", "outputTokens"),
    ("promptTokens", "completionTokens"),
    ("totalTokenCount",),
    ("prompt_eval_count", "eval_count"),
)


def output_bound(
    request: Mapping[str, Any], cap: int | None, choices: int, fields: Sequence[str]
) -> int | None:
    """How many tokens an answer may have at most; None if nothing but the model bounds it.

    Args:
        request: the upstream's body.
        cap: MAX_OUTPUT_TOKENS, which all choices share.
        choices: how many answers were asked for.
        fields: those in which the upstream reads a bound. Of several the highest counts, as it is the
            upstream's to choose.
    """
    asked = [tokens for name in fields if _is_count(tokens := request.get(name)) and tokens]
    if request.keys() - _KNOWN_FIELDS:  # what only a gateway knows may hold another bound
        asked = []
    bounds = [min(max(asked), HIGHEST_OUTPUT) * choices] if asked else []
    return min([*bounds, *([] if cap is None else [cap])], default=None)


def used_tokens(
    transcript: Mapping[str, Any], prompt: PromptTokens, highest_output: int, *, is_bounded: bool = True
) -> int:
    """What an exchange has taken of a budget: as the upstream reports, else estimated.

    An upstream that fails without a word of an answer has taken nothing, unless it may have worked unseen (it
    was only waited for too short a time, say) and be billed. Where an answer broke off, whoever caused that,
    its bounds count: the upstream may have thought, or may go on, unseen. A report that came before is one of
    those that some servers send on the way. An upstream that has itself broken off an answer which nothing
    bounds does not go on: a token for each byte counts, or an outage would cost callers their day.

    Args:
        transcript: a transcript's document.
        prompt: the prompt's tokens.
        highest_output: the most that the answer may have had.
        is_bounded: whether anything but the model bounds the answer.
    """
    response, outcome = transcript["response"], transcript["outcome"]
    reported = reported_tokens(response["usage"])
    answer = answer_tokens(response["choices"])
    if outcome in ("completed", "incomplete"):
        return prompt.estimate + answer if reported is None else reported
    has_failed = outcome == "failed" and transcript["reason"] not in _MAY_BE_BILLED
    if has_failed and not transcript["timings"]["delta_count"]:
        return reported or 0
    has_stopped = has_failed or transcript["reason"] == "upstream_interrupted"
    if has_stopped and not is_bounded:
        return max(reported or 0, prompt.bound + answer * BYTES_PER_TOKEN)
    return max(reported or 0, prompt.bound + max(answer, highest_output))


def reported_tokens(usage: Any) -> int | None:
    """The tokens of a whole exchange in the upstream's own figures, in either dialect; None without any.

    A 0 is none: some servers fill in the field without having counted.
    """
    if not isinstance(usage, dict):
        return None
    for names in _COUNTS:
        counts = [count for name in names if _is_count(count := usage.get(name))]
        if len(counts) == len(names) and any(counts):
            return sum(counts)
    return None


def answer_tokens(choices: Sequence[Mapping[str, Any]]) -> int:
    """An estimate of what has come of an answer.

    Args:
        choices: as in a transcript's `response`.
    """
    return text_tokens(_written(choices))


def _written(choices: Sequence[Mapping[str, Any]]) -> Iterable[str | None]:
    for choice in choices:
        for name in ("content", "refusal", "reasoning", "audio_transcript"):
            yield choice.get(name)
        for call in choice.get("tool_calls") or ():
            yield call.get("name")
            yield call.get("arguments")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_COUNT
