"""How much memory a JSON text will take, estimated before it is parsed."""

from __future__ import annotations

import json
import re
from itertools import islice

# 6 MiB of text stay 6 MiB, but 6 MiB of `{},` become objects of 400 MB. This many values and names take at
# most 40 MB, however they are nested. A 6 MiB request with real messages and tools has a tenth of them.
MAX_JSON_SIZE = 100_000

_MARKS = (b",", b":", b"[", b"{")  # one precedes each value and name except the first
# Matches up to the next mark outside strings. It matches at every position and never backtracks (`++`, `*+`):
# whatever a caller sends, each byte is read once.
_TO_NEXT_MARK = re.compile(rb'(?:[^",:\[{]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+(?:[,:\[{]|\Z)', re.DOTALL)


def is_too_large(text: bytes) -> bool:
    """Whether a JSON text has more than MAX_JSON_SIZE values and names.

    Strings do not count: a message may contain any number of commas.
    """
    if sum(map(text.count, _MARKS)) < MAX_JSON_SIZE:
        return False
    # In UTF-16, which `json.loads` accepts, a letter may contain the byte of a quotation mark.
    if not json.detect_encoding(text).startswith("utf-8"):
        return True
    marks = sum(1 for _ in islice(_TO_NEXT_MARK.finditer(text), MAX_JSON_SIZE + 1))
    return marks > MAX_JSON_SIZE
