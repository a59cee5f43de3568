"""FastAPI and OpenAI's SDK on uvicorn, as AWS's samples run it behind the Lambda Web Adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI()  # reads OPENAI_API_KEY and OPENAI_BASE_URL


@app.get("/chatCompletion")
async def chat_completion(message: str, model: str) -> StreamingResponse:
    """Stream the answer's text."""
    stream = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": message}], stream=True
    )

    async def deltas() -> AsyncIterator[str]:
        async for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                yield text

    return StreamingResponse(deltas(), media_type="text/plain")
