"""Questions to the upstream, asked by the streaming function's own client with its own settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from chat_stream.events import AnswerFailed, ChatEvent, ChoiceFinished, StreamDone, TextDelta, UsageReported
from chat_stream.sse import EventStreamParser
from errors import RelayError, UpstreamError
from local.doctor.pacing import Read
from local.probe.formats import QUESTION
from request.chat_request import ChatRequest, parse_completion, parse_response
from request.http_request import HttpRequest
from settings import Settings
from upstream.client import Upstream
from upstream.failures import interrupted

ANSWER_LIMIT_S = 120.0


class UpstreamReply(NamedTuple):
    """What the upstream answered to a streamed question.

    Args:
        reads: when each piece with text arrived, and how many deltas it held.
        usage: as reported, or None.
        is_document: whether the upstream sent one document instead of events.
        status: of the HTTP response; None without one.
        error: why there is no whole answer; None if there is.
    """

    reads: tuple[Read, ...] = ()
    usage: dict[str, Any] | None = None
    is_document: bool = False
    status: int | None = None
    error: RelayError | None = None

    @property
    def reason(self) -> str:
        """The error for a person: its code and its message."""
        return f"{self.error.code}: {self.error.details()['message']}" if self.error else ""


def completion(upstream: Upstream) -> UpstreamReply:
    """The answer in chat completions."""
    return _ask(upstream, parse_completion, {"messages": [{"role": "user", "content": QUESTION}]})


def response(upstream: Upstream) -> UpstreamReply:
    """The answer in the Responses API."""
    return _ask(upstream, parse_response, {"input": QUESTION})


def _ask(
    upstream: Upstream, parse: Callable[[HttpRequest, Settings], ChatRequest], question: Mapping[str, Any]
) -> UpstreamReply:
    """Ask what the function would ask for a caller with this question, options of its own included."""
    asked = {"model": upstream.settings.default_model, "stream": True, **question}
    chat = parse(HttpRequest("POST", "", {}, {}, json.dumps(asked).encode()), upstream.settings)
    began_at = time.monotonic()
    exchange = upstream.exchange(
        chat.dialect.path, chat.upstream_body, streamed=True, deadline_at=began_at + ANSWER_LIMIT_S
    )
    reads: list[Read] = []
    usage: dict[str, Any] | None = None
    parser, decoder, is_complete = EventStreamParser(), chat.dialect.decoder(1), False
    with closing(exchange):
        try:
            exchange.open(on_limit=lambda limit_s: None)
            if exchange.body.is_document:
                return UpstreamReply(is_document=True, status=exchange.status)
            for data in exchange.body.chunks():
                events: list[ChatEvent] = [e for event in parser.feed(data) for e in decoder.decode(event)]
                deltas = sum(isinstance(event, TextDelta) for event in events)
                reads += [Read(time.monotonic() - began_at, deltas)] if deltas else []
                is_complete = is_complete or any(isinstance(e, (ChoiceFinished, StreamDone)) for e in events)
                for event in events:
                    usage = event.usage if isinstance(event, UsageReported) else usage
                    if isinstance(event, AnswerFailed):
                        code = event.code or "upstream_error"
                        raise UpstreamError(502, code, exchange.redaction.text(event.message))
            if not is_complete:
                raise interrupted()
        except RelayError as error:
            return UpstreamReply(tuple(reads), usage, status=exchange.status, error=error)
    return UpstreamReply(tuple(reads), usage, status=exchange.status)
