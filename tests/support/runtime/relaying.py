"""One relayed answer between an upstream over real sockets and a recorded stream."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect
from chat_stream.transcripts.transcript import parse_transcript
from relay import Relay
from request.chat_request import ChatRequest
from settings import Settings
from tests.support.upstreams.recorded_stream import RecordedBody, recorded_stream
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply
from upstream.client import Upstream

RelayCall = Callable[..., "Relayed"]


@dataclass
class Relayed:
    """The caller's answer and its transcript."""

    body: RecordedBody
    transcript: dict[str, Any]

    @property
    def status(self) -> int:
        assert self.body.prelude is not None
        return int(self.body.prelude["statusCode"])

    @property
    def data(self) -> bytes:
        return b"".join(self.body.pieces)

    @property
    def headers(self) -> dict[str, str]:
        assert self.body.prelude is not None
        return dict(self.body.prelude["headers"])

    @property
    def error(self) -> Any:
        return json.loads(self.data)["error"]

    @property
    def content(self) -> str:
        """The text of the first choice in the transcript."""
        return str(self.transcript["response"]["choices"][0]["content"])


def relay_to(replay: ReplayUpstream, model: str) -> RelayCall:
    """Return a function that scripts the replies, relays one answer and returns the result."""

    def run(
        *replies: Reply,
        fmt: Any = "text",
        n: int = 1,
        dialect: Dialect = CHAT_COMPLETIONS,
        usage_wanted: bool = False,
        remaining_s: float = 20.0,
        stream: Any = None,
        on_answer: Callable[[], None] = lambda: None,
        settings: Settings | None = None,
        limits: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Relayed:
        replay.answer(model, *replies)
        recorded = {"model": model, "messages": [{"role": "user", "content": "hi"}], "parameters": {}}
        upstream_body = json.dumps({"model": model}).encode()
        chat = ChatRequest("/chatCompletion", upstream_body, fmt, usage_wanted, n, recorded, dialect)
        upstream = Upstream(settings or Settings(**{"openai_base_url": replay.url, **values}))
        response, body = stream or recorded_stream()
        relay = Relay(
            chat,
            response,
            upstream,
            request_id="r-1",
            headers=limits,
            caller="web",
            remaining_s=remaining_s,
            on_answer=on_answer,
        )
        try:
            relay.run()
        finally:
            upstream.close()
        response.finish()
        watched = [thread for thread in threading.enumerate() if getattr(thread, "watchdog", None)]
        assert not watched, "the watchdog outlived the relay"
        return Relayed(body, parse_transcript(relay.transcript.document).document)

    return run
