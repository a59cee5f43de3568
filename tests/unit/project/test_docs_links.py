"""The pages lead to each other, and to files that exist."""

from __future__ import annotations

import re

import pytest

from tests.support.documentation import GUIDES, PAGES, headings, links
from tests.support.project import PROJECT

LINKS = sorted({(page, target) for page, text in GUIDES.items() for target in links(text)})
RELATIVE = [(page, target) for page, target in LINKS if not re.match(r"[a-z]+:", target)]
FOLDERS = ("functions/", "shared/", "local/", "tests/", "artefacts/", "events/", "docs/")


@pytest.mark.parametrize(("page", "target"), RELATIVE)
def test_every_link_leads_to_a_file_and_a_heading(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (PROJECT / page).parent / path if path else PROJECT / page
    assert file.exists()
    if anchor:
        assert anchor in headings(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"README.md"}))
def test_the_readme_names_every_page(page: str) -> None:
    assert page in links(GUIDES["README.md"])


def test_the_readme_is_short() -> None:
    assert len(GUIDES["README.md"].splitlines()) <= 250


def named_paths() -> list[tuple[str, str]]:
    """The names in code on a page that begin like a path of the project."""
    found = set()
    for page, text in GUIDES.items():
        found |= {(page, code) for code in re.findall(r"`([\w./-]+)`", text) if code.startswith(FOLDERS)}
    return sorted(found)


@pytest.mark.parametrize(("page", "path"), named_paths())
def test_every_path_that_a_page_names_exists(page: str, path: str) -> None:
    assert (PROJECT / path).exists()


def test_the_pictures_are_light() -> None:
    pictures = [target for _, target in LINKS if target.endswith(".png")]
    assert pictures
    assert (PROJECT / "docs" / "playground.png").stat().st_size < 150_000
