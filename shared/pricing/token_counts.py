"""The tokens of a usage by their kinds, in the forms of all APIs (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chat_stream.json_values import object_in

_MAX_TOKENS = 10**15  # more than any answer has: a larger number is no count

_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")


class TokenCounts(NamedTuple):
    """The tokens of one answer. No token is in two of the kinds.

    Attributes:
        kinds: kind of token, as in price_list.py → count.
        input_tokens: all tokens of the prompt, which decide the price of long contexts.
        tells: the kinds that the usage counts apart, even if there are none of them.
        mixes_cached_audio: whether there is audio and cached input, and nothing says how much of the audio is
            cached.
    """

    kinds: Mapping[str, int]
    input_tokens: int
    tells: frozenset[str]
    mixes_cached_audio: bool


def token_counts(usage: Mapping[str, Any]) -> TokenCounts | None:
    """The tokens of a usage object; None if it lacks a count, or its counts contradict each other.

    The forms, each with the API that documents it:

    - `prompt_tokens` and `completion_tokens` (chat completions), `input_tokens` and `output_tokens`
      (Responses): cached tokens and cache writes are part of the first. `*_details` tells how many.
      Moonshot has `cached_tokens` in the usage itself, DeepSeek `prompt_cache_hit_tokens`.
    - `input_tokens` beside `cache_read_input_tokens` or `cache_creation_input_tokens` (Anthropic's Messages
      API): these come on top. LiteLLM, which has them beside `prompt_tokens`, includes them there.
    - A `total_tokens` that is larger than both: the rest is reasoning, unless it is exactly what is in the
      cache. xAI and Gemini leave reasoning out of `completion_tokens`, and it is paid as output. Elsewhere it
      is part of the output.
    """
    inputs, outputs = _details(usage, _INPUT_DETAILS), _details(usage, _OUTPUT_DETAILS)
    prompt, output = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    is_messages_api = prompt is None and not inputs
    prompt = _count(usage, "input_tokens") if prompt is None else prompt
    output = _count(usage, "output_tokens") if output is None else output
    if prompt is None or output is None:
        return None
    cached = _first(
        (inputs, "cached_tokens"),
        (usage, "cached_tokens"),
        (usage, "prompt_cache_hit_tokens"),
        (usage, "cache_read_input_tokens"),
    )
    written = _first(
        (inputs, "cache_write_tokens"),
        (inputs, "cache_creation_tokens"),
        (usage, "cache_write_tokens"),
        (usage, "cache_creation_input_tokens"),
    )
    if is_messages_api:
        prompt += sum(
            _count(usage, name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
        )
    surplus = (_count(usage, "total_tokens") or 0) - prompt - output
    if surplus > 0:
        reasoning = _count(outputs, "reasoning_tokens") or 0
        if surplus == cached + written != reasoning:
            prompt += surplus
        elif reasoning in (0, surplus):
            output += surplus
        else:
            return None
    return _counted(usage, inputs, outputs, prompt=prompt, output=output, cached=cached, written=written)


def _counted(
    usage: Mapping[str, Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    *,
    prompt: int,
    output: int,
    cached: int,
    written: int,
) -> TokenCounts | None:
    written_1h = min(_written_for_an_hour(usage, inputs), written)
    split = object_in(inputs.get("cached_tokens_details"))
    audio, image = _count(inputs, "audio_tokens") or 0, _count(inputs, "image_tokens") or 0
    cached_audio = _count(split, "audio_tokens") or 0
    said, drawn = _count(outputs, "audio_tokens") or 0, _count(outputs, "image_tokens") or 0
    kinds = {
        "input": prompt - cached - written - (audio - cached_audio) - image,
        "cached_input": cached - cached_audio,
        "cache_write": written - written_1h,
        "cache_write_1h": written_1h,
        "input_audio": audio - cached_audio,
        "cached_audio": cached_audio,
        "input_image": image,
        "output": output - said - drawn,
        "output_audio": said,
        "output_image": drawn,
    }
    if min(kinds.values()) < 0:
        return None
    tells = {f"output_{kind}" for kind in ("audio", "image") if _count(outputs, f"{kind}_tokens") is not None}
    mixes = bool(audio and cached and not split)
    return TokenCounts(kinds, prompt, frozenset(tells), mixes)


def _written_for_an_hour(usage: Mapping[str, Any], inputs: Mapping[str, Any]) -> int:
    """The cache writes that are kept for an hour and cost more, in Anthropic's form and in LiteLLM's."""
    for holder in (usage.get("cache_creation"), inputs.get("cache_creation_token_details")):
        if count := _count(object_in(holder), "ephemeral_1h_input_tokens"):
            return count
    return 0


def _details(usage: Mapping[str, Any], names: tuple[str, ...]) -> Mapping[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})


def _first(*places: tuple[Mapping[str, Any], str]) -> int:
    """The first count above 0 in one of the places."""
    return next((count for holder, name in places if (count := _count(holder, name))), 0)


def _count(holder: Mapping[str, Any], name: str) -> int | None:
    """A number of tokens, which some upstreams send as a float; None for anything else."""
    value = holder.get(name)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None
