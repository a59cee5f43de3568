"""The log record of each request: what happened and how long it took, never what was said.

docs/logs.md describes the fields. An answer leaves a record, and so does each refusal.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from chat_stream.transcripts.transcript import Transcript
from errors import RelayError
from observability.request_trace import RequestTrace
from product import VERSION

# The upstream's codes and ids, and the model names that callers send, might hold anything. Compiled after
# the response.
_CODE = r"[A-Za-z0-9_.-]{1,64}"
_NAME = r"[A-Za-z0-9_.:/@+-]{1,128}"

logger = logging.getLogger("stream_chat")


def log_answer(transcript: Transcript) -> None:
    """Write one INFO record. A code, id or name that does not look like one is left out."""
    from chat_stream.transcripts.figures import answer_figures  # no first byte waits for it

    document = transcript.document
    timings, figures = document["timings"], answer_figures(document)
    reason = _matching(_CODE, document["reason"])
    logger.info(
        "%s %s in %d ms",
        document["route"],
        f"{transcript.outcome} ({reason})" if reason else transcript.outcome,
        timings["duration_ms"],
        extra={
            "outcome": transcript.outcome,
            "reason": reason,
            "route": document["route"],
            "caller": document["caller"],
            "model": _matching(_NAME, document["request"]["model"]),
            "response_model": _matching(_NAME, document["response"]["model"]),
            "upstream_attempts": document["upstream"]["attempts"],
            "upstream_request_id": _matching(_NAME, document["upstream"]["request_id"]),
            **timings,
            **figures._asdict(),
            "traceparent": document.get("traceparent"),
            "version": VERSION,
        },
    )


def log_refusal(error: RelayError, trace: RequestTrace) -> None:
    """Write one record of a request that was refused: INFO if the request is at fault, else WARNING.

    The error's message is left out, because it may quote the request.
    """
    code = _matching(_CODE, error.code)
    logger.log(
        logging.WARNING if error.status >= 500 else logging.INFO,
        "%s refused: %d %s",
        trace.route,
        error.status,
        code,
        extra={
            "outcome": "refused",
            "status": error.status,
            "code": code,
            "route": trace.route,
            "caller": trace.caller,
            "traceparent": trace.traceparent,
            "version": VERSION,
        },
    )


def _matching(pattern: str, value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(pattern, value) else None
