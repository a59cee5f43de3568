"""How much of a conversation a transcript holds: all of it, the answer only, or none of it."""

from __future__ import annotations

import re
from typing import Any, Literal

from chat_stream.transcript import Transcript

TranscriptContent = Literal["full", "answer", "none"]

# Fields of an error that come from the upstream may quote the prompt. A code does not look like a sentence.
_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")


def reduced(transcript: Transcript, content: TranscriptContent) -> Transcript:
    """The transcript without what `content` withholds; transcript.schema.json says what is absent then.

    `answer` keeps what the model said; of the request only the model and the parameters that are numbers,
    booleans or null (any other may hold words of the conversation: tools, instructions, metadata, user).
    `none` keeps nothing that anybody said. An error's message goes with the request: it may quote that.
    """
    if content == "full":
        return transcript
    document = transcript.document
    response = {**document["response"], "error": _without_words(document["response"]["error"])}
    if content == "none":
        response["choices"] = [
            {**choice, "content": None, "refusal": None, "reasoning": None, "tool_calls": None}
            for choice in response["choices"]
        ]
    request = {
        "model": document["request"]["model"],
        "messages": None,
        "parameters": _without_conversation(document["request"]["parameters"]),
    }
    reason = document["reason"]
    return Transcript(
        {
            **document,
            "reason": reason and (_code(reason) or "upstream_error"),
            "request": request,
            "response": response,
        }
    )


def _without_conversation(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in parameters.items()
        if _CODE.fullmatch(name) and (value is None or isinstance(value, bool | int | float))
    }


def _without_words(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return error and {name: None if name == "message" else _code(value) for name, value in error.items()}


def _code(value: str | None) -> str | None:
    return value if _CODE.fullmatch(value or "") else None
