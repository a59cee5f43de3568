"""The pages lead to each other, and to files that exist."""

from __future__ import annotations

import re

from tests.support.documentation import GUIDES, PAGES, headings, links
from tests.support.project import PROJECT

LINKS = sorted({(page, target) for page, text in GUIDES.items() for target in links(text)})
RELATIVE = [(page, target) for page, target in LINKS if not re.match(r"[a-z]+:", target)]
FOLDERS = ("functions/", "shared/", "local/", "tests/", "artefacts/", "events/", "docs/")


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    for page, target in RELATIVE:
        path, _, anchor = target.partition("#")
        file = (PROJECT / page).parent / path if path else PROJECT / page
        assert file.exists(), (page, target)
        assert not anchor or anchor in headings(file.read_text(encoding="utf-8")), (page, target)


def test_the_readme_names_every_page() -> None:
    assert set(PAGES) - {"README.md"} <= set(links(GUIDES["README.md"]))


def test_the_readme_is_short() -> None:
    assert len(GUIDES["README.md"].splitlines()) <= 250


def named_paths() -> list[tuple[str, str]]:
    """The names in code on a page that begin like a path of the project."""
    found = set()
    for page, text in GUIDES.items():
        found |= {(page, code) for code in re.findall(r"`([\w./-]+)`", text) if code.startswith(FOLDERS)}
    return sorted(found)


def test_every_path_that_a_page_names_exists() -> None:
    assert [(page, path) for page, path in named_paths() if not (PROJECT / path).exists()] == []


def test_the_pictures_are_light() -> None:
    pictures = [target for _, target in LINKS if target.endswith(".png")]
    assert pictures
    assert (PROJECT / "docs" / "playground.png").stat().st_size < 150_000
