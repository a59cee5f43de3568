"""Transcripts: what was asked and answered, and the outcome. Consumers import `read_transcript` from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["read_transcript"]

if TYPE_CHECKING:
    from chat_stream.transcripts.reader import read_transcript
else:

    def __getattr__(name: str) -> Any:
        """Import the reader when it is asked for: no caller's first byte waits for it (PEP 562)."""
        if name != "read_transcript":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from chat_stream.transcripts.reader import read_transcript

        return read_transcript
