"""The answer's text as it comes: what `fetch` and curl read without parsing anything."""

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
        for said in chat_events:
            if isinstance(said, (TextDelta, RefusalDelta)) and said.choice == 0:
                text += said.text
        return text.encode()

    def end(self, rest: bytes) -> bytes:
        """Nothing: the text has been sent."""
        return b""

    def besides(self, event: ServerSentEvent, chat_events: Sequence[ChatEvent]) -> bytes:
        """The text that came with the error."""
        return self.render(event, chat_events)

    def failure(self, error: RelayError) -> None:
        """None: an error message would read like a part of the answer."""

    def reported_failure(self, event: ServerSentEvent, error: RelayError) -> None:
        """None, as for every failure of this format."""
