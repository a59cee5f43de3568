"""The system's Chromium, driven by Playwright, and the faults that a page must never have."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.support.clients.node_programs import CLIENTS, install_packages
from tests.support.network.loopback_server import LoopbackServer, QuietRequest

NAMES = ("chromium", "chromium-browser", "google-chrome")
LIMIT_MS = 15_000
WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}

# Notes each change of an element's text, with the time at which it was made.
_WATCH = """element => {
  const changes = [];
  new MutationObserver(() => changes.push([performance.now(), element.textContent]))
    .observe(element, { childList: true, characterData: true, subtree: true });
  globalThis.seenChanges = changes;
}"""


def skip_without_chromium() -> None:
    """Skip the whole module that calls this, if there is no browser."""
    if not any(map(shutil.which, NAMES)):
        pytest.skip("needs Chromium, which this machine does not have", allow_module_level=True)


@contextmanager
def chromium(*switches: str) -> Iterator[Browser]:
    """The browser, started with these command-line switches."""
    program = next(filter(None, map(shutil.which, NAMES)))
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        # Chromium has no sandbox for root, and containers often run tests as root; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *switches])
        yield browser
        browser.close()


class Tab:
    """A tab that many tests use one after another, because opening one takes half a second."""

    def __init__(self, context: BrowserContext) -> None:
        self._faults: list[str] = []
        context.set_default_timeout(LIMIT_MS)
        context.on("console", self._note)
        context.on("weberror", lambda error: self._faults.append(str(error.error)))
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective))"
        )
        self.page = context.new_page()

    def leave(self, may_say: Sequence[str] = ()) -> None:
        """Leave the page, and fail if it had a fault.

        Faults are uncaught errors, violations of the content security policy, and errors and warnings on the
        console, except those that contain one of the texts in `may_say`: Chromium logs every failed answer,
        however the page handles it.
        """
        if self.page.url.startswith("http"):
            self.page.evaluate("try { sessionStorage.clear() } catch {}")
        self.page.goto("about:blank")
        faults, self._faults = self._faults, []
        assert [fault for fault in faults if not any(text in fault for text in may_say)] == []

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._faults.append(message.text)


@contextmanager
def open_tab(browser: Browser, **options: Any) -> Iterator[Page]:
    """The page of a tab with other options, such as a phone's; its faults fail the test as well."""
    context = browser.new_context(**options)
    tab = Tab(context)
    yield tab.page
    tab.leave()
    context.close()


def watch_text(page: Page, selector: str) -> None:
    """Record from now on how the text of this element changes, for `text_changes`."""
    page.locator(selector).last.evaluate(_WATCH)


def text_changes(page: Page) -> list[tuple[float, str]]:
    """Each change so far: its time in milliseconds, and the new text."""
    return [(at_ms, text) for at_ms, text in page.evaluate("seenChanges")]


def wait_until(page: Page, condition: str, argument: Any = None) -> None:
    """Wait until the condition, a JavaScript function, is true for the argument.

    `expect` soon looks only once a second, and Playwright's own waiting needs a policy that allows `eval`.
    """
    page.evaluate(
        f"""(argument) => new Promise((resolve, reject) => {{
          const holds = {condition};
          const end = performance.now() + {LIMIT_MS};
          const look = () => {{
            if (holds(argument)) resolve();
            else if (performance.now() < end) setTimeout(look, 10);
            else reject(new Error("waited in vain, before: " + document.body.innerText));
          }};
          look();
        }})""",
        argument,
    )


def wait_for_text(page: Page, selector: str, text: str) -> None:
    """Wait until the last such element has exactly this text."""
    condition = "([selector, text]) => [...document.querySelectorAll(selector)].at(-1)?.textContent === text"
    wait_until(page, condition, [selector, text])


def serious_violations(page: Page) -> list[str]:
    """The serious and critical violations that axe-core finds in the page in its present state."""
    install_packages()
    page.evaluate((CLIENTS / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{violation['id']}: {violation['nodes'][0]['html']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


class _Files(QuietRequest, SimpleHTTPRequestHandler):
    """Serves the files of the folder that it is given."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The files of a folder at their own URL, whose origin is not the relay's."""
    with LoopbackServer(partial(_Files, directory=str(folder))) as server:
        yield server.url
