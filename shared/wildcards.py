"""Patterns in which `*` stands for any characters, as settings use them for names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def wildcard_expression(patterns: Iterable[str]) -> re.Pattern[str]:
    """By `fullmatch` it finds whether one of the patterns fits a whole text; without any, none does."""
    return _compiled(tuple(patterns))


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = [_expression(pattern) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else "(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return first
    *middle, last = rest
    # Atomic: the first place where a part fits is as good as any later one; else it were quadratic.
    return first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits the whole text."""
    return wildcard_expression(patterns).fullmatch(text) is not None
