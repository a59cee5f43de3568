"""How much of a conversation a transcript holds: all of it, the answer only, or none of it."""

from __future__ import annotations

import re
from typing import Any, Literal

from chat_stream.transcripts.transcript import Transcript

TranscriptContent = Literal["full", "answer", "none"]

# What the caller or the upstream wrote into a field may quote the conversation. These look like no sentence.
_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")  # of a model, or an id

# The request's settings that say how to answer, not what about: all of them numbers or booleans.
_KEPT_PARAMETERS = frozenset(
    (
        "background", "frequency_penalty", "logprobs", "max_completion_tokens", "max_output_tokens",
        "max_tokens", "max_tool_calls", "min_p", "n", "parallel_tool_calls", "presence_penalty",
        "repetition_penalty", "seed", "store", "stream", "temperature", "top_k", "top_logprobs", "top_p",
    )
)  # fmt: skip


def reduced(transcript: Transcript, content: TranscriptContent) -> Transcript:
    """The transcript without what `content` withholds; transcript.schema.json says what is absent then.

    `answer` keeps what the model said; of the request only the model and the numeric settings, since any
    other field may hold words of the conversation (tools, instructions, metadata, user, unknown names).
    `none` keeps nothing that anybody said. An error's message goes with the request: it may quote that. So
    may whatever else caller or upstream have written, where it does not look like what it should be.
    """
    if content == "full":
        return transcript
    document = transcript.document
    request, response, reason = document["request"], document["response"], document["reason"]
    return Transcript(
        {
            **document,
            "reason": reason and (_matching(_CODE, reason) or "upstream_error"),
            "request": {
                "model": _matching(_NAME, request["model"]),
                "messages": None,
                "parameters": _settings(request["parameters"]),
            },
            "response": {
                "id": _matching(_NAME, response["id"]),
                "model": _matching(_NAME, response["model"]),
                "usage": _numbers(response["usage"]),
                "error": _without_words(response["error"]),
                "choices": [_choice(choice, content) for choice in response["choices"]],
                **{name: response[name] for name in ("omitted_bytes",) if name in response},
            },
            "upstream": {
                **document["upstream"],
                "request_id": _matching(_NAME, document["upstream"]["request_id"]),
            },
        }
    )


def _choice(choice: dict[str, Any], content: TranscriptContent) -> dict[str, Any]:
    kept = {**choice, "finish_reason": _matching(_CODE, choice["finish_reason"])}
    if content == "none":
        kept |= {
            "content": None,
            "refusal": None,
            "reasoning": None,
            "audio_transcript": None,
            "tool_calls": None,
        }
        kept.pop("media", None)
    return kept


def _settings(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.items()
        if name in _KEPT_PARAMETERS and (value is None or isinstance(value, bool | int | float))
    }


def _numbers(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """The counts, with those of the details below them."""
    if usage is None:
        return None
    return {
        name: _numbers(value) if isinstance(value, dict) else value
        for name, value in usage.items()
        if _CODE.fullmatch(name) and (value is None or isinstance(value, dict | int | float))
    }


def _without_words(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return error and {
        name: None if name == "message" else _matching(_CODE, value) for name, value in error.items()
    }


def _matching(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if pattern.fullmatch(value or "") else None
