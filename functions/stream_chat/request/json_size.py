"""How much a JSON text will become in memory, told before anything is built of it."""

from __future__ import annotations

import json
import re
from itertools import islice

# 6 MiB of text stay 6 MiB, but 6 MiB of `{},` become objects of 400 MB. So many values and names take at most
# 40 MB, however they are nested. A request of 6 MiB with real messages and tools has a tenth of them.
MAX_JSON_SIZE = 100_000

_MARKS = (b",", b":", b"[", b"{")  # one before each value and name, but for the first
# Up to the next mark that stands in no string. Every place fits, and nothing is given back (`++`, `*+`):
# whatever a caller sends, each byte is looked at once.
_TO_NEXT_MARK = re.compile(rb'(?:[^",:\[{]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+(?:[,:\[{]|\Z)', re.DOTALL)


def is_too_large(text: bytes) -> bool:
    """Whether a JSON text has more than MAX_JSON_SIZE values and names.

    What stands in strings does not count: a message may have as many commas as it likes.
    """
    if sum(map(text.count, _MARKS)) < MAX_JSON_SIZE:
        return False
    if not json.detect_encoding(text).startswith("utf-8"):
        return True  # in UTF-16, which `json.loads` reads too, a letter may have the byte of a quotation mark
    marks = sum(1 for _ in islice(_TO_NEXT_MARK.finditer(text), MAX_JSON_SIZE + 1))
    return marks > MAX_JSON_SIZE
