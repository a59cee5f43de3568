"""What handles each path and method."""

from __future__ import annotations

import json
from typing import Any

import pytest

from answers import Answer
from errors import RequestError
from public.routes import OPEN_ROUTES, OpenRoute
from request.chat_request import ChatRequest
from request.http_request import HttpRequest
from routing import ROUTES, find_route
from settings import Settings

SETTINGS = Settings(default_model="default")
WITH_PLAYGROUND = Settings(default_model="default", playground=True)
MESSAGES = [{"role": "user", "content": "hi"}]


def post(body: Any, path: str) -> HttpRequest:
    return HttpRequest("POST", path, {}, {}, json.dumps(body).encode())


RESUMPTIONS = ["/api/chat/9dGRhvHAP8xy2yVT/stream", "/api/chat/a%2Fb/stream", "/api/chat/a/b/stream",
               "/api/chat/ü ?\n/stream", "/api/chat/stream/stream", "/api/chat/stream"]  # fmt: skip


@pytest.mark.parametrize("path", RESUMPTIONS)
def test_a_resumption_gets_a_stream_that_only_ends(path: str) -> None:
    http = HttpRequest("GET", path, {}, {}, b"")
    route = find_route(http, SETTINGS)
    assert not isinstance(route, OpenRoute), "a caller must say who they are"
    answer = route(http, SETTINGS)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.body == b"data: [DONE]\n\n"
    with pytest.raises(RequestError) as raised:
        find_route(http._replace(method="POST"), SETTINGS)
    assert (raised.value.status, raised.value.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["/v1/models", "/models", "/v1/models/gpt-6", "/models/meta/llama-5", "/v1/usage", "/usage"]
)
def test_models_and_usage_are_looked_up_for_a_known_caller(path: str) -> None:
    http = HttpRequest("GET", path, {}, {}, b"")
    route = find_route(http, SETTINGS)
    assert not isinstance(route, OpenRoute), "a caller must say who they are"
    assert not isinstance(route(http, SETTINGS), (Answer, ChatRequest))
    with pytest.raises(RequestError) as raised:
        find_route(http._replace(method="POST"), SETTINGS)
    assert (raised.value.status, raised.value.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/responses", "/v1/responses"),
        ("/v1/responses", "/v1/responses"),
        ("/api/chat", "/api/chat"),
    ],
)
def test_a_path_may_omit_v1_and_the_transcript_names_the_route(path: str, route: str) -> None:
    ui = {"role": "user", "parts": [{"type": "text", "text": "hi"}]}
    http = post({"messages": [ui] if path == "/api/chat" else MESSAGES, "input": "hi"}, path)
    parse = find_route(http, SETTINGS)
    assert not isinstance(parse, OpenRoute)
    chat = parse(http, SETTINGS)
    assert isinstance(chat, ChatRequest)
    assert chat.route == route


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_other_path_is_404_and_the_error_lists_the_routes(method: str) -> None:
    for path in (
        *("/nowhere", "/v1", "/v1/chatCompletion", "/v1/health", "/v1/v1/responses", "/completions"),
        *("/api/chat/id", "/api/chat/id/streams", "/api/chats/id/stream", "/chatCompletion/id/stream"),
    ):
        with pytest.raises(RequestError, match="/chatCompletion") as raised:
            find_route(HttpRequest(method, path, {}, {}, b""), SETTINGS)
        assert raised.value.status == 404


def test_the_playground_is_served_only_if_the_setting_is_true() -> None:
    page = HttpRequest("GET", "/", {}, {}, b"")
    with pytest.raises(RequestError) as raised:
        find_route(page, SETTINGS)
    assert raised.value.status == 404
    assert "GET/HEAD /," not in raised.value.message
    assert isinstance(find_route(page, WITH_PLAYGROUND), OpenRoute)


@pytest.mark.parametrize("path", ROUTES)
def test_a_wrong_method_is_405_with_allow(path: str) -> None:
    with pytest.raises(RequestError) as raised:
        find_route(HttpRequest("DELETE", path, {}, {}, b""), WITH_PLAYGROUND)
    assert raised.value.status == 405
    assert raised.value.headers["allow"] == ", ".join(ROUTES[path])


def test_a_probe_may_use_head() -> None:
    route = find_route(HttpRequest("HEAD", "/health", {}, {}, b""), SETTINGS)
    assert route is OPEN_ROUTES["/health"]
