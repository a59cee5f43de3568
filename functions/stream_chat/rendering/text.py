"""The answer's text as it arrives, which `fetch` and curl can read without parsing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chat_stream.events import ChatEvent, RefusalDelta, TextDelta
from chat_stream.sse import ServerSentEvent
from errors import RelayError
from rendering.renderer import STREAM_HEADERS


class TextRenderer:
    """The visible text of the first choice, and nothing else.

    A refusal is shown as well: without it the caller would see an empty success.
    """

    headers: Mapping[str, str] = {**STREAM_HEADERS, "content-type": "text/plain; charset=utf-8"}
    keep_alive: bytes | None = None  # every byte of this format is answer

    def render(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The deltas of choice 0 in UTF-8."""
        text = ""
        for chat_event in chat_events:
            if isinstance(chat_event, (TextDelta, RefusalDelta)) and chat_event.choice == 0:
                text += chat_event.text
        return text.encode()

    def end(self, rest: bytes) -> bytes:
        """Nothing: the whole text has been sent."""
        return b""

    def content_beside_error(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The text in the event that reports the error."""
        return self.render(event, chat_events)

    def failure(self, error: RelayError) -> None:
        """None: an error message would read like part of the answer."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> None:
        """None, as for every failure of this format."""
