"""What a message may tell the scripted model to do, for measurements that no real model serves on demand."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SILENCE_S = 120
MAX_STREAM_BYTES = 64 * 1024 * 1024

_SILENCE = re.compile(r"\[scripted model: be silent for (\d{1,3}) s\]")
_BYTES = re.compile(r"\[scripted model: stream (\d{1,9}) bytes\]")


class Script(NamedTuple):
    """How an answer is streamed beyond its words.

    `silence_s`: a pause in its middle. `stream_bytes`: how long the stream of events is made at least.
    """

    silence_s: int = 0
    stream_bytes: int = 0


def silence_message(silence_s: int) -> str:
    """The message that asks for a pause of this length in the middle of the answer."""
    return f"[scripted model: be silent for {silence_s} s]"


def bytes_message(stream_bytes: int) -> str:
    """The message that asks for a stream of at least this many bytes."""
    return f"[scripted model: stream {stream_bytes} bytes]"


def script_in(message: str) -> Script:
    """What the message asks for, up to MAX_SILENCE_S and MAX_STREAM_BYTES."""
    silence, size = _SILENCE.search(message), _BYTES.search(message)
    return Script(
        min(int(silence[1]), MAX_SILENCE_S) if silence else 0,
        min(int(size[1]), MAX_STREAM_BYTES) if size else 0,
    )
