"""Ask with OpenAI's packages in all their ways, and record how each returns an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import openai
from openai.types.chat import ChatCompletionMessageParam

from tests.support.clients.node_programs import run_node_program

CREATE_WAYS = ["chat create", "responses create"]
HELPER_WAYS = ["chat helper", "responses helper"]
WHOLE_WAYS = ["chat whole", "responses whole"]

Job = tuple[str, str]  # a way, and the model to ask for

_MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@dataclass
class Seen:
    """One answer as a package returned it.

    Attributes:
        text_deltas: the pieces of the visible text, in order; those of a refusal are in `refusal_deltas`. In
            a list of models, their ids; the id of one model is the `text`.
        text: the whole text, assembled by the package if it does that; `refusal` likewise.
        tool_calls: id, name and arguments of each.
        events: the types of the events of a Responses stream.
        failure: the message of an event that reports a failure, if the package returned it as an event.
        error: kind, status, code and message of the exception that the package raised.
    """

    text_deltas: list[str] = field(default_factory=list)
    refusal_deltas: list[str] = field(default_factory=list)
    text: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    total_tokens: int | None = None
    events: list[str] = field(default_factory=list)
    failure: str | None = None
    error: dict[str, Any] | None = None

    def add_chunk(self, chunk: Any) -> None:
        """Add a chunk of a chat completion, as a program does that assembles the answer itself."""
        for choice in chunk.choices:
            self.add_deltas(choice.delta.content, choice.delta.refusal)
            for piece in choice.delta.tool_calls or []:
                if piece.index == len(self.tool_calls):
                    self.tool_calls.append({"id": piece.id, "name": piece.function.name, "arguments": ""})
                self.tool_calls[piece.index]["arguments"] += piece.function.arguments or ""
            self.finish_reason = choice.finish_reason or self.finish_reason

    def add_deltas(self, text: str | None, refusal: str | None) -> None:
        """Add a delta of the text and one of the refusal, unless they are empty."""
        self.text_deltas += [text] if text else []
        self.refusal_deltas += [refusal] if refusal else []

    def add_helper_event(self, event: Any) -> None:
        """Add an event of the helper for chat completions, which assembles the answer."""
        if event.type == "content.delta":
            self.add_deltas(event.delta, None)
        elif event.type == "refusal.delta":
            self.add_deltas(None, event.delta)

    def add_completion(self, completion: Any) -> None:
        """Add the whole chat completion."""
        choice = completion.choices[0]
        self.text, self.refusal = choice.message.content or "", choice.message.refusal or ""
        self.tool_calls = [
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in choice.message.tool_calls or []
        ]
        self.finish_reason = choice.finish_reason
        self.total_tokens = completion.usage.total_tokens if completion.usage else None

    def add_event(self, event: Any) -> None:
        """Add an event of a Responses stream, as a program does that assembles the answer itself."""
        self.events.append(event.type)
        match event.type:
            case "response.output_text.delta":
                self.add_deltas(event.delta, None)
            case "response.refusal.delta":
                self.add_deltas(None, event.delta)
            case "response.output_item.added" if event.item.type == "function_call":
                call = {"id": event.item.call_id, "name": event.item.name, "arguments": ""}
                self.tool_calls.append(call | {"item": event.item.id})
            case "response.function_call_arguments.delta":
                call = next(call for call in self.tool_calls if call["item"] == event.item_id)
                call["arguments"] += event.delta
            case "response.completed" | "response.failed":
                for call in self.tool_calls:
                    del call["item"]
                self.finish_reason = event.response.status
                self.failure = event.response.error and event.response.error.message
            case "error":
                self.failure = event.message

    def add_response(self, response: Any) -> None:
        """Add the whole response."""
        contents = [part for item in response.output if item.type == "message" for part in item.content]
        self.text = response.output_text
        self.refusal = "".join(part.refusal for part in contents if part.type == "refusal")
        self.tool_calls = [
            {"id": item.call_id, "name": item.name, "arguments": item.arguments}
            for item in response.output
            if item.type == "function_call"
        ]
        self.finish_reason = response.status
        self.total_tokens = response.usage.total_tokens

    def add_error(self, error: Exception) -> None:
        """Add the exception that the package raised."""
        is_api_error = isinstance(error, openai.APIError)
        self.error = {
            "kind": "APIError" if is_api_error else type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "code", None),
            "message": getattr(error, "message", str(error)),
        }

    def finished(self) -> Seen:
        """This answer, with text and refusal joined from their deltas if the package did not do so."""
        self.text = "".join(self.text_deltas) if self.text is None else self.text
        self.refusal = "".join(self.refusal_deltas) if self.refusal is None else self.refusal
        return self


def ask_by_python(url: str, jobs: Sequence[Job]) -> list[Seen]:
    """Ask with the synchronous client of the package from PyPI."""
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
        return [_ask(client, way, model) for way, model in jobs]


def ask_by_async_python(url: str, jobs: Sequence[Job]) -> list[Seen]:
    """Ask with the asynchronous client of the package from PyPI."""

    async def ask_all() -> list[Seen]:
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            return [await _ask_async(client, way, model) for way, model in jobs]

    return asyncio.run(ask_all())


def ask_by_npm(url: str, jobs: Sequence[Job]) -> list[Seen]:
    """Ask with the package from npm."""
    named = [{"way": way, "model": model} for way, model in jobs]
    return [Seen(**seen) for seen in run_node_program("openai_package.mjs", url, jobs=named)]


ASK_BY: Mapping[str, Callable[[str, Sequence[Job]], list[Seen]]] = {
    "python": ask_by_python,
    "async python": ask_by_async_python,
    "npm": ask_by_npm,
}


def _ask(client: openai.OpenAI, way: str, model: str) -> Seen:
    seen = Seen()
    chat, responses = client.chat.completions, client.responses
    try:
        match way:
            case "chat create":
                for chunk in chat.create(model=model, messages=_MESSAGES, stream=True):
                    seen.add_chunk(chunk)
            case "chat helper":
                with chat.stream(model=model, messages=_MESSAGES) as chat_stream:
                    for chat_event in chat_stream:
                        seen.add_helper_event(chat_event)
                    seen.add_completion(chat_stream.get_final_completion())
            case "chat whole":
                seen.add_completion(chat.create(model=model, messages=_MESSAGES))
            case "responses create":
                for event in responses.create(model=model, input="hi", stream=True):
                    seen.add_event(event)
            case "responses helper":
                with responses.stream(model=model, input="hi") as stream:
                    for helper_event in stream:
                        seen.add_event(helper_event)
                    if seen.finish_reason == "completed":  # the package has a final response of no other
                        seen.add_response(stream.get_final_response())
            case "responses whole":
                seen.add_response(responses.create(model=model, input="hi"))
            case "models list":
                seen.text_deltas = [listed.id for listed in client.models.list()]
            case "models retrieve":
                seen.text = client.models.retrieve(model).id
    except Exception as error:  # noqa: BLE001 - users see whatever the package raises
        seen.add_error(error)
    return seen.finished()


async def _ask_async(client: openai.AsyncOpenAI, way: str, model: str) -> Seen:
    seen = Seen()
    chat, responses = client.chat.completions, client.responses
    try:
        match way:
            case "chat create":
                async for chunk in await chat.create(model=model, messages=_MESSAGES, stream=True):
                    seen.add_chunk(chunk)
            case "chat helper":
                async with chat.stream(model=model, messages=_MESSAGES) as chat_stream:
                    async for chat_event in chat_stream:
                        seen.add_helper_event(chat_event)
                    seen.add_completion(await chat_stream.get_final_completion())
            case "chat whole":
                seen.add_completion(await chat.create(model=model, messages=_MESSAGES))
            case "responses create":
                async for event in await responses.create(model=model, input="hi", stream=True):
                    seen.add_event(event)
            case "responses helper":
                async with responses.stream(model=model, input="hi") as stream:
                    async for helper_event in stream:
                        seen.add_event(helper_event)
                    if seen.finish_reason == "completed":
                        seen.add_response(await stream.get_final_response())
            case "responses whole":
                seen.add_response(await responses.create(model=model, input="hi"))
            case "models list":
                seen.text_deltas = [listed.id async for listed in client.models.list()]
            case "models retrieve":
                seen.text = (await client.models.retrieve(model)).id
    except Exception as error:  # noqa: BLE001 - as above
        seen.add_error(error)
    return seen.finished()
