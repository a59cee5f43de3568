"""Patterns in which `*` stands for any characters: settings name models, fields and callers with them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache


def matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Whether the whole text matches one of the patterns."""
    return _expression(tuple(patterns)).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _expression(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # The expressions of fnmatch take linear time, which a test measures. Its other wildcards are escaped.
    alternatives = [fnmatch.translate(re.sub(r"[?[]", r"[\g<0>]", pattern)) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else "(?!)")
