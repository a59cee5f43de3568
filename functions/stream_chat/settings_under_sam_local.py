"""The settings under `sam local`, where nothing is deployed and newcomers start with the defaults."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from settings import Settings
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_logical_name

_COMPANION_VARIABLES = ("TRANSCRIPT_FUNCTION_NAME", "TRANSCRIPT_BUCKET", "TRANSCRIPT_DEAD_LETTER_QUEUE_URL")

logger = logging.getLogger("stream_chat")


def settings_under_sam_local(environ: Mapping[str, str]) -> tuple[Settings, str | None]:
    """The settings, and a sentence that says why nothing can be relayed, or None.

    A companion that only exists in the template is switched off. Invalid settings do not end the process,
    which `sam local` would show as an empty 502: every route that needs the model answers with the sentence.
    """
    if is_logical_name(environ.get("TRANSCRIPT_DEAD_LETTER_QUEUE_URL")):
        environ = {**environ, **dict.fromkeys(_COMPANION_VARIABLES, "")}
        logger.warning(
            "sam local: the companion is switched off because its queues only exist in the template"
        )
    try:
        return Settings.from_environment(environ), None
    except SettingsError as error:
        logger.warning("sam local: nothing can be relayed: %s", error)
        has_page = environ.get("PLAYGROUND", "").strip().lower() == "true"
        return Settings(playground=has_page), f"{error}."
