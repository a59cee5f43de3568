"""Patterns in which `*` stands for any characters, as settings use them for names."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from functools import lru_cache


def wildcard_expression(patterns: Iterable[str]) -> re.Pattern[str]:
    """By `fullmatch` it finds whether one of the patterns fits a whole text; without any, none does."""
    return _compiled(tuple(patterns))


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # fnmatch's expressions take linear time, as a test measures. Its other wildcards are made plain.
    alternatives = [fnmatch.translate(re.sub(r"[?[]", r"[\g<0>]", pattern)) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else "(?!)")


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits the whole text."""
    return wildcard_expression(patterns).fullmatch(text) is not None
