"""The scripted model's answer in the Responses API: the same words in other events."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any


class ScriptedResponse:
    """One answer, streamed or whole.

    Args:
        asked: the request, with its `model`.
        words: the words of the answer.
        tokens: the usage reported for the question.
        thinking_s: the pause before the first word.
        pause_s: the pause after each word.
    """

    def __init__(
        self, asked: dict[str, Any], words: Sequence[str], tokens: int, thinking_s: float, pause_s: float
    ) -> None:
        self._words = words
        self._thinking_s = thinking_s
        self._pause_s = pause_s
        self._usage = {
            "input_tokens": tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": len(words),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens + len(words),
        }
        self._message_id = f"msg_{uuid.uuid4().hex}"
        self._base = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": asked["model"],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        }

    async def whole(self) -> dict[str, Any]:
        """The answer as one document."""
        await asyncio.sleep(self._thinking_s)
        return self._completed()

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as server-sent events."""
        number = 0
        async for kind, fields in self._events():
            document = {"type": kind, "sequence_number": number, **fields}
            data = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            yield f"event: {kind}\ndata: {data}\n\n".encode()
            number += 1

    async def _events(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        in_progress = {**self._base, "status": "in_progress", "output": [], "usage": None}
        yield "response.created", {"response": in_progress}
        yield "response.in_progress", {"response": in_progress}
        await asyncio.sleep(self._thinking_s)
        at_item = {"output_index": 0}
        at_part = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
        yield "response.output_item.added", {**at_item, "item": self._message("in_progress", [])}
        yield "response.content_part.added", {**at_part, "part": _output_text("")}
        for position, word in enumerate(self._words):
            delta = word if position == 0 else f" {word}"
            yield "response.output_text.delta", {**at_part, "delta": delta, "logprobs": []}
            await asyncio.sleep(self._pause_s)
        yield "response.output_text.done", {**at_part, "text": self._text, "logprobs": []}
        yield "response.content_part.done", {**at_part, "part": _output_text(self._text)}
        yield "response.output_item.done", {**at_item, "item": self._completed()["output"][0]}
        yield "response.completed", {"response": self._completed()}

    @property
    def _text(self) -> str:
        return " ".join(self._words)

    def _completed(self) -> dict[str, Any]:
        output = [self._message("completed", [_output_text(self._text)])]
        return {**self._base, "status": "completed", "output": output, "usage": self._usage}

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }


def _output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
