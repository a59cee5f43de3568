"""Frontends as users write them: the pages' files, built with Vite and served at their own origin."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page

from public.files import FOLDER
from tests.support.clients.browser import served, wait_until
from tests.support.clients.node_programs import CLIENTS, install_packages, run_node
from tests.support.documentation import named_files
from tests.support.upstreams.replay_upstream import DONE, Piece, Reply, event

DEFAULT_MODEL = "gpt-6-luna"  # of the relay, for requests that name no model
WORDS = [f"word{number} " for number in range(6)]
TEXT = "".join(WORDS)


# For what depends on when React renders and runs effects.
each_react = pytest.mark.parametrize("frontend", ["19", "18"], indirect=True, scope="module")


@dataclass(frozen=True)
class Frontend:
    """A built page, being served."""

    react: str
    url: str

    def open(self, page: Page, component: str = "", model: str = "") -> Page:
        """Open the page with this component, or without one; then `frontend` is defined in it."""
        page.goto(f"{self.url}/?model={model}#{component}")
        wait_until(page, "() => globalThis.frontend")
        return page


Build = Callable[[str], Frontend]


@contextmanager
def frontends(folder: Path, relay_url: str) -> Iterator[Build]:
    """A function that builds the frontend with a version of React in this folder, once for each version."""
    install_packages()
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    for source in (*(CLIENTS / "frontend").iterdir(), *FOLDER.glob("stream*.js")):
        shutil.copy(source, folder)
    for name, code in named_files(relay_url).items():
        (folder / name).write_text(code, encoding="utf-8")
    built: dict[str, Frontend] = {}

    def with_react(version: str) -> Frontend:
        if version not in built:
            run_node("build_frontend.mjs", str(folder), version, relay_url)
            built[version] = Frontend(version, f"{url}/dist-{version}")
        return built[version]

    with served(folder) as url:
        yield with_react


def spaced(*words: str, pause_s: float = 0.1) -> Reply:
    """A whole answer with a pause before each word."""
    pieces: list[Piece] = [piece for word in words for piece in (pause_s, event(word))]
    return Reply([*pieces, event(finish="stop"), DONE])


def endless() -> Reply:
    """A long answer, which the test stops."""
    return spaced(*(f"word{number} " for number in range(400)), pause_s=0.05)


def broken() -> Reply:
    """An answer that breaks off."""
    # The pause lets the browser read it: it discards what it has not read when a text breaks off.
    return Reply([event("Half"), 0.5], ends="cut")


def assert_grows(texts: list[str]) -> None:
    """Assert that TEXT was shown in several steps, each of which extends the one before."""
    assert len(texts) >= 3
    assert all(later.startswith(sooner) for sooner, later in pairwise(texts))
    assert texts[-1] == TEXT
