"""The error that every function raises at start for a setting that it cannot use."""

from __future__ import annotations


class SettingsError(ValueError):
    """A setting is missing or malformed; the message names the variable and says what would be right."""
