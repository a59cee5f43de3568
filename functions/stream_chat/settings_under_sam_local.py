"""The settings under `sam local`, where nothing is deployed: newcomers begin with the defaults."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from settings import Settings
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_logical_name

_OF_COMPANION = ("TRANSCRIPT_FUNCTION_NAME", "TRANSCRIPT_BUCKET", "TRANSCRIPT_DEAD_LETTER_QUEUE_URL")

logger = logging.getLogger("stream_chat")


def settings_under_sam_local(environ: Mapping[str, str]) -> tuple[Settings, str | None]:
    """The settings, and what keeps the function from relaying anything, as a sentence.

    A companion that exists in the template only is switched off. Settings that cannot be used do not end the
    process, which `sam local` would show as an empty 502: every route that needs the model answers with the
    sentence.
    """
    if is_logical_name(environ.get("TRANSCRIPT_DEAD_LETTER_QUEUE_URL")):
        environ = {**environ, **dict.fromkeys(_OF_COMPANION, "")}
        logger.warning("sam local: the companion is switched off, for its queues exist in the template only")
    try:
        return Settings.from_environment(environ), None
    except SettingsError as error:
        logger.warning("sam local: nothing can be relayed: %s", error)
        has_page = environ.get("PLAYGROUND", "").strip().lower() == "true"
        return Settings(playground=has_page), f"{error}."
