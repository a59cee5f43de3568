"""Names that are no settings, which are nearly always misspelt ones."""

from __future__ import annotations

from collections.abc import Collection


def unknown_setting(name: str, known: Collection[str]) -> str:
    """A sentence on a name that is no setting, with the nearest name that is one, if any is near."""
    import difflib  # only for an error: no first byte waits for the import

    nearest = difflib.get_close_matches(name.upper(), known, n=1)
    return f"{name} is no setting" + (f": did you mean {nearest[0]}?" if nearest else "")
