"""From the upstream's events to the caller's bytes: one renderer for each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chat_request import AnswerFormat, ChatRequest
from renderer import Renderer
from sse_renderer import ResponsesSseRenderer, SseRenderer
from text_renderer import TextRenderer


def _ui_message_renderer(chat: ChatRequest) -> Renderer:
    from ui_message_renderer import UiMessageRenderer  # no other format's first byte waits for it

    return UiMessageRenderer(chat)


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest], Renderer]] = {
    "text": TextRenderer,
    "sse": SseRenderer,
    "responses-sse": ResponsesSseRenderer,
    "ui-message": _ui_message_renderer,
}
