"""The files for browsers: small, complete, and under a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

import pytest

from public.files import browser_file
from public.routes import OPEN_ROUTES
from request.http_request import HttpRequest

MAX_PAGE_BYTES = 40_000
PAGE = browser_file("playground.html")
HTML = PAGE.body.decode()
POLICY = dict(part.split(" ", 1) for part in PAGE.headers["content-security-policy"].split("; "))


def get(path: str, headers: Mapping[str, str] | None = None, **query: str) -> HttpRequest:
    return HttpRequest("GET", path, query, headers or {}, b"")


def test_the_page_is_smaller_than_40_kb() -> None:
    assert len(PAGE.body) < MAX_PAGE_BYTES


@pytest.mark.parametrize(("element", "directive"), [("style", "style-src"), ("script", "script-src")])
def test_the_policy_allows_exactly_the_script_and_style_of_the_page(element: str, directive: str) -> None:
    (text,) = re.findall(rf"<{element}\b[^>]*>(.*?)</{element}>", HTML, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert POLICY[directive] == f"'sha256-{digest}'"


def test_the_policy_allows_nothing_else_but_the_relay_itself() -> None:
    rest = {name: value for name, value in POLICY.items() if name not in ("style-src", "script-src")}
    assert rest == {
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_page_contains_the_whole_module_except_its_documentation() -> None:
    module = browser_file("stream.js").body.decode()
    kept = [line for line in module.splitlines() if not line.lstrip().startswith(("/**", "*"))]
    assert [line for line in kept if line not in HTML.splitlines()] == []
    assert "@typedef" not in HTML


def test_the_page_loads_no_other_file() -> None:
    assert re.findall(r"<link\b(?![^>]*href=\"data:)|<script\b[^>]*src=|<img\b|@import|url\(", HTML) == []
    assert "import {" not in HTML
    assert "/* playground" not in HTML


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/stream.js", "text/javascript"),
        ("/stream-hooks.js", "text/javascript"),
        ("/stream.d.ts", "application/typescript"),
        ("/stream-hooks.d.ts", "application/typescript"),
    ],
)
def test_each_file_has_its_content_type_and_is_not_sniffed(path: str, media_type: str) -> None:
    answer = OPEN_ROUTES[path].answer(get(path))
    assert answer.status == 200
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_each_file_has_an_etag_of_its_own() -> None:
    paths = OPEN_ROUTES.keys() - {"/health"}
    etags = {OPEN_ROUTES[path].answer(get(path)).headers["etag"] for path in paths}
    assert len(etags) == len(paths) == 5


def test_the_page_shares_no_process_with_the_page_that_opened_it() -> None:
    assert PAGE.headers["cross-origin-opener-policy"] == "same-origin"


PATHS = sorted(OPEN_ROUTES.keys() - {"/health"})


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_that_has_the_file_gets_it_again_because_a_304_would_have_no_body(path: str) -> None:
    etag = OPEN_ROUTES[path].answer(get(path)).headers["etag"]
    for known in (etag, f"W/{etag}", "*"):
        answer = OPEN_ROUTES[path].answer(get(path, {"if-none-match": known}))
        assert answer.status == 200
        assert answer.body


def test_the_page_is_asked_for_each_time_and_a_module_after_five_minutes() -> None:
    kept = {path: OPEN_ROUTES[path].answer(get(path)).headers["cache-control"] for path in PATHS}
    assert kept.pop("/") == "no-cache"
    assert set(kept.values()) == {"public, max-age=300"}


@pytest.mark.parametrize("path", PATHS)
def test_a_file_may_be_kept_for_ever_under_an_address_with_its_version(path: str) -> None:
    plain = OPEN_ROUTES[path].answer(get(path))
    version = plain.headers["etag"].strip('"')
    versioned = OPEN_ROUTES[path].answer(get(path, v=version))
    assert versioned.headers == {**plain.headers, "cache-control": "public, max-age=31536000, immutable"}
    assert versioned.body == plain.body
    for other in ("", "0" * len(version), version[:-1]):
        assert OPEN_ROUTES[path].answer(get(path, v=other)).headers == plain.headers
