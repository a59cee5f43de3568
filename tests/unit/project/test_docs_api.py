"""docs/api.md has every route, and every error code with its status."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from public.routes import OPEN_ROUTES
from routing import ROUTES
from tests.support.documentation import PAGES, tables
from tests.support.project import PROJECT

STREAM_CHAT = PROJECT / "functions/stream_chat"
NEVER_SENT = {"invalid_event"}  # `app` acknowledges such an event before it is read as a request


# Without the files with types, which the pages mention beside their modules.
ROUTES_TO_SHOW = [
    path if path in OPEN_ROUTES else f"{method} {path}"
    for path, methods in ROUTES.items()
    for method in methods
    if method != "HEAD" and not path.endswith(".d.ts")
]


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
@pytest.mark.parametrize("route", ROUTES_TO_SHOW)
def test_every_route_is_on_the_page(page: str, route: str) -> None:
    (table,) = (table for table in tables(PAGES[page]) if table[0][0] == "route")
    assert re.search(rf"`(GET )?{re.escape(route)}[`?]", " ".join(row[0] for row in table[2:]))


def raised() -> Iterator[tuple[int, str]]:
    """The status and code of every error that is made with both."""
    for file in STREAM_CHAT.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            match call:
                case ast.Call(args=[ast.Constant(value=int(status)), code, *_]):
                    texts = [part.value for part in ast.walk(code) if isinstance(part, ast.Constant)]
                    yield from ((status, text) for text in texts if isinstance(text, str))
                case ast.Call(func=ast.Name(id="unavailable"), args=[ast.Constant(value=str(code)), *_]):
                    yield 503, code


def named() -> set[str]:
    """The codes of the upstream's failures, some of which are chosen by its status."""
    sources = (file.read_text() for file in (STREAM_CHAT / "upstream").rglob("*.py"))
    return {code for source in sources for code in re.findall(r'"(upstream_[a-z_]+)"', source)}


def documented() -> set[tuple[str, str]]:
    (table,) = (table for table in tables(PAGES["docs/api.md"]) if table[0][:2] == ["status", "`code`"])
    return {(row[0], code) for row in table[2:] for code in re.findall(r"`(\w+)`", row[1])}


def test_every_error_code_is_on_the_page_with_its_status() -> None:
    codes = {(str(status), code) for status, code in raised() if 400 <= status < 600}
    assert len(codes) > 30
    assert {(status, code) for status, code in codes if code not in NEVER_SENT} <= documented()
    assert named() <= {code for _, code in documented()}


def test_every_error_code_on_the_page_is_one_of_the_codes() -> None:
    assert {code for _, code in documented()} <= {code for _, code in raised()} | named()
