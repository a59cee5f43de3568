"""Every answer format has a route that gives it and a renderer, and keeps the promises of all formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS
from chat_stream.sse import EventStreamParser
from errors import UpstreamError
from public.routes import OpenRoute
from rendering.formats import STREAM_RENDERERS
from rendering.renderer import Renderer
from rendering.timings import RelayTimings
from request.chat_request import AnswerFormat, ChatRequest
from request.http_request import HttpRequest
from routing import MODEL, MODELS, ROUTES, USAGE, find_route
from settings import Settings
from tests.support.conformance_cases import stream_cases
from tests.support.upstreams.replay_upstream import DONE, event

BROKEN_OFF = {"text"}  # formats that have no place for an error: the body is broken off
ERROR = UpstreamError(502, "upstream_interrupted", "The upstream broke off.", type="upstream_error")

MESSAGES = [{"role": "user", "content": "Hi"}]
UI_MESSAGES = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
EVENT_STREAM = {"accept": "text/event-stream"}


def post(path: str, body: Any, headers: Mapping[str, str] | None = None) -> HttpRequest:
    return HttpRequest("POST", path, {}, headers or {}, json.dumps(body).encode())


def ask(headers: Mapping[str, str]) -> HttpRequest:
    return HttpRequest("GET", "/chatCompletion", {"message": "Hi"}, headers, b"")


# Every route that asks the model, once for each format that it gives.
REQUESTS = [
    post("/v1/chat/completions", {"messages": MESSAGES}),
    post("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    post("/v1/responses", {"input": "Hi"}),
    post("/v1/responses", {"input": "Hi", "stream": True}),
    post("/chatCompletion", {"messages": MESSAGES}),
    post("/chatCompletion", {"messages": MESSAGES}, EVENT_STREAM),
    ask({}),
    ask(EVENT_STREAM),
    post("/api/chat", {"messages": UI_MESSAGES}),
]
RESUMPTION = ("GET", "/api/chat/{id}/stream")  # answered without the model


def parsed(http: HttpRequest) -> ChatRequest:
    route = find_route(http, Settings())
    assert not isinstance(route, OpenRoute)
    chat = route(http, Settings())
    assert isinstance(chat, ChatRequest)
    return chat


def chat_of(answer_format: AnswerFormat) -> ChatRequest:
    """A request whose answer has this format."""
    return next(chat for chat in map(parsed, REQUESTS) if chat.answer_format == answer_format)


def rendered(renderer: Renderer, chat: ChatRequest) -> bytes:
    """A whole answer that says "Hi", in the dialect of the request."""
    stream = event("Hi") + event(finish="stop") + DONE
    if chat.dialect is not CHAT_COMPLETIONS:
        stream = next(case.body for case in stream_cases("responses") if case.name == "responses_basic")
    parser, decoder = EventStreamParser(), chat.dialect.decoder(1)
    events = parser.feed(stream)
    return b"".join(renderer.render(e, decoder.decode(e)) for e in events) + renderer.end(parser.rest)


def test_every_streamed_format_has_a_renderer_and_every_renderer_is_a_formats() -> None:
    assert {*STREAM_RENDERERS, "json"} == set(get_args(AnswerFormat))


def test_every_route_that_asks_the_model_is_among_the_requests() -> None:
    asked = {
        (method, path)
        for path, methods in ROUTES.items()
        for method, route in methods.items()
        if not isinstance(route, OpenRoute)
    }
    without_an_answer = {RESUMPTION, ("GET", MODELS), ("GET", MODEL), ("GET", USAGE)}
    assert {(http.method, http.path) for http in REQUESTS} == asked - without_an_answer


def test_every_format_has_a_route() -> None:
    assert {parsed(http).answer_format for http in REQUESTS} == set(get_args(AnswerFormat))


@pytest.mark.parametrize("answer_format", STREAM_RENDERERS)
def test_answer_carries_the_models_text(answer_format: AnswerFormat) -> None:
    chat = chat_of(answer_format)
    assert b"Hi" in rendered(STREAM_RENDERERS[answer_format](chat, "r-1", RelayTimings(), None), chat)


@pytest.mark.parametrize("answer_format", STREAM_RENDERERS)
def test_failure_is_sent_in_band_unless_the_format_must_break_off(answer_format: AnswerFormat) -> None:
    renderer = STREAM_RENDERERS[answer_format](chat_of(answer_format), "r-1", RelayTimings(), None)
    failure = renderer.failure(ERROR)
    if answer_format in BROKEN_OFF:
        assert failure is None
    else:
        assert failure is not None
        assert str(ERROR) in failure.decode()


@pytest.mark.parametrize("answer_format", STREAM_RENDERERS)
def test_only_event_streams_have_a_keep_alive_and_it_is_a_comment(answer_format: AnswerFormat) -> None:
    renderer = STREAM_RENDERERS[answer_format](chat_of(answer_format), "r-1", RelayTimings(), None)
    is_event_stream = renderer.headers["content-type"].startswith("text/event-stream")
    assert (renderer.keep_alive is not None) is is_event_stream
    assert EventStreamParser().feed(renderer.keep_alive or b"") == []
