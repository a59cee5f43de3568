"""The renderer of each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rendering.renderer import CostSoFar, Renderer
from rendering.sse import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from rendering.text import TextRenderer
from rendering.timings import RelayTimings
from request.chat_request import AnswerFormat, ChatRequest


def _ui_message_renderer(
    chat: ChatRequest, request_id: str, timings: RelayTimings, cost: CostSoFar | None
) -> Renderer:
    from rendering.ui_message import UiMessageRenderer  # imported late: no other first byte waits for it

    return UiMessageRenderer(chat, timings, cost)


STREAM_RENDERERS: Mapping[
    AnswerFormat, Callable[[ChatRequest, str, RelayTimings, CostSoFar | None], Renderer]
] = {
    "text": lambda chat, request_id, timings, cost: TextRenderer(),
    "sse": lambda chat, request_id, timings, cost: SseRenderer(chat, cost),
    "event-source": lambda chat, request_id, timings, cost: EventSourceRenderer(chat, request_id, cost),
    "responses-sse": lambda chat, request_id, timings, cost: ResponsesSseRenderer(chat, cost),
    "ui-message": _ui_message_renderer,
}
