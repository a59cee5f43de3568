"""Who may import whom: the local stack uses the shared layer, and nothing that is deployed uses the stack."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.project import PROJECT

FUNCTIONS = sorted(path for path in (PROJECT / "functions").iterdir() if path.is_dir())


def imported_by(folder: Path) -> Iterator[tuple[str, str]]:
    """Each module below the folder, with the top-level names that it imports."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            for name in names:
                yield str(path.relative_to(PROJECT)), name.partition(".")[0]


def test_the_local_stack_imports_nothing_of_the_functions() -> None:
    modules = {path.stem for function in FUNCTIONS for path in function.iterdir()}
    assert {"app", "relay", "upstream"} <= modules
    assert [(path, name) for path, name in imported_by(PROJECT / "local") if name in modules] == []


def test_nothing_that_is_deployed_imports_the_local_stack_or_the_tests() -> None:
    deployed = [*imported_by(PROJECT / "functions"), *imported_by(PROJECT / "shared")]
    assert ("functions/stream_chat/app.py", "relay") in deployed
    assert [(path, name) for path, name in deployed if name in ("local", "tests")] == []
