"""The renderer of each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rendering.renderer import CostSoFar, Renderer
from rendering.sse import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from rendering.text import TextRenderer
from request.chat_request import AnswerFormat, ChatRequest


def _ui_message_renderer(chat: ChatRequest, request_id: str, cost: CostSoFar | None) -> Renderer:
    from rendering.ui_message import UiMessageRenderer  # imported late: no other first byte waits for it

    return UiMessageRenderer(chat, cost)


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest, str, CostSoFar | None], Renderer]] = {
    "text": lambda chat, request_id, cost: TextRenderer(),
    "sse": lambda chat, request_id, cost: SseRenderer(chat, cost),
    "event-source": EventSourceRenderer,
    "responses-sse": lambda chat, request_id, cost: ResponsesSseRenderer(chat, cost),
    "ui-message": _ui_message_renderer,
}
