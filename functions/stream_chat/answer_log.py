"""The log record of each answer: what happened and how long it took, never what was said."""

from __future__ import annotations

import logging
import re

from chat_stream.transcripts.transcript import Transcript

# A code of the upstream's, or a model's name that the caller has typed, might hold anything.
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MODEL = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")

logger = logging.getLogger("stream_chat")


def log_answer(transcript: Transcript) -> None:
    """Write one INFO record. A reason or model that is not a plain name is left out."""
    document = transcript.document
    timings = document["timings"]
    reason, model = document["reason"], document["request"]["model"]
    reason = reason if _CODE.fullmatch(reason or "") else None
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
            "model": model if _MODEL.fullmatch(model or "") else None,
            "upstream_attempts": document["upstream"]["attempts"],
            **timings,
        },
    )
