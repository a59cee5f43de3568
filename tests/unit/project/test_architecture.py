"""The code keeps the rules of its architecture: imports, sizes, docstrings.

The rules are in tests/support/architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.architecture import import_rules, size_rules
from tests.support.architecture.import_rules import Breach
from tests.support.architecture.python_modules import Project, read_project
from tests.support.project import PROJECT

Rule = Callable[[Project], Iterator[Breach]]

RULES: tuple[Rule, ...] = (
    import_rules.unknown_areas,
    import_rules.forbidden_imports,
    import_rules.private_modules,
    import_rules.layers,
    import_rules.foreign_packages,
    import_rules.import_circles,
    size_rules.folder_sizes,
    size_rules.module_sizes,
    size_rules.definition_sizes,
    size_rules.docstrings,
    size_rules.packages,
)

# Breach → the reason why it is right.
EXCEPTIONS: Mapping[Breach, str] = {
    Breach("private to others", "local/lambda_service/runtime_api -> h11"): (
        "a broken answer ends in HTTP trailers, which ASGI servers do not pass on"
    ),
    Breach("forbidden import", "functions/stream_chat/relay -> functions/stream_chat/request/chat_request"): (
        "a relay answers one ChatRequest, a value that it is given"
    ),
}


@pytest.fixture(scope="module")
def breaches() -> set[Breach]:
    """Everything in the code that breaks a rule."""
    project = read_project(PROJECT)
    assert len(project) > 300
    return {breach for rule in RULES for breach in rule(project)}


def test_code_keeps_the_architecture(breaches: set[Breach]) -> None:
    found = breaches - EXCEPTIONS.keys()
    assert not found, as_lines(found)


def test_every_exception_is_still_needed(breaches: set[Breach]) -> None:
    mended = EXCEPTIONS.keys() - breaches
    assert not mended, as_lines(mended)


def test_every_exception_has_its_reason() -> None:
    assert all(len(reason) > 10 for reason in EXCEPTIONS.values())


def as_lines(breaches: Iterable[Breach]) -> str:
    return "\n".join(f"{breach.rule}: {breach.place}" for breach in sorted(breaches))


def lines(count: int, first: str = "") -> str:
    """Source text with this number of lines."""
    return first + "\n".join(["    x = 1"] * (count - first.count("\n")))


STREAM_CHAT = "functions/stream_chat"
KNOWN_AREAS = import_rules.NAMED_AREAS - {"shared/lambda_stream"}
# For each rule: a small project that breaks it here and nearly breaks it there, and all breaches in it.
PLANTED: list[tuple[Rule, dict[str, str], set[Breach]]] = [
    (
        import_rules.unknown_areas,
        {f"{area.removesuffix('/*')}/module.py": "" for area in {"functions/new", *KNOWN_AREAS}},
        {Breach("unknown area", "shared/lambda_stream"), Breach("function without a rule", "functions/new")},
    ),
    (
        import_rules.forbidden_imports,
        {
            "functions/publish_transcript/routes.py": "from redrive_settings import RedriveSettings",
            "functions/redrive_transcripts/redrive_settings.py": "import json",
            "functions/redrive_transcripts/routes.py": "def f():\n    from local import console",
            f"{STREAM_CHAT}/relay.py": "import errors, lambda_stream\nfrom quota import admission",
            f"{STREAM_CHAT}/errors.py": "from chat_stream import events",
            f"{STREAM_CHAT}/quota/admission.py": "",
            "shared/chat_stream/events.py": "from lambda_stream.watchdog import Watchdog",
            "shared/lambda_stream/watchdog.py": (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..chat_stream import events"
            ),
            "local/console.py": "import chat_stream.events, tests.support.aws.sam",
            "tests/support/aws/sam.py": "import errors, local.console, redrive_settings",
        },
        {
            Breach("forbidden import", f"{importer} -> {imported}")
            for importer, imported in (
                ("functions/publish_transcript/routes", "functions/redrive_transcripts/redrive_settings"),
                ("functions/redrive_transcripts/routes", "local/console"),
                (f"{STREAM_CHAT}/relay", f"{STREAM_CHAT}/quota/admission"),
                ("shared/chat_stream/events", "shared/lambda_stream/watchdog"),
                ("shared/lambda_stream/watchdog", "shared/chat_stream/events"),
                ("local/console", "tests/support/aws/sam"),
            )
        },
    ),
    (
        import_rules.private_modules,
        {
            f"{STREAM_CHAT}/app.py": "import relay, httpx",
            f"{STREAM_CHAT}/relay.py": "import upstream.client",
            f"{STREAM_CHAT}/upstream/client.py": "import httpx, httpcore\nfrom relay import Relay",
            f"{STREAM_CHAT}/upstream/transport/body.py": "import h11, httpcore, httpx_sse",
            f"{STREAM_CHAT}/callers/tokens.py": "def f():\n    from httpx import Client",
            "shared/timed_calls.py": "from botocore.config import Config",
            "local/stack.py": "import boto3, respx",
            "tests/unit/test_app.py": "import app, respx, boto3, httpcore, httpx",
        },
        {
            Breach("private to others", f"{importer} -> {imported}")
            for importer, imported in (
                (f"{STREAM_CHAT}/app", "httpx"),
                (f"{STREAM_CHAT}/upstream/client", "httpcore"),
                (f"{STREAM_CHAT}/upstream/client", f"{STREAM_CHAT}/relay"),
                (f"{STREAM_CHAT}/callers/tokens", "httpx"),
                ("shared/timed_calls", "botocore"),
                ("local/stack", "respx"),
            )
        },
    ),
    (
        import_rules.layers,
        {
            "shared/chat_stream/sse.py": "import chat_stream.text_runs",
            "shared/chat_stream/text_runs.py": "from chat_stream.events import ChatEvent",
            "shared/chat_stream/events.py": "from chat_stream import sse",
        },
        {Breach("higher layer", "shared/chat_stream/sse -> shared/chat_stream/events")},
    ),
    (
        import_rules.foreign_packages,
        {
            "shared/chat_stream/sse.py": "import json, snapshot_restore_py\nfrom chat_stream import events",
            "shared/chat_stream/events.py": "",
            "shared/lambda_stream/snapstart.py": "import snapshot_restore_py, pydantic.main",
            "shared/aws_client.py": "import boto3",
        },
        {
            Breach("foreign package", "shared/chat_stream/sse -> snapshot_restore_py"),
            Breach("foreign package", "shared/lambda_stream/snapstart -> pydantic"),
        },
    ),
    (
        import_rules.import_circles,
        {
            # Two modules, and three packages by way of one module each.
            "local/stack.py": "from local import settings",
            "local/settings.py": "def f():\n    import local.stack",
            f"{STREAM_CHAT}/public/routes.py": "from request.http_request import HttpRequest",
            f"{STREAM_CHAT}/request/http_request.py": "",
            f"{STREAM_CHAT}/request/chat_request.py": "import rendering.formats",
            f"{STREAM_CHAT}/rendering/formats.py": "from public import routes",
            f"{STREAM_CHAT}/quota/admission.py": (
                "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import callers.tokens"
            ),
            f"{STREAM_CHAT}/callers/tokens.py": "import quota.admission",
        },
        {
            Breach("import circle", "local: settings, stack"),
            Breach("import circle", f"{STREAM_CHAT}: public, rendering, request"),
        },
    ),
    (
        size_rules.folder_sizes,
        {f"local/aws/m{number}.py": "" for number in range(11)}
        | {f"tests/unit/{name}.py": "" for name in ("__init__", "__main__", *map(str, range(10)))},
        {Breach("folder size", "local/aws")},
    ),
    (
        size_rules.module_sizes,
        {"tests/unit/test_long.py": "x = 1\n" * 401, "tests/unit/test_short.py": "x = 1\n" * 400},
        {Breach("module size", "tests/unit/test_long")},
    ),
    (
        size_rules.definition_sizes,
        {
            "local/a.py": lines(252, "@final\nclass Long:\n") + "\n" + lines(251, "@final\nclass Short:\n"),
            "local/c.py": lines(61, "async def long():\n") + "\n" + lines(60, "def short():\n"),
            "local/e.py": lines(62, "class Short:\n  def long(self):\n"),
        },
        {
            Breach("class size", "local/a: Long"),
            Breach("function size", "local/c: long"),
            Breach("function size", "local/e: long"),
        },
    ),
    (
        size_rules.docstrings,
        {
            "shared/a.py": "x = 1",
            "shared/b.py": '"""Text."""\ndef f(): pass\ndef _g(): pass',
            "shared/c.py": '"""Text."""\nclass C:\n  """Text."""\n  def m(self): pass\n  def _n(self): pass',
            "tests/unit/test_a.py": "def test_a(): pass",
        },
        {
            Breach("docstring", "shared/a"),
            Breach("docstring", "shared/b: f"),
            Breach("docstring", "shared/c: C.m"),
        },
    ),
    (
        size_rules.packages,
        {
            "local/a/__init__.py": '"""Text."""\nfrom local.a.b import c',
            "local/b/__init__.py": '"""Text\n\nin paragraphs."""',
            "local/d/__init__.py": '"""Text."""',
        },
        {Breach("package", "local/a"), Breach("package", "local/b")},
    ),
]


@pytest.mark.parametrize(
    ("rule", "files", "planted"), PLANTED, ids=lambda case: getattr(case, "__name__", "")
)
def test_planted_breach_is_found_and_nothing_else(
    rule: Rule, files: dict[str, str], planted: set[Breach], tmp_path: Path
) -> None:
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert set(rule(read_project(tmp_path))) == planted


def test_every_rule_has_a_planted_breach() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)
