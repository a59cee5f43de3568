"""The project's Python modules and what each imports, read with `ast`: no module is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEPLOYED = ("functions", "shared")
FOLDERS = (*DEPLOYED, "local", "tests")
NOT_OURS = {"node_modules", "__pycache__"}

_ImportStatement = ast.Import | ast.ImportFrom


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement.

    Attributes:
        target: path of the project's module without `.py`, or the first name of a module from elsewhere.
        is_ours: whether the target is part of the project.
        for_types_only: whether it stands under `if TYPE_CHECKING`, so that it never happens at run time.
    """

    target: str
    is_ours: bool
    for_types_only: bool


@dataclass(frozen=True, slots=True)
class Module:
    """One file: its path in the project without `.py`, its syntax tree, its lines, and what it imports."""

    path: str
    tree: ast.Module
    line_count: int
    imports: frozenset[Import]

    @property
    def folder(self) -> str:
        """The path of its folder."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


Project = Mapping[str, Module]


def read_project(root: Path) -> Project:
    """The modules below FOLDERS of a project: path without `.py` → module."""
    files = [
        file
        for folder in FOLDERS
        for file in sorted((root / folder).rglob("*.py"))
        if not NOT_OURS & set(file.relative_to(root).parts)
    ]
    texts = {
        file.relative_to(root).with_suffix("").as_posix(): file.read_text(encoding="utf-8") for file in files
    }
    resolver = _Resolver(set(texts))
    modules = {}
    for path, text in texts.items():
        tree = ast.parse(text)
        imports = frozenset(resolver.imports(path, tree))
        modules[path] = Module(path, tree, len(text.splitlines()), imports)
    return modules


def is_in(path: str, area: str) -> bool:
    """Whether a path is the area itself or lies in its folder; for "folder/*" only directly in the folder."""
    folder, star, _ = area.partition("/*")
    if star:
        return path.rpartition("/")[0] == folder
    return path == area or path.startswith(f"{area}/")


class _Resolver:
    """Finds the module that an import names, as `sys.path` would on Lambda or in the tests."""

    def __init__(self, paths: set[str]) -> None:
        self._paths = paths
        self._folders = {path[:end] for path in paths for end in range(len(path)) if path[end] == "/"}
        self._functions = sorted(f for f in self._folders if f.startswith("functions/") and f.count("/") == 1)

    def imports(self, path: str, tree: ast.Module) -> Iterator[Import]:
        """What the module at this path imports, wherever in the file the statement stands."""
        for statement, for_types_only in _import_statements(tree):
            for name in self._names(path, statement):
                found = self._find(path, name)
                yield Import(found or name.split(".")[0], found is not None, for_types_only)

    def _names(self, path: str, statement: _ImportStatement) -> Iterator[str]:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
            return
        parts = [statement.module] if statement.module else []
        if statement.level:
            package = path.split("/")[: -statement.level]
            parts = [".".join(package), *parts]
        module = ".".join(parts)
        for alias in statement.names:  # a submodule, else a name in the module
            submodule = f"{module}.{alias.name}"
            yield submodule if self._find(path, submodule) else module

    def _find(self, path: str, name: str) -> str | None:
        """The path of the module or package of this name, or None if it is not the project's."""
        for root in self._search_path(path):
            candidate = root + name.replace(".", "/")
            if f"{candidate}/__init__" in self._paths:
                return f"{candidate}/__init__"
            if candidate in self._paths or candidate in self._folders:
                return candidate
        return None

    def _search_path(self, path: str) -> list[str]:
        """The importer's own function comes first; other functions last, so that importing one is noticed."""
        own = [f"{function}/" for function in self._functions if is_in(path, function)]
        others = [f"{function}/" for function in self._functions]
        return [*own, "shared/", "", *others]


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements (and `except` and `case` clauses) directly below a node, without its expressions."""
    for part in ("body", "handlers", "cases", "orelse", "finalbody"):
        yield from getattr(node, part, ())


def _import_statements(
    node: ast.AST, for_types_only: bool = False
) -> Iterator[tuple[_ImportStatement, bool]]:
    """The import statements below a node, each with whether it is for type checkers only."""
    if isinstance(node, _ImportStatement):
        yield node, for_types_only
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for guarded in node.body:
            yield from _import_statements(guarded, for_types_only=True)
        for otherwise in node.orelse:
            yield from _import_statements(otherwise, for_types_only)
    else:
        for child in statements(node):
            yield from _import_statements(child, for_types_only)
