"""Reads CALLER_LIMITS: the limits of named callers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from settings_reading.json_objects import json_object
from settings_reading.readers import HIGHEST_LIMIT, HIGHEST_USD, LOWEST_USD, SettingsError, is_usd

_EXPECTED = 'a JSON object, such as {"web": {"requests_per_minute": 60}, "*": {}}'
SESSION = re.compile(r":assumed-role/[^/]+/|:federated-user/")


def caller_limits(name: str, value: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """JSON: a caller's name or a pattern for names → the fields of Settings to replace and their values.

    Raises:
        SettingsError: the message names the caller and the limit, and says what would be right.
    """
    document = json_object(name, value, _EXPECTED)
    for caller, limits in document.items():
        if not isinstance(limits, dict):
            raise SettingsError(f"{name} must be {_EXPECTED}")
        if SESSION.search(caller):
            raise SettingsError(
                f"{name}: {caller} must not name the session, as callers choose its name themselves"
            )
    return tuple((caller, _limits(f"{name}: {caller}", limits)) for caller, limits in document.items())


def _is_models(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(m, str) and m for m in value)


def _is_count(value: object) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= HIGHEST_LIMIT
    return value is None or is_whole


_COUNT = (_is_count, "a whole number above 0, or null for no limit")
_AMOUNT = (
    lambda value: value is None or is_usd(value),
    f"a number of US dollars from {LOWEST_USD:f} to {HIGHEST_USD}, or null for no limit",
)
# What each limit must hold.
_LIMITS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "models": (_is_models, "a list of names"),
    "max_output_tokens": _COUNT,
    "requests_per_minute": _COUNT,
    "tokens_per_day": _COUNT,
    "usd_per_day": _AMOUNT,
    "usd_per_month": _AMOUNT,
}


def _limits(where: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in limits.items():
        if name not in _LIMITS:
            *most, last = _LIMITS
            known = f"{', '.join(most)} and {last}"
            raise SettingsError(f"{where}: {name} is not a limit; the limits are {known}")
        is_valid, right = _LIMITS[name]
        if not is_valid(value):
            raise SettingsError(f"{where}: {name} must be {right}")
        if name == "models":
            fields["allowed_models"] = tuple(value)
        else:
            fields[name] = value
    return fields
