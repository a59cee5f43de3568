"""The settings under `sam local`, where nothing is deployed and newcomers start with the defaults."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

from settings import Settings, with_settings_json
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_logical_name

_COMPANION_VARIABLES = ("TRANSCRIPT_FUNCTION_NAME", "TRANSCRIPT_BUCKET", "TRANSCRIPT_DEAD_LETTER_QUEUE_URL")

# These too exist only in the template.
_RESOURCE_VARIABLES = ("OPENAI_API_KEY_SECRET_ID", "CALLERS_TABLE_NAME")

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
    unreal = [name for name in _RESOURCE_VARIABLES if is_logical_name(environ.get(name))]
    environ = {**environ, **dict.fromkeys(unreal, "")}
    try:
        return Settings.from_environment(environ), None
    except SettingsError as error:
        logger.warning("sam local: nothing can be relayed: %s", error)
        return Settings(playground=_has_playground(environ)), f"{error}."


def _has_playground(environ: Mapping[str, str]) -> bool:
    """Whether the playground is wanted, as far as faulty settings tell."""
    with suppress(SettingsError):
        environ = with_settings_json(environ)
    return environ.get("PLAYGROUND", "").strip().lower() == "true"
