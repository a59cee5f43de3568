"""The answer to `useChat({resume: true})`, which asks on each mount for an unfinished answer."""

from __future__ import annotations

from answers import Answer
from request.http_request import HttpRequest
from settings import Settings


def nothing_to_resume(http: HttpRequest, settings: Settings) -> Answer:
    """`GET /api/chat/{id}/stream`: an event stream that only ends, as the relay keeps no answers.

    The AI SDK documents a 204 for this case, but a streamed answer with an empty body may hang on AWS. To
    versions 5 to 7 this stream means the same: they change no message and report no error.
    """
    from rendering.ui_message import UiMessageRenderer  # no other route's first byte waits for it

    return Answer(200, {**UiMessageRenderer.headers, "cache-control": "no-store"}, b"data: [DONE]\n\n")
