"""How many tokens an exchange has used: as counted by the upstream, otherwise an estimate or a bound.

A tokenizer would be exact for only one family of models, and would need megabytes of vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from quota.prompt_tokens import BYTES_PER_TOKEN, PromptTokens, text_tokens
from request.openai_fields import CHAT_COMPLETIONS, RESPONSES

# The highest documented maximum for one answer: OpenAI and Anthropic 128,000, Google 65,536, open models
# 131,072.
HIGHEST_OUTPUT = 131_072

_KNOWN_FIELDS = CHAT_COMPLETIONS.fields | RESPONSES.fields

_WHOLE = ("completed", "incomplete")  # outcomes

# Failures without any answer after which the upstream may still bill for its work.
_MAY_BE_BILLED = ("upstream_timeout", "internal_error", "not_event_stream")

HIGHEST_COUNT = 10**12  # a higher number cannot be a token count
# The names of OpenAI and Anthropic, then those of gateways that pass on Bedrock's, Gemini's or Ollama's.
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


class TokenBounds(NamedTuple):
    """The bounds of a request's tokens."""

    prompt: PromptTokens
    highest_output: int  # the most tokens that the answer may have
    is_bounded: bool = True  # whether the request, and not only the model, bounds the answer


def output_bound(
    request: Mapping[str, Any], cap: int | None, choices: int, fields: Sequence[str]
) -> int | None:
    """How many tokens an answer may have at most; None if only the model bounds it.

    Args:
        request: the body for the upstream.
        cap: MAX_OUTPUT_TOKENS, which all choices share.
        choices: how many choices were requested.
        fields: the fields in which the upstream reads a bound. The highest of several counts, because the
            upstream decides which one it uses.
    """
    asked = [tokens for name in fields if _is_count(tokens := request.get(name)) and tokens]
    if request.keys() - _KNOWN_FIELDS:  # a field that only a gateway knows may contain another bound
        asked = []
    bounds = [min(max(asked), HIGHEST_OUTPUT) * choices] if asked else []
    return min([*bounds, *([] if cap is None else [cap])], default=None)


def used_tokens(transcript: Mapping[str, Any], bounds: TokenBounds) -> int:
    """How much of a budget an exchange has used: as reported by the upstream, otherwise estimated.

    Args:
        transcript: the document of a transcript.
        bounds: those of its request.
    """
    reported = reported_tokens(transcript["response"]["usage"])
    return settled(transcript, reported, sum(unreported_tokens(transcript, bounds)))


def settled(transcript: Mapping[str, Any], reported: int | None, unreported: int) -> int:
    """Which of two amounts an exchange has used: the one that the upstream reports, or the estimated one.

    For a whole answer, the reported amount counts, if there is one. If an answer broke off, a usage report
    before the break may be one of the interim reports that some servers send, so the higher amount counts.
    """
    if transcript["outcome"] in _WHOLE and reported is not None:
        return reported
    return max(reported or 0, unreported)


def unreported_tokens(transcript: Mapping[str, Any], bounds: TokenBounds) -> tuple[int, int]:
    """How many tokens of a prompt and of its answer count if the upstream reports none.

    An upstream that fails without any answer has used nothing, unless it may have worked unseen, for example
    beyond a timeout, and may bill for it. If an answer broke off for any reason, its bounds count: the
    upstream may have reasoned, or may go on, unseen. If the upstream itself has broken off an unbounded
    answer, it does not go on: one token for each byte counts, because otherwise an outage would use up the
    callers' day.
    """
    outcome, reason = transcript["outcome"], transcript["reason"]
    prompt = bounds.prompt
    answer = answer_tokens(transcript["response"]["choices"])
    if outcome in _WHOLE:
        return prompt.estimate, answer
    has_failed = outcome == "failed" and reason not in _MAY_BE_BILLED
    if has_failed and not transcript["timings"]["delta_count"]:
        return 0, 0
    has_stopped = has_failed or reason == "upstream_interrupted"
    if has_stopped and not bounds.is_bounded:
        return prompt.bound, answer * BYTES_PER_TOKEN
    return prompt.bound, max(answer, bounds.highest_output)


def reported_tokens(usage: Any) -> int | None:
    """The tokens of a whole exchange as the upstream reports them, in either dialect; None without a report.

    A 0 is no report: some servers fill in the field without counting.
    """
    if not isinstance(usage, dict):
        return None
    for names in _COUNTS:
        counts = [count for name in names if _is_count(count := usage.get(name))]
        if len(counts) == len(names) and any(counts):
            return sum(counts)
    return None


def answer_tokens(choices: Sequence[Mapping[str, Any]]) -> int:
    """An estimate of the tokens of an answer as far as it has arrived, from a transcript's `choices`."""
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
