"""Settings that are JSON objects."""

from __future__ import annotations

import json
from typing import Any

from settings_reading.readers import SettingsError


def json_object(name: str, text: str, expected: str) -> dict[str, Any]:
    """The JSON object in a setting's text.

    Args:
        name: the setting's.
        expected: what the text must be, for the message.

    Raises:
        SettingsError: the text is anything else, or an object in it has the same name twice: nothing shows
            which of the two values is meant.
    """

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise SettingsError(f"{name}: {key} is repeated")
            found[key] = value
        return found

    try:
        document = json.loads(text, object_pairs_hook=each_once)
    except SettingsError:
        raise
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise SettingsError(f"{name} must be {expected}")
    return document
