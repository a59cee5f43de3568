"""How much of the conversation a transcript contains: everything, the answer only, or nothing."""

from __future__ import annotations

import re
from typing import Any, Literal

from chat_stream.transcripts.transcript import Transcript

TranscriptContent = Literal["full", "answer", "none"]

# Any field that the caller or the upstream wrote may quote the conversation. Values that match cannot be
# sentences.
_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")  # a model's name or an id

# Settings of the request that shape the answer without showing its subject: numbers and booleans only.
_KEPT_PARAMETERS = frozenset((
    "background", "frequency_penalty", "logprobs", "max_completion_tokens", "max_output_tokens",
    "max_tokens", "max_tool_calls", "min_p", "n", "parallel_tool_calls", "presence_penalty",
    "repetition_penalty", "seed", "store", "stream", "temperature", "top_k", "top_logprobs", "top_p",
))  # fmt: skip


def reduced(transcript: Transcript, content: TranscriptContent) -> Transcript:
    """The transcript without what `content` withholds; transcript.schema.json describes what is absent.

    `answer` keeps the model's answer. Of the request it keeps only the model and the numeric settings, since
    any other field may contain words of the conversation (tools, instructions, metadata, user, unknown
    names). `none` keeps nothing of the conversation. Both remove error messages, which may quote the
    request, and any other value from caller or upstream that does not look like the code or name that it
    should be.
    """
    if content == "full":
        return transcript
    document = transcript.document
    request, response, reason = document["request"], document["response"], document["reason"]
    optional = {"omitted_bytes": response["omitted_bytes"]} if "omitted_bytes" in response else {}
    if "service_tier" in response:
        optional["service_tier"] = _matching(_CODE, response["service_tier"])
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
                "error": _without_message(response["error"]),
                "choices": [_choice(choice, content) for choice in response["choices"]],
                **optional,
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
        kept |= dict.fromkeys(("content", "refusal", "reasoning", "audio_transcript", "tool_calls"))
        kept.pop("media", None)
    return kept


def _settings(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.items()
        if name in _KEPT_PARAMETERS and (value is None or isinstance(value, bool | int | float))
    }


def _numbers(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """The counts, including those in nested objects."""
    if usage is None:
        return None
    return {
        name: _numbers(value) if isinstance(value, dict) else value
        for name, value in usage.items()
        if _CODE.fullmatch(name) and (value is None or isinstance(value, dict | int | float))
    }


def _without_message(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return error and {
        name: None if name == "message" else _matching(_CODE, value) for name, value in error.items()
    }


def _matching(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if pattern.fullmatch(value or "") else None
