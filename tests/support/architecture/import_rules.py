"""The rules of who may import whom, as tables, and the search for breaches."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.support.architecture.python_modules import DEPLOYED, Module, Project, is_in

STREAM_CHAT = "functions/stream_chat"
COMPANIONS = (
    "functions/publish_transcript",
    "functions/archive_transcripts",
    "functions/redrive_transcripts",
)
CHAT_STREAM = "shared/chat_stream"
LAMBDA_STREAM = "shared/lambda_stream"
PRICING = "shared/pricing"
RELAY = (f"{STREAM_CHAT}/relay", f"{STREAM_CHAT}/relay_document")

# Area → the only parts of the project that its modules import. Areas may be nested: each rule counts. An area
# is a module, or a folder with all below it, or "folder/*": only the modules in the folder itself.
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    **{function: (function, "shared") for function in (STREAM_CHAT, *COMPANIONS)},
    "shared": ("shared",),
    "local": ("local", *DEPLOYED),
    CHAT_STREAM: (CHAT_STREAM,),
    LAMBDA_STREAM: (LAMBDA_STREAM,),
    **dict.fromkeys(
        RELAY,
        (
            f"{STREAM_CHAT}/upstream",
            f"{STREAM_CHAT}/rendering",
            f"{STREAM_CHAT}/*",
            CHAT_STREAM,
            LAMBDA_STREAM,
            "shared/*",
            PRICING,
        ),
    ),
    PRICING: (PRICING, CHAT_STREAM, "shared/settings_reading"),
}

# A part of the project or a package → the only areas that import it.
IMPORTED_ONLY_BY: Mapping[str, tuple[str, ...]] = {
    f"{STREAM_CHAT}/app": ("tests",),
    **dict.fromkeys(RELAY, (f"{STREAM_CHAT}/app", *RELAY, "tests")),
    **dict.fromkeys(("httpcore", "h11"), (f"{STREAM_CHAT}/upstream/transport", "tests")),
    # The issuer's public keys are fetched from the issuer, and the probe asks the relay, not the upstream.
    "httpx": (
        f"{STREAM_CHAT}/upstream",
        f"{STREAM_CHAT}/callers/signing_keys",
        "local/probe/caller",
        "tests",
    ),
    **dict.fromkeys(
        ("boto3", "botocore"),
        (
            f"{STREAM_CHAT}/handoff",
            f"{STREAM_CHAT}/quota",
            *COMPANIONS,
            "shared/aws_client",
            "local",
            "tests",
        ),
    ),
    "respx": ("tests",),
}

# A lower layer reaches no higher one, not even by way of a third module.
LAYERS = (
    f"{CHAT_STREAM}/sse",
    f"{CHAT_STREAM}/events",
    f"{CHAT_STREAM}/dialects",
    f"{CHAT_STREAM}/transcripts",
)

# Area → the only packages that it imports beyond the standard library.
PACKAGES: Mapping[str, frozenset[str]] = {
    CHAT_STREAM: frozenset(),
    PRICING: frozenset(),
    LAMBDA_STREAM: frozenset({"snapshot_restore_py"}),  # part of Lambda's managed runtime
}

NAMED_AREAS = {
    *MAY_IMPORT,
    *(area for areas in MAY_IMPORT.values() for area in areas),
    *(target for target in IMPORTED_ONLY_BY if "/" in target),
    *(area for areas in IMPORTED_ONLY_BY.values() for area in areas),
    *LAYERS,
    *PACKAGES,
}


class Breach(NamedTuple):
    """A broken rule and its place, without line numbers, so that a table of exceptions can name it."""

    rule: str
    place: str


def unknown_areas(project: Project) -> Iterator[Breach]:
    """Areas in the tables that do not exist, so that their rules test nothing; functions without a rule."""
    for area in NAMED_AREAS:
        if not any(is_in(path, area) for path in project):
            yield Breach("unknown area", area)
    folders = {"/".join(path.split("/")[:2]) for path in project if path.count("/") > 1}
    for function in folders - MAY_IMPORT.keys():
        if is_in(function, "functions"):
            yield Breach("function without a rule", function)


def forbidden_imports(project: Project) -> Iterator[Breach]:
    """Imports of project modules that MAY_IMPORT does not allow."""
    for path, module in project.items():
        allowed = [areas for area, areas in MAY_IMPORT.items() if is_in(path, area)]
        for imported in module.imports:
            if imported.is_ours and not all(_is_in_any(imported.target, areas) for areas in allowed):
                yield Breach("forbidden import", f"{path} -> {imported.target}")


def private_modules(project: Project) -> Iterator[Breach]:
    """Imports from outside the areas to which IMPORTED_ONLY_BY keeps a module or package."""
    for path, module in project.items():
        for imported in module.imports:
            for target, importers in IMPORTED_ONLY_BY.items():
                if is_in(imported.target, target) and not _is_in_any(path, importers):
                    yield Breach("private to others", f"{path} -> {imported.target}")


def layers(project: Project) -> Iterator[Breach]:
    """Paths from a layer of chat_stream to a higher one."""
    imports = {path: _targets(module) for path, module in project.items() if is_in(path, CHAT_STREAM)}
    for level, layer in enumerate(LAYERS):
        for path in imports:
            if is_in(path, layer):
                for reached in _reachable(path, imports):
                    if _is_in_any(reached, LAYERS[level + 1 :]):
                        yield Breach("higher layer", f"{path} -> {reached}")


def foreign_packages(project: Project) -> Iterator[Breach]:
    """Imports from neither the project, nor the standard library, nor PACKAGES."""
    for path, module in project.items():
        for area, packages in PACKAGES.items():
            for imported in module.imports if is_in(path, area) else ():
                known = imported.is_ours or imported.target in sys.stdlib_module_names
                if not known and imported.target not in packages:
                    yield Breach("foreign package", f"{path} -> {imported.target}")


def import_circles(project: Project) -> Iterator[Breach]:
    """Modules or packages side by side in a folder that import each other in a circle.

    A package imports what its modules import. A circle of single modules is found in the innermost folder
    that holds all of them: there it leads through at least two modules or packages.
    """
    graphs: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path, module in project.items():
        for target in _targets(module):
            folder, importer, imported = _part_ways(path, target)
            if imported != importer:
                graphs[folder][importer].add(imported)
    for folder, graph in graphs.items():
        reached = {name: _reachable(name, graph) for name in graph}
        circles = {
            tuple(sorted(other for other in reached[name] if name in reached.get(other, ())))
            for name in graph
            if name in reached[name]
        }
        for circle in sorted(circles):
            yield Breach("import circle", f"{folder}: {', '.join(circle)}")


def _is_in_any(path: str, areas: tuple[str, ...]) -> bool:
    return any(is_in(path, area) for area in areas)


def _targets(module: Module) -> set[str]:
    """The project's modules that this one imports at run time."""
    return {found.target for found in module.imports if found.is_ours and not found.for_types_only}


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    """Every node at the end of a path from `start`, which is one of them only if it is on a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def _part_ways(path: str, target: str) -> tuple[str, str, str]:
    """The innermost folder that holds both, and the names in it under which each of them lies."""
    ours, theirs = path.split("/"), target.split("/")
    shared = 0
    while shared < min(len(ours), len(theirs)) - 1 and ours[shared] == theirs[shared]:
        shared += 1
    return "/".join(ours[:shared]), ours[shared], theirs[shared]
