"""The renderer of each format, chosen by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rendering.renderer import Renderer
from rendering.sse import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from rendering.text import TextRenderer
from rendering.timings import RelayTimings
from request.chat_request import AnswerFormat, ChatRequest


def _ui_message_renderer(chat: ChatRequest, request_id: str, timings: RelayTimings) -> Renderer:
    from rendering.ui_message import UiMessageRenderer  # imported late: no other first byte waits for it

    return UiMessageRenderer(chat, timings)


STREAM_RENDERERS: Mapping[AnswerFormat, Callable[[ChatRequest, str, RelayTimings], Renderer]] = {
    "text": lambda chat, request_id, timings: TextRenderer(),
    "sse": lambda chat, request_id, timings: SseRenderer(chat),
    "event-source": lambda chat, request_id, timings: EventSourceRenderer(chat, request_id),
    "responses-sse": lambda chat, request_id, timings: ResponsesSseRenderer(chat),
    "ui-message": _ui_message_renderer,
}
