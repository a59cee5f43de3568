"""Read the byte code in the __pycache__ folders below a folder; to be run by the Python that compiled it."""

from __future__ import annotations

import importlib.util
import json
import marshal
import sys
from pathlib import Path
from typing import Any


def byte_code_of(source: Path) -> dict[str, Any] | None:
    """The header of the module's byte code, and the path that tracebacks show; None if it has none."""
    cache = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
    if not cache.exists():
        return None
    content = cache.read_bytes()  # https://peps.python.org/pep-0552/#specification
    return {
        "magic": int.from_bytes(content[:2], "little"),
        "flags": int.from_bytes(content[4:8], "little"),
        "of_this_source": content[8:16] == importlib.util.source_hash(source.read_bytes()),
        "traceback": marshal.loads(content[16:]).co_filename,
    }


def main(folder: str) -> None:
    """Print, as JSON, the result of `byte_code_of` for each module below `folder`, by its path there."""
    sources = sorted(Path(folder).rglob("*.py"))
    print(json.dumps({str(source.relative_to(folder)): byte_code_of(source) for source in sources}))


if __name__ == "__main__":
    main(sys.argv[1])
