"""The redrive's settings: the dead-letter queues and where their letters go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from settings_reading.readers import SettingsError

EXAMPLE = '{"https://sqs.…/transcripts-dead-letters": "https://sqs.…/transcripts"}'


@dataclass(frozen=True, slots=True)
class RedriveSettings:
    """Queue URLs and the name or ARN of the companion."""

    undelivered_queue_url: str
    transcript_function_name: str
    dead_letter_queues: Mapping[str, str]  # dead-letter queue → the queue that its letters came from

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> RedriveSettings:
        """Read the settings from environment variables. Raises SettingsError."""
        undelivered = environ.get("UNDELIVERED_QUEUE_URL", "")
        if not _is_url(undelivered):
            raise SettingsError(
                "UNDELIVERED_QUEUE_URL must be the URL of the queue for undelivered transcripts"
            )
        companion = environ.get("TRANSCRIPT_FUNCTION_NAME", "")
        if not companion:
            raise SettingsError("TRANSCRIPT_FUNCTION_NAME must be the companion's name or ARN")
        dead_letter_queues = _dead_letter_queues(environ.get("DEAD_LETTER_QUEUES", "{}"))
        names = Counter(map(queue_name, (undelivered, *dead_letter_queues)))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise SettingsError(f"DEAD_LETTER_QUEUES: two dead-letter queues have the name {twice[0]}")
        return cls(undelivered, companion, dead_letter_queues)


def queue_name(queue_url: str) -> str:
    """Return a queue's name, which is the last part of its URL."""
    return queue_url.rsplit("/", 1)[-1]


def _dead_letter_queues(text: str) -> dict[str, str]:
    try:
        queues = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"DEAD_LETTER_QUEUES is not JSON ({error}); expected e.g. {EXAMPLE}") from None
    if not (isinstance(queues, dict) and all(map(_is_url, (*queues, *queues.values())))):
        raise SettingsError(f"DEAD_LETTER_QUEUES must map queue URLs to queue URLs, such as {EXAMPLE}")
    return queues


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
