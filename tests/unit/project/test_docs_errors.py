"""docs/api.md has every error code of the relay, with its status, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.documentation import PAGES, tables
from tests.support.project import PROJECT

STREAM_CHAT = PROJECT / "functions/stream_chat"
NEVER_SENT = {"invalid_event"}  # `app` acknowledges such an event before it is read as a request


def raised() -> Iterator[tuple[int, str]]:
    """The status and code of every error that is made with both."""
    for file in STREAM_CHAT.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            match call:
                case ast.Call(args=[ast.Constant(value=int(status)), code, *_]):
                    texts = [part.value for part in ast.walk(code) if isinstance(part, ast.Constant)]
                    yield from ((status, text) for text in texts if isinstance(text, str))


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
