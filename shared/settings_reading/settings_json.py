"""SETTINGS_JSON: one variable that holds settings by the names of their own variables."""

from __future__ import annotations

import json
from collections.abc import Mapping

from settings_reading.json_objects import json_object
from settings_reading.readers import SettingsError
from settings_reading.unknown_names import unknown_settings

NAME = "SETTINGS_JSON"
_EXPECTED = 'a JSON object of settings, such as {"IDLE_TIMEOUT_S": 90}'

# Anyone who may read a stack's parameters could read it.
SECRETS = ("OPENAI_API_KEY",)


def expanded(environ: Mapping[str, str], types: Mapping[str, type]) -> dict[str, str]:
    """The environment with the settings of SETTINGS_JSON as variables of their own, and without it.

    Args:
        environ: the environment variables.
        types: what each setting is in JSON, by its name: bool, float (any number), str, list (of texts) or
            dict. A text is good for each of them: it is read as the variable would be.

    Raises:
        SettingsError: it is not a JSON object of settings; a name is unknown, a secret, or also set as a
            variable of its own, so that two values would contradict each other; a value has the wrong type.
    """
    found = dict(environ)
    text = found.pop(NAME, "").strip()
    members = json_object(NAME, text, _EXPECTED) if text else {}
    for name, nearest in unknown_settings(members, types):
        meant = f": did you mean {nearest}?" if nearest else ""
        raise SettingsError(f"{NAME}: {name} is not a setting{meant}")
    for name, value in members.items():
        if name in SECRETS:
            raise SettingsError(f"{NAME} must not hold {name}: parameters are no place for a secret")
        if found.get(name, "").strip():
            raise SettingsError(f"{name} is set twice, in {NAME} and by itself: set only one of them")
        found[name] = _text(name, value, types[name])
    return found


def _text(name: str, value: object, kind: type) -> str:
    """The value as its variable would hold it."""
    match value:
        case str():
            return value
        case bool() if kind is bool:
            return str(value).lower()
        case int() | float() if kind is float and not isinstance(value, bool):
            return repr(value)
        case list() if kind is list and all(isinstance(part, str) and "," not in part for part in value):
            return ",".join(value) or ","  # an empty list limits nothing: its reader refuses it
        case dict() if kind is dict:
            return json.dumps(value)
    # Not quoted: the value may be a secret that was pasted into the wrong place.
    words = {bool: "true or false", float: "a number", str: "a text", dict: "an object"}
    raise SettingsError(f"{NAME}: {name} must be {words.get(kind, 'a list of texts')}")
