"""From the upstream's events to the caller's bytes: one renderer for each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chat_request import AnswerFormat, ChatRequest
from renderer import Renderer
from sse_renderer import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from text_renderer import TextRenderer


def _ui_message_renderer(chat: ChatRequest, request_id: str) -> Renderer:
    from ui_message_renderer import UiMessageRenderer  # no other format's first byte waits for it

    return UiMessageRenderer(chat)


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest, str], Renderer]] = {
    "text": lambda chat, request_id: TextRenderer(),
    "sse": lambda chat, request_id: SseRenderer(chat),
    "event-source": EventSourceRenderer,
    "responses-sse": lambda chat, request_id: ResponsesSseRenderer(chat),
    "ui-message": _ui_message_renderer,
}
