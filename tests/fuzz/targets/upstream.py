"""The upstream of a fuzz run: answers requests, and asserts what the relay promises about them."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.fuzz.in_process_function import UPSTREAM_HOST, UPSTREAM_KEY, Pieces

# Headers of the relay and of httpx. No header of the caller may be among them.
_HEADERS = {
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host",
    "user-agent",
}  # fmt: skip

_COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
_CHUNKS = (
    b'data: {"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
)
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
_RESPONSE = {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": [_MESSAGE]}


def _event(document: dict[str, Any]) -> bytes:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode()


_RESPONSE_EVENTS = (
    _event({"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}}),
    _event({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": "Hello"}),
    _event({"type": "response.completed", "response": _RESPONSE}),
)


def no_models() -> httpx.Response:
    """The answer to the request for a list of models, which the relay makes once a day."""
    return httpx.Response(404, stream=Pieces(b"{}"))


def small_answer(request: httpx.Request) -> httpx.Response:
    """A short answer in the dialect of the request, streamed or not; there is no list of models."""
    if request.method == "GET":
        return no_models()
    document = checked_request(request)
    is_response = request.url.path.endswith("/responses")
    if document["stream"] is True:
        pieces = _RESPONSE_EVENTS if is_response else _CHUNKS
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(*pieces))
    whole = json.dumps(_RESPONSE if is_response else _COMPLETION).encode()
    return httpx.Response(200, headers={"content-type": "application/json"}, stream=Pieces(whole))


def checked_request(request: httpx.Request) -> dict[str, Any]:
    """The body of a request to the upstream, after asserting that the relay may send it.

    Host, key and headers must be the relay's own, and the body one strict JSON object.
    """
    assert request.url.host == UPSTREAM_HOST, "the caller has chosen the upstream's host"
    assert request.url.path in ("/v1/chat/completions", "/v1/responses"), request.url.path
    assert request.headers["authorization"] == f"Bearer {UPSTREAM_KEY}", "the caller has chosen the key"
    assert request.headers.keys() <= _HEADERS, f"headers of the caller's: {request.headers.keys()}"
    assert request.content.isascii()
    document = json.loads(request.content, parse_constant=_refuse)
    assert isinstance(document, dict)
    assert isinstance(document["stream"], bool)
    return document


def _refuse(name: str) -> None:
    raise AssertionError(f"{name}, which is not JSON, was sent to the upstream")
