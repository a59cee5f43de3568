"""The accessibility of the playground: keyboard, screen reader, phone, colours, text size and direction."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.clients.browser import PHONE, open_tab, serious_violations, skip_without_chromium
from tests.support.clients.playground import FORMATS, Playground
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event

skip_without_chromium()


def test_the_playground_can_be_used_by_keyboard_alone(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    long: list[Piece] = [piece for number in range(300) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(answer("Hello.")), Reply(long))
    keyboard = playground.page.keyboard
    playground.question.focus()
    keyboard.type("one")
    keyboard.press("Shift+Enter")
    keyboard.type("two")
    expect(playground.question).to_have_value("one\ntwo")
    keyboard.press("Enter")
    playground.wait_for_answer("Hello.")
    playground.wait_for_end()
    assert replay.exchanges(model)[0].body["messages"][-1]["content"] == "one\ntwo"
    keyboard.type("more")
    keyboard.press("Enter")
    expect(playground.answer).to_contain_text("word2 ")
    keyboard.press("Escape")
    assert playground.wait_for_end() == "you"
    expect(playground.question).to_be_focused()
    reached = set()
    for _ in range(20):
        keyboard.press("Tab")
        name, outline = playground.page.evaluate(
            """[document.activeElement.id || document.activeElement.textContent.trim(),
                getComputedStyle(document.activeElement).outlineStyle]"""
        )
        reached.add(name)
        assert outline in ("solid", "auto") or name.startswith("Delta Relay"), (
            name
        )  # the page itself has none
    assert {"model", "system", "key", "clear", "question", "send", "scroller", "Settings"} <= reached


def test_the_focus_is_never_lost(playground: Playground, replay: ReplayUpstream, model: str) -> None:
    for name in ("Why is the sky blue?", "Send"):
        gate = threading.Event()
        replay.answer(model, Reply([event("Hel"), gate, event("lo"), event(finish="stop"), DONE]))
        playground.question.fill("hi" if name == "Send" else "")
        playground.button(name).focus()
        playground.page.keyboard.press("Enter")
        expect(playground.button("Stop")).to_be_focused()
        gate.set()
        expect(playground.question).to_be_focused()


def test_keys_pressed_in_an_input_method_do_not_send_or_stop(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    replay.answer(model, Reply([event("Hel"), gate, event("lo"), event(finish="stop"), DONE]))
    playground.question.fill("にほん")
    composing: list[dict[str, Any]] = [{"isComposing": True}, {"keyCode": 229}]  # Safari sends the second
    for keys in composing:
        playground.question.dispatch_event("keydown", {"key": "Enter", "bubbles": True, **keys})
    assert playground.question.input_value() == "にほん"
    playground.button("Send").click()
    playground.wait_for_answer("Hel")
    for keys in composing:
        playground.question.dispatch_event("keydown", {"key": "Escape", "bubbles": True, **keys})
    gate.set()
    playground.wait_for_answer("Hello")
    assert playground.wait_for_end() == "stop"
    assert len(replay.exchanges(model)) == 1


def test_a_screen_reader_gets_each_whole_sentence_once(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    words = ("The ", "sky ", "is blue. ", "空は", "青い。", "So ", "it ", "is")
    spaced: list[Piece] = [piece for word in words for piece in (0.1, event(word))]
    replay.answer(model, Reply([*spaced, event(finish="stop"), DONE]))
    spoken = playground.page.locator("#spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    playground.asked()
    spoken_texts = [text.strip() for text in spoken.locator("p").all_text_contents()]
    assert (spoken_texts[0], spoken_texts[-1]) == ("The model is answering.", "The answer is complete.")
    assert "".join(spoken_texts[1:-1]).replace(" ", "") == "".join(words).replace(" ", "")
    assert all(text.endswith((".", "。")) for text in spoken_texts[1:-2])
    assert len(spoken_texts) >= 4
    expect(playground.page.get_by_role("region", name="Conversation")).to_be_visible()


@pytest.mark.parametrize(
    ("text", "direction"), [("שלום, עולם!", "rtl"), ("hello, world!", "ltr")], ids=["hebrew", "english"]
)
def test_each_text_has_its_own_direction(
    playground: Playground, replay: ReplayUpstream, model: str, text: str, direction: str
) -> None:
    replay.answer(model, Reply(answer(text)))
    assert playground.asked(text) == text
    for content in playground.page.locator(".content").all():
        to_the_left, to_the_right = content.evaluate(
            """e => {
              const range = document.createRange();
              range.selectNodeContents(e.lastChild);
              const [text, box] = [range.getBoundingClientRect(), e.getBoundingClientRect()];
              const inner = [...range.getClientRects()].reduce((a, b) => (a.width < b.width ? a : b), text);
              return [inner.left - box.left, box.right - inner.right];
            }"""
        )
        assert (to_the_left > to_the_right) is (direction == "rtl")


LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "forced colors": {"forced_colors": "active"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_no_serious_violation(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str, look: str
) -> None:
    replay.answer(model, Reply(answer("Hello. ", "I am a model. " * 40)), Reply([event("Half")], ends="cut"))
    with open_tab(browser, **LOOKS[look]) as page:
        playground = Playground(page, relay.url, model).open()
        assert serious_violations(page) == []
        playground.asked()
        playground.asked()
        expect(playground.alert).to_be_visible()
        for name in ("measurements", "wire"):
            page.locator(f"#{name}").evaluate("element => element.open = true")
        assert serious_violations(page) == []


def test_the_playground_fits_on_a_phone(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Unbroken" * 60, " and more. " * 90)))
    with open_tab(browser, **PHONE) as page:
        playground = Playground(page, relay.url, model)
        page.goto(relay.url)
        expect(page.get_by_label("Model")).to_be_hidden()  # to leave room for the conversation
        page.get_by_text("Settings").click()
        page.get_by_label("Model").fill(model)
        page.get_by_text("Settings").click()
        playground.question.fill("hi")
        page.keyboard.press("Enter")  # starts a new line, as usual on phones
        expect(playground.question).to_have_value("hi\n")
        playground.button("Send").tap()
        playground.wait_for_answer("Unbroken" * 60 + " and more. " * 90)
        playground.wait_for_end()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        scroller = page.locator("#scroller")
        assert scroller.evaluate("e => e.scrollWidth <= e.clientWidth")
        assert scroller.evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2")
        expect(playground.button("Start over")).to_be_in_viewport(ratio=1)
        for name in ("settings", "measurements", "wire"):
            page.locator(f"#{name}").evaluate("element => element.open = true")
        expect(playground.button("Send")).to_be_in_viewport(ratio=1)


LIMIT, FILTER = "Cut off: the answer reached its token limit.", "Cut off by a content filter."
TOOL, NOTHING = "The model calls a tool, which this page does not run.", "The answer has no text."
NOT_REPORTED = "This format does not report whether the answer was cut off."
# The text, the finish reason, and the notice in SSE, in UI messages and in text.
ENDS = [
    ("Whole.", "stop", None, None, NOT_REPORTED),
    ("Half an answer that goes", "length", LIMIT, LIMIT, NOT_REPORTED),
    ("Half", "content_filter", FILTER, FILTER, NOT_REPORTED),
    ("Half", "MAX_TOKENS", LIMIT, LIMIT, NOT_REPORTED),
    ("Half", "odd_reason", "Ended by “odd_reason”.", "Ended by “other”.", NOT_REPORTED),
    ("", "content_filter", FILTER, FILTER, NOTHING),
    ("", "tool_calls", TOOL, TOOL, NOTHING),
    ("", "stop", NOTHING, NOTHING, NOTHING),
]


def test_an_incomplete_answer_is_marked_as_such_on_a_phone(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    asked = [(format_, end) for format_ in FORMATS for end in ENDS]
    replies = [
        Reply([event("", role=None), event(text), event(finish=why), DONE]) for _, (text, why, *_) in asked
    ]
    replay.answer(model, *replies)
    with open_tab(browser, **PHONE) as page:
        playground = Playground(page, relay.url, model).open()
        for format_, (text, _, in_sse, in_ui_message, in_text) in asked:
            playground.choose(format_)
            assert playground.asked().strip() == text  # a text without a word is one line feed
            expected = {"SSE": in_sse, "UI message": in_ui_message, "Text": in_text}[format_]
            notices = page.locator(".turn").last.locator(".notice")
            assert notices.all_text_contents() == ([expected] if expected else [])
            assert page.locator("#spoken p").last.text_content() == (expected or "The answer is complete.")
            if expected:
                expect(notices).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert serious_violations(page) == []


@pytest.mark.parametrize(
    "viewport",
    [{"width": 320, "height": 256}, {"width": 640, "height": 400}, {"width": 360, "height": 380}],
    ids=["400 %", "200 %", "phone with its keyboard"],
)
def test_the_conversation_can_be_read_at_any_zoom(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str, viewport: dict[str, int]
) -> None:
    replay.answer(model, Reply(answer("A few words of an answer.")))
    with open_tab(browser, viewport=viewport) as page:
        playground = Playground(page, relay.url, model).open()
        playground.asked()
        playground.answer.scroll_into_view_if_needed()
        expect(playground.answer).to_be_in_viewport(ratio=1)
        assert page.locator("#scroller").evaluate("e => e.clientHeight") > 100
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_with_reduced_motion_the_caret_does_not_blink(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    replay.answer(model, Reply([event("Half"), gate]))
    with open_tab(browser, reduced_motion="reduce") as page:
        playground = Playground(page, relay.url, model).open()
        playground.ask()
        playground.wait_for_answer("Half")
        caret = "getComputedStyle(e, '::after')"
        style = playground.answer.locator("span").last.evaluate(
            f"e => [{caret}.content, {caret}.animationName]"
        )
        assert style == ['""', "none"]
        gate.set()
        playground.wait_for_end()
