"""A model that needs no key: an OpenAI-compatible server that answers word by word, at human pace."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.model.script import script_in
from local.model.scripted_response import ScriptedResponse

MODEL = "scripted-model"
THINKING_S = 0.4
QUOTED_CHARACTERS = 120
FINGERPRINT = "fp_scripted"  # by which a caller recognizes this model through a relay
PADDING_CHARACTERS = 16 * 1024

ANSWERS = (
    "You said “{message}”. I am the scripted model of the local stack: there is no language model behind me, "
    "yet every word of this came to you the way a real answer would. It left an OpenAI-compatible server as "
    "a server-sent event, passed through the Lambda runtime, and reached you before the next word was "
    "written. Set OPENAI_API_KEY and run again, and a real model takes my place.",
    "Good question: “{message}”. The honest answer is that I only know how to speak in time. Each word "
    "you see was a chunk of its own on the wire, relayed as soon as it was there. When I stop, the whole "
    "answer is put together once more and sent to a queue, so look at the terminal too. With OPENAI_API_KEY "
    "set, somebody who knows more than I do will answer.",
    "Let me think about “{message}”. While I do, notice that nothing here waits for me to finish: the first "
    "word was yours before I had chosen the last. That is all that streaming is, and it is why it feels "
    "quick. For an answer with more substance, set OPENAI_API_KEY and ask again.",
)


def scripted_answer(message: str) -> str:
    """The model's answer to this message; the same message always gets the same answer."""
    message = message.encode("utf-8", "replace").decode()  # JSON can hold a lone surrogate, UTF-8 cannot
    quoted = " ".join(message.split())
    if len(quoted) > QUOTED_CHARACTERS:
        quoted = quoted[:QUOTED_CHARACTERS].rstrip() + "…"
    return ANSWERS[zlib.crc32(message.encode()) % len(ANSWERS)].format(message=quoted)


def scripted_model(words_per_s: float) -> Starlette:
    """The ASGI app; `words_per_s` 0 means without pauses."""
    thinking_s, pause_s = (THINKING_S, 1 / words_per_s) if words_per_s else (0.0, 0.0)

    async def answer(request: Request, field: str, kind: type[_Completion | ScriptedResponse]) -> Response:
        try:
            asked = await request.json()
        except ValueError:
            return _error("We could not parse the JSON body of your request.", None)
        messages = asked.get(field) if isinstance(asked, dict) else None
        if field == "input" and isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if not isinstance(messages, list) or not messages:
            return _error(f"Missing required parameter: '{field}'.", field)
        asked["model"] = asked.get("model") or MODEL
        words = scripted_answer(_last_user_text(messages)).split(" ")
        scripted = kind(asked, words, _tokens(messages), thinking_s, pause_s)
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}"}
        if asked.get("stream"):
            return StreamingResponse(scripted.stream(), headers=headers, media_type="text/event-stream")
        return JSONResponse(await scripted.whole(), headers=headers)

    async def models(request: Request) -> Response:
        model = {"id": MODEL, "object": "model", "created": 1767225600, "owned_by": "delta-relay"}
        return JSONResponse({"object": "list", "data": [model]})

    completions = partial(answer, field="messages", kind=_Completion)
    responses = partial(answer, field="input", kind=ScriptedResponse)
    return Starlette(
        routes=[
            Route("/v1/chat/completions", completions, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
        ]
    )


class _Completion:
    """The answer in the chat completions API; its arguments are those of ScriptedResponse."""

    def __init__(
        self, asked: dict[str, Any], words: Sequence[str], tokens: int, thinking_s: float, pause_s: float
    ) -> None:
        self._words = words
        self._script = script_in(_last_user_text(asked["messages"]))
        self._thinking_s = thinking_s
        self._pause_s = pause_s
        options = asked.get("stream_options")
        self._include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        self._usage = {
            "prompt_tokens": tokens,
            "completion_tokens": len(words),
            "total_tokens": tokens + len(words),
        }
        self._base = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked["model"],
            "system_fingerprint": FINGERPRINT,
        }

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as server-sent events."""
        await asyncio.sleep(self._thinking_s)
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for position, word in enumerate(self._words):
            if position == len(self._words) // 2:
                await asyncio.sleep(self._script.silence_s)
            yield self._chunk({"content": word if position == 0 else f" {word}"})
            await asyncio.sleep(self._pause_s)
        for padding in self._padding():
            yield padding
        yield self._chunk({}, "stop")
        if self._include_usage:
            yield _event({**self._base, "choices": [], "usage": self._usage})
        yield b"data: [DONE]\n\n"

    async def whole(self) -> dict[str, Any]:
        """The answer as one chat.completion."""
        await asyncio.sleep(self._thinking_s)
        message = {"role": "assistant", "content": " ".join(self._words), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._base, "object": "chat.completion", "choices": [choice], "usage": self._usage}

    def _padding(self) -> Iterator[bytes]:
        """Chunks without text up to the script's length, in the field in which OpenAI pads chunks."""
        left_bytes = self._script.stream_bytes
        while left_bytes > 0:
            chunk = self._chunk({}, obfuscation="x" * min(left_bytes, PADDING_CHARACTERS))
            left_bytes -= len(chunk)
            yield chunk

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **fields: str) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        usage = {"usage": None} if self._include_usage else {}
        return _event({**self._base, "choices": [choice], **usage, **fields})


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _error(message: str, param: str | None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return JSONResponse({"error": error}, 400)


def _tokens(messages: list[Any]) -> int:
    return sum(len(_text(message).split()) + 4 for message in messages)


def _last_user_text(messages: list[Any]) -> str:
    asked = [message for message in messages if isinstance(message, dict) and message.get("role") == "user"]
    return _text(asked[-1]) if asked else _text(messages[-1])


def _text(message: Any) -> str:
    """The text of a message, whose content is a string or a list of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
