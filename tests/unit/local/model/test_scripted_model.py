"""The scripted model, read with the types of the official client."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from local.model.script import (
    MAX_SILENCE_S,
    MAX_STREAM_BYTES,
    Script,
    bytes_message,
    script_in,
    silence_message,
)
from local.model.scripted_model import scripted_answer, scripted_model

MESSAGES = [{"role": "user", "content": "what is a delta?"}]


def post(body: bytes, path: str = "/v1/chat/completions") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(scripted_model(words_per_s=0))
        async with httpx.AsyncClient(transport=transport, base_url="http://model") as client:
            return await client.post(path, content=body)

    return asyncio.run(send())


def ask(**request: Any) -> httpx.Response:
    return post(json.dumps({"model": "gpt", "messages": MESSAGES, **request}).encode())


def chunks_of(response: httpx.Response) -> list[ChatCompletionChunk]:
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [
        ChatCompletionChunk.model_validate_json(event.removeprefix("data: "), strict=True) for event in events
    ]


def test_a_streamed_answer_arrives_word_by_word_in_openais_format() -> None:
    response = ask(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    chunks = chunks_of(response)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == scripted_answer("what is a delta?")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert len(chunks) == len(text.split(" ")) + 2


def test_usage_is_the_last_chunk_if_it_is_requested_and_else_absent() -> None:
    *chunks, last = chunks_of(ask(stream=True, stream_options={"include_usage": True}))
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == len(chunks) - 2
    assert all(chunk.usage is None for chunk in chunks_of(ask(stream=True)))


def test_an_unstreamed_answer_has_the_same_text() -> None:
    completion = ChatCompletion.model_validate_json(ask().content, strict=True)
    assert completion.choices[0].message.content == scripted_answer("what is a delta?")


def test_the_answer_quotes_the_last_user_message_even_if_it_is_in_parts() -> None:
    parts = [{"type": "text", "text": "first part"}, {"type": "image_url"}]
    later = [*MESSAGES, {"role": "user", "content": parts}, {"role": "assistant", "content": "x"}]
    answer = ask(messages=later).json()["choices"][0]["message"]["content"]
    assert "first part" in answer


def respond(**request: Any) -> httpx.Response:
    return post(
        json.dumps({"model": "gpt", "input": "what is a delta?", **request}).encode(), "/v1/responses"
    )


def test_a_streamed_response_arrives_word_by_word_in_openais_format() -> None:
    *events, rest = respond(stream=True).text.split("\n\n")
    assert rest == ""
    reader: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    words = []
    for number, event in enumerate(events):
        name, _, data = event.partition("\n")
        read = reader.validate_json(data.removeprefix("data: "), strict=True)
        assert (name, read.sequence_number) == (f"event: {read.type}", number)
        words += [read.delta] if read.type == "response.output_text.delta" else []
    assert "".join(words) == scripted_answer("what is a delta?")
    assert len(words) == len("".join(words).split(" "))
    assert read.type == "response.completed"
    assert read.response.output_text == "".join(words)


def test_an_unstreamed_response_has_the_same_text() -> None:
    items = [{"role": "user", "content": [{"type": "input_text", "text": "what is a delta?"}]}]
    response = Response.model_validate_json(respond(input=items).content, strict=True)
    assert response.output_text == scripted_answer("what is a delta?")
    assert response.usage is not None
    assert response.usage.output_tokens == len(response.output_text.split(" "))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"input": []}', b'{"input": 1}'])
def test_a_response_request_without_input_is_an_error_in_openais_format(body: bytes) -> None:
    response = post(body, "/v1/responses")
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"messages": []}', b'{"messages": "hello"}'])
def test_a_request_without_messages_is_an_error_in_openais_format(body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_lone_surrogate_in_the_message_does_not_break_the_model() -> None:
    assert scripted_answer("half \ud800 pair").encode()


def scripted(message: str) -> httpx.Response:
    return ask(stream=True, messages=[{"role": "user", "content": message}])


def test_a_message_can_ask_for_a_long_stream_whose_text_stays_short() -> None:
    response = scripted(bytes_message(200_000))
    chunks = chunks_of(response)
    assert 200_000 <= len(response.content) < 300_000
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == scripted_answer(bytes_message(200_000))


def test_a_message_can_ask_for_a_silence() -> None:
    began_at = time.monotonic()
    assert chunks_of(scripted(silence_message(1)))
    assert time.monotonic() - began_at >= 1


def test_what_a_message_may_ask_for_is_bounded() -> None:
    assert script_in(silence_message(999)).silence_s == MAX_SILENCE_S
    assert script_in(bytes_message(10**9 - 1)).stream_bytes == MAX_STREAM_BYTES
    assert script_in("be silent for 20 s") == Script()
