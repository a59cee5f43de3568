"""The rules of sizes (of folders, modules, classes and functions) and of docstrings."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tests.support.architecture.import_rules import Breach
from tests.support.architecture.python_modules import Project, is_in, statements

MAX_MODULES_IN_FOLDER = 10  # without __init__ and __main__
MAX_MODULE_LINES = 400
MAX_CLASS_LINES = 250
MAX_FUNCTION_LINES = 60

# A package's __init__ is only its docstring, so that no answer waits for imports that it does not need.
# These two packages offer names for their users to import.
PUBLIC_PACKAGES = ("shared/chat_stream/transcripts", "shared/lambda_stream")

# Where everything public has a docstring. In tests/ the names are enough.
DOCUMENTED = ("functions", "shared", "local")

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def folder_sizes(project: Project) -> Iterator[Breach]:
    """Folders with too many modules side by side."""
    counts = Counter(m.folder for m in project.values() if m.name not in ("__init__", "__main__"))
    for folder, count in counts.items():
        if count > MAX_MODULES_IN_FOLDER:
            yield Breach("folder size", folder)


def module_sizes(project: Project) -> Iterator[Breach]:
    """Modules that are too long."""
    for path, module in project.items():
        if module.line_count > MAX_MODULE_LINES:
            yield Breach("module size", path)


def definition_sizes(project: Project) -> Iterator[Breach]:
    """Classes and functions that are too long, their decorators not counted."""
    for path, module in project.items():
        for node in _definitions(module.tree):
            is_class = isinstance(node, ast.ClassDef)
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > (MAX_CLASS_LINES if is_class else MAX_FUNCTION_LINES):
                yield Breach("class size" if is_class else "function size", f"{path}: {node.name}")


def docstrings(project: Project) -> Iterator[Breach]:
    """Public modules, classes, functions and methods without a docstring."""
    for path, module in project.items():
        if any(is_in(path, area) for area in DOCUMENTED):
            if ast.get_docstring(module.tree) is None:
                yield Breach("docstring", path)
            for name in _undocumented(module.tree, ""):
                yield Breach("docstring", f"{path}: {name}")


def packages(project: Project) -> Iterator[Breach]:
    """Packages whose `__init__` holds more than a docstring of one line."""
    for module in project.values():
        if module.name == "__init__" and module.folder not in PUBLIC_PACKAGES:
            docstring = ast.get_docstring(module.tree, clean=False)
            if docstring is None or "\n" in docstring or len(module.tree.body) > 1:
                yield Breach("package", module.folder)


def _definitions(node: ast.AST) -> Iterator[_Definition]:
    """The classes and functions below a node, at every depth."""
    for child in statements(node):
        if isinstance(child, _Definition):
            yield child
        yield from _definitions(child)


def _undocumented(node: ast.Module | ast.ClassDef, owner: str) -> Iterator[str]:
    for child in node.body:
        if isinstance(child, _Definition) and not child.name.startswith("_"):
            if ast.get_docstring(child) is None:
                yield f"{owner}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from _undocumented(child, f"{owner}{child.name}.")
