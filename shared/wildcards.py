"""Patterns in which `*` stands for any characters, as settings use them for names."""

from __future__ import annotations

import re
from collections.abc import Iterable


def wildcard_expression(patterns: Iterable[str]) -> re.Pattern[str]:
    """By `fullmatch` it finds whether one of the patterns fits a whole text; without any, none does."""
    alternatives = [".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else "(?!)", re.DOTALL)


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits the whole text."""
    return wildcard_expression(patterns).fullmatch(text) is not None
