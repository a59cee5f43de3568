"""Finds the caller whose key has a given hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


def key_hash(key: str) -> str:
    """The SHA-256 of a caller's key in lower-case hex, which is all that a deployment knows of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def holder(sha256: str, keys: Iterable[tuple[str, str]]) -> str | None:
    """The first name beside this hash among (name, SHA-256) pairs, or None.

    Every entry is compared, each in constant time, so the duration does not tell which one was close.
    """
    matches = [name for name, known in keys if hmac.compare_digest(sha256, known)]
    return matches[0] if matches else None
