"""The streaming function as app.py assembles it, in this process, with an upstream that needs no socket.

Only the two ends of the function are replaced: the HTTP client's transport, and the hand-off, which keeps the
transcript instead.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from chat_stream.transcripts.transcript import Transcript
from lambda_stream.environment.log_format import JsonFormatter
from tests.support.upstreams.recorded_stream import RecordedBody, recorded_stream

UPSTREAM_HOST = "upstream.invalid"
UPSTREAM_KEY = "sk-of-the-relay-alone"

Upstream = Callable[[httpx.Request], httpx.Response]


@dataclass(frozen=True)
class Answer:
    """The response to the caller, the transcript, and the log.

    Attributes:
        is_broken_off: whether the body ended with error trailers, as a text does that breaks off.
        errors: the lines logged at ERROR or above.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_broken_off: bool
    transcript: Transcript | None
    log: list[str]
    errors: list[str]

    @property
    def error(self) -> Any:
        """OpenAI's error object."""
        return json.loads(self.body)["error"]


class InProcessFunction:
    """One environment of the function.

    Args:
        upstream: answers the function's requests; any exception except httpx's own errors ends the test.
        variables: environment variables in addition to the mandatory ones.
    """

    def __init__(self, upstream: Upstream, **variables: str) -> None:
        self._app = _loaded_app(
            {
                "OPENAI_BASE_URL": f"https://{UPSTREAM_HOST}/v1",
                "OPENAI_API_KEY": UPSTREAM_KEY,
                "UPSTREAM_RETRIES": "0",
                **variables,
            }
        )
        self._app.UPSTREAM.close()
        self._app.UPSTREAM.client = httpx.Client(transport=httpx.MockTransport(upstream))
        self._handoff = _Handoff()
        self._app.HANDOFF = self._handoff

    def answer(self, event: Any) -> Answer:
        """Handle one event as the runtime does. Raises whatever the handler raises."""
        stream, body = recorded_stream()
        self._handoff.transcript = None
        with _watched_log() as log:
            self._app.handle.handle(event, stream, _Context())
            stream.finish()
            stream.run_after_response()
        prelude = _prelude(body)
        return Answer(
            status=prelude["statusCode"],
            headers=prelude["headers"],
            body=b"".join(body.pieces),
            is_broken_off=body.error is not None,
            transcript=self._handoff.transcript,
            log=log.lines,
            errors=log.errors,
        )

    def close(self) -> None:
        """Close the client."""
        self._app.UPSTREAM.close()


class Pieces(httpx.SyncByteStream):
    """A response body that arrives in pieces, as from a socket."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


class _Context:
    aws_request_id = "5f0c6a3e-8d1b-4a57-9e32-71c4b0d9f6aa"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class _Handoff:
    transcript: Transcript | None = None

    def prepare(self) -> None:
        return

    def send(self, transcript: Transcript, remaining_s: float) -> None:
        self.transcript = transcript


class _LogKeeper(logging.Handler):
    """Formats each record as the runtime does, which raises for a record that cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", "backslashreplace").decode()
        self.lines.append(line)
        if record.levelno >= logging.ERROR:
            self.errors.append(line)


@contextmanager
def _watched_log() -> Iterator[_LogKeeper]:
    keeper = _LogKeeper()
    root = logging.getLogger()
    root.addHandler(keeper)
    try:
        yield keeper
    finally:
        root.removeHandler(keeper)


def _prelude(body: RecordedBody) -> Mapping[str, Any]:
    assert body.prelude is not None, "no answer was started"
    assert body.ended, "the answer was not ended"
    return body.prelude


def _loaded_app(variables: Mapping[str, str]) -> Any:
    """A new module `app`, loaded with these environment variables. The process's environment is restored."""
    others, level = dict(os.environ), logging.getLogger().level
    before = sys.modules.pop("app", None)
    os.environ.clear()
    os.environ.update(variables)
    try:
        return importlib.import_module("app")
    finally:
        os.environ.clear()
        os.environ.update(others)
        logging.getLogger().setLevel(level)
        del sys.modules["app"]
        if before is not None:
            sys.modules["app"] = before
