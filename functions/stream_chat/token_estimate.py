"""How many tokens an exchange has taken: as the upstream has counted, or about, where nobody has (yet).

A tokenizer would be exact for one family of models only, and needs megabytes of vocabulary for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

# English text in OpenAI's tokenizers, and within a factor of two the languages that OpenAI has published
# figures of: in scripts outside ASCII a token is fewer characters, which are more bytes each.
BYTES_PER_TOKEN = 4

# An image in high detail (1024 x 1024: 765), a page or two of a PDF, a minute and a half of speech. The size
# of what is sent says little about it, and the upstream's own figure takes its place in the end.
MEDIA_TOKENS = 1000

# Fields that hold a medium or its place. Others are text, whatever they look like: what only claims to be a
# data URL, in the middle of a message, is read by the model letter by letter.
_MEDIA = frozenset(("audio_url", "file_data", "file_id", "file_url", "image_url", "input_audio", "video_url"))
_MEDIUM_IN = ("url", "data")
_GENERATED_IMAGE = "image_generation_call"  # an item of a Responses input, whose `result` is the image

_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_UPSTREAM_GOES_ON = ("caller_gone", "deadline_exceeded")
_MAY_BE_BILLED = ("upstream_timeout", "internal_error")

HIGHEST_COUNT = 10**12  # more is no count of tokens, whoever reports it
_COUNTS = (("total_tokens",), ("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def prompt_tokens(recorded: Mapping[str, Any]) -> int:
    """An estimate of a prompt: at least 1.

    Names of fields count like text: they take about the room of the marks that models put around messages.
    Every parameter counts, as one that is not known here may be part of the prompt.

    Args:
        recorded: `messages` and `parameters` as in `ChatRequest.recorded`, in any depth.
    """
    return max(_tokens((recorded.get("messages"), recorded.get("parameters"))), 1)


def output_bound(parameters: Mapping[str, Any], cap: int | None, choices: int) -> int | None:
    """How many tokens an answer may have at most, as far as that is known.

    Args:
        parameters: of the request.
        cap: MAX_OUTPUT_TOKENS, which all choices share.
        choices: how many answers were asked for.
    """
    asked = [tokens * choices for name in _BOUNDS if _is_count(tokens := parameters.get(name))]
    return min([*asked, *([] if cap is None else [cap])], default=None)


def used_tokens(transcript: Mapping[str, Any], prompt: int, bound: int | None = None) -> int:
    """What an exchange has taken of a budget: as the upstream reports, else estimated.

    An upstream that fails without a word of an answer has taken nothing, unless it was only waited for too
    short a time: it may be at work, and be billed. Where an answer broke off, the
    report may be one of those that some servers send on the way: the estimate holds if it is more.

    Args:
        transcript: a transcript's document.
        prompt: the estimate of the prompt's tokens.
        bound: the most that the answer may have had. It counts where the upstream was left in the middle: it
            may have thought, or may go on, unseen. Else whoever hangs up in time would pay for nothing.
    """
    response, outcome = transcript["response"], transcript["outcome"]
    reported = reported_tokens(response["usage"])
    if outcome in ("completed", "incomplete") and reported is not None:
        return reported
    has_refused = outcome == "failed" and transcript["reason"] not in _MAY_BE_BILLED
    if has_refused and not transcript["timings"]["delta_count"]:
        return reported or 0
    estimate = prompt + answer_tokens(response["choices"])
    if transcript["reason"] in _UPSTREAM_GOES_ON and bound is not None:
        estimate = max(estimate, prompt + bound)
    return max(reported or 0, estimate)


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
    return _tokens(_written(choices))


def _written(choices: Sequence[Mapping[str, Any]]) -> Iterable[str | None]:
    for choice in choices:
        for name in ("content", "refusal", "reasoning", "audio_transcript"):
            yield choice.get(name)
        for call in choice.get("tool_calls") or ():
            yield call.get("name")
            yield call.get("arguments")


def _tokens(values: Iterable[Any]) -> int:
    text_bytes = others = media = 0
    pending = list(values)  # not by recursion: JSON may be nested deeper than that goes
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            text_bytes += _utf8_bytes(value)
        elif isinstance(value, dict):
            for name, held in value.items():
                if _is_medium(name, held, value):
                    media += 1
                else:
                    text_bytes += _utf8_bytes(name)
                    pending.append(held)
        elif isinstance(value, list):
            pending.extend(value)
        elif value is not None:
            others += 1
    return -(-text_bytes // BYTES_PER_TOKEN) + others + media * MEDIA_TOKENS


def _is_medium(name: str, held: Any, holder: Mapping[str, Any]) -> bool:
    if name == "result" and holder.get("type") == _GENERATED_IMAGE:
        return isinstance(held, str)
    if name not in _MEDIA:
        return False
    if isinstance(held, dict):  # rather than what a tool's schema says about an argument of that name
        return any(isinstance(held.get(inner), str) for inner in _MEDIUM_IN)
    return isinstance(held, str) and held != ""


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HIGHEST_COUNT


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
