"""The renderer of each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rendering.renderer import Renderer
from rendering.sse import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from rendering.text import TextRenderer
from request.chat_request import AnswerFormat, ChatRequest


def _ui_message_renderer(chat: ChatRequest, request_id: str) -> Renderer:
    from rendering.ui_message import UiMessageRenderer  # imported late: no other first byte waits for it

    return UiMessageRenderer(chat)


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest, str], Renderer]] = {
    "text": lambda chat, request_id: TextRenderer(),
    "sse": lambda chat, request_id: SseRenderer(chat),
    "event-source": EventSourceRenderer,
    "responses-sse": lambda chat, request_id: ResponsesSseRenderer(chat),
    "ui-message": _ui_message_renderer,
}
