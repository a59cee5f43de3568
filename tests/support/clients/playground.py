"""The playground, as users operate it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.support.clients.browser import wait_for_text, wait_until

FORMATS = ("SSE", "Text", "UI message")
ANSWER = ".turn:not(.user) .content"


class Playground:
    """The page of a relay, with the settings filled in for one model."""

    def __init__(self, page: Page, url: str, model: str) -> None:
        self.page = page
        self._url = url
        self._model = model

    def open(self) -> Playground:
        """Go to the page, or reload it."""
        self.page.goto(f"{self._url}/")
        if not self.page.get_by_label("Model").is_visible():
            self.page.get_by_text("Settings").click()
        self.page.get_by_label("Model").fill(self._model)
        return self

    @property
    def question(self) -> Locator:
        """The box for the next question."""
        return self.page.get_by_label("Your message")

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.page.locator(ANSWER).last

    @property
    def alert(self) -> Locator:
        """The errors shown."""
        return self.page.get_by_role("alert")

    def button(self, name: str) -> Locator:
        """The button with this name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def choose(self, format_: str) -> None:
        """Select one of FORMATS."""
        self.page.get_by_label(format_).check()

    def ask(self, question: str = "hi") -> None:
        """Type the question and send it."""
        self.question.fill(question)
        self.button("Send").click()

    def wait_for_answer(self, text: str) -> None:
        """Wait for an answer with exactly this text, whether or not it has ended."""
        wait_for_text(self.page, ANSWER, text)

    def wait_for_end(self) -> str:
        """Wait until no answer is being written. Returns what is shown as the reason of its end."""
        wait_until(self.page, "() => document.getElementById('stop').hidden")
        return self.measured("ended")

    def asked(self, question: str = "hi") -> str:
        """Ask and wait for the end. Returns the text of the answer."""
        self.ask(question)
        self.wait_for_end()
        return self.answer.text_content() or ""

    def measured(self, name: str) -> str:
        """One of the measurements of the last answer, as shown."""
        return self.page.locator(f"#{name}").text_content() or ""

    def has_caret(self) -> bool:
        """Whether a caret blinks after the text of the last answer."""
        script = "e => getComputedStyle(e, '::after').animationName === 'caret'"
        return bool(self.answer.locator("span").last.evaluate(script))

    def expect_to_be_ready(self) -> None:
        """Assert that no answer is being written, so that the next question can be asked."""
        expect(self.button("Send")).to_be_visible()
        expect(self.button("Stop")).to_be_hidden()
