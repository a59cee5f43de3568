"""The scripted model, through the official client's own types."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from local.scripted_model import scripted_answer, scripted_model

MESSAGES = [{"role": "user", "content": "what is a delta?"}]


def post(body: bytes) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(scripted_model(words_per_s=0))
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await client.post("/v1/chat/completions", content=body)

    return asyncio.run(send())


def ask(**request: Any) -> httpx.Response:
    return post(json.dumps({"model": "gpt", "messages": MESSAGES, **request}).encode())


def chunks_of(response: httpx.Response) -> list[ChatCompletionChunk]:
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [
        ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True) for event in events
    ]


def test_a_streamed_answer_comes_word_by_word_in_openais_form() -> None:
    response = ask(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = chunks_of(response)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == scripted_answer("what is a delta?")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len(chunks) == len(text.split(" ")) + 2


def test_usage_comes_last_when_it_is_asked_for_and_only_then() -> None:
    *chunks, last = chunks_of(ask(stream=True, stream_options={"include_usage": True}))
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(chunks) - 2
    assert all(chunk.usage is None for chunk in chunks_of(ask(stream=True)))


def test_an_unstreamed_answer_says_the_same() -> None:
    completion = ChatCompletion.model_validate_json(ask().content, strict=True)
    assert completion.choices[0].message.content == scripted_answer("what is a delta?")


def test_the_answer_refers_to_the_last_user_message_even_in_parts() -> None:
    parts = [{"type": "text", "text": "first part"}, {"type": "image_url"}]
    later = [*MESSAGES, {"role": "user", "content": parts}, {"role": "assistant", "content": "x"}]
    answer = ask(messages=later).json()["choices"][0]["message"]["content"]
    assert "first part" in answer


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"messages": []}', b'{"messages": "hello"}'])
def test_a_request_without_messages_is_an_error_in_openais_form(body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_lone_surrogate_in_the_message_does_not_end_the_model() -> None:
    assert scripted_answer("half \ud800 pair").encode()
