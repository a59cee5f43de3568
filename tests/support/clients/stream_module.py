"""stream.js as the relay serves it, run by Node: questions asked through it, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.clients.node_programs import run_node_program
from tests.support.service.served_relay import ServedRelay

FORMATS: Mapping[str, tuple[str, ...]] = {
    "chat": ("sse", "event-source", "text", "ui-message"),
    "responses": ("responses",),
}
PATHS = {
    "sse": "/v1/chat/completions",
    "event-source": "/chatCompletion",
    "text": "/chatCompletion",
    "ui-message": "/api/chat",
    "responses": "/v1/responses",
}
Job = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What the module reported of an answer; `called` are the calls of onDelta."""

    deltas: list[str]
    called: list[tuple[str, str]]
    error: Mapping[str, Any] | None
    whole: bool
    text: str
    usage: Mapping[str, Any] | None
    finishReason: str | None  # noqa: N815 - the module's own name
    requestId: str | None  # noqa: N815
    status: int | None
    isAborted: bool  # noqa: N815


def job(relay: ServedRelay, fmt: str, model: str, **more: Any) -> Job:
    """A question in this format."""
    if fmt == "responses":
        asked: dict[str, Any] = {"body": {"input": "hi", "model": model}}
    elif fmt == "ui-message":
        message = {"role": "user", "parts": [{"type": "text", "text": "hi"}]}
        asked = {"messages": [message], "model": model}
    else:
        asked = {"messages": [{"role": "user", "content": "hi"}], "model": model}
    if fmt == "text":
        asked["headers"] = {"accept": "text/plain"}
    return {"url": f"{relay.url}{PATHS[fmt]}", "options": asked, **more}


def read(relay: ServedRelay, *jobs: Job) -> list[Seen]:
    """What the module reports of each answer."""
    return [Seen(**one) for one in run_node_program("stream_module.mjs", f"{relay.url}/stream.js", jobs=jobs)]
