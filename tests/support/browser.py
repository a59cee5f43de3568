"""Chromium as the system has it, driven by Playwright, and what a page must never do."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.node_programs import CLIENTS, install_packages

NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT_MS = 15_000
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

# Notes each change of an element's text, with the time at which it was made.
_WATCH = """element => {
  const changes = [];
  new MutationObserver(() => changes.push([performance.now(), element.textContent]))
    .observe(element, { childList: true, characterData: true, subtree: true });
  globalThis.seenChanges = changes;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Without one on this machine the test is skipped."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on this machine: nothing is tried in a browser here")
    with sync_playwright() as playwright:
        # Whoever runs tests as root, in a container, has no sandbox to give; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_context(browser: Browser, may_say: Sequence[str] = (), **options: Any) -> Iterator[BrowserContext]:
    """A context of its own for each test, with no storage. Fails on what a page must never do:

    an uncaught error, a violation of the page's policy, an error on the console (but for those with one
    of the texts of `may_say`: Chromium says something of every answer that fails, whatever the page makes of
    it).
    """
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            faults.append(message.text)

    context = browser.new_context(**options)
    context.set_default_timeout(LIMIT_MS)
    context.on("console", note)
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective))"
    )
    yield context
    context.close()
    assert [fault for fault in faults if not any(text in fault for text in may_say)] == []


def watch_text(page: Page, selector: str) -> None:
    """Note from now on how the text of this element changes; `text_changes` has it then."""
    page.locator(selector).last.evaluate(_WATCH)


def text_changes(page: Page) -> list[tuple[float, str]]:
    """Each change so far: when, in milliseconds, and the text from then on."""
    return [(at_ms, text) for at_ms, text in page.evaluate("seenChanges")]


def serious_violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is now, if it is serious or critical."""
    install_packages()
    page.evaluate((CLIENTS / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{violation['id']}: {violation['nodes'][0]['html']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


class _QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        return


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder at a URL of their own, which is another origin than the relay's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietFiles, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
