"""The playground in a real browser, before the real stack."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.support.browser import (
    PHONE,
    open_context,
    serious_violations,
    text_changes,
    watch_text,
)
from tests.support.local_stack import LocalStack
from tests.support.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event, usage_event
from tests.support.transcript_queue import TranscriptQueue

FORMATS = ("SSE", "Text", "UI message")
KEY = "the-callers-own-key"


@pytest.fixture
def page(context: BrowserContext, stack: LocalStack, model: str) -> Page:
    """The playground, with this test's model."""
    return opened(context, stack.url, model)


def opened(context: BrowserContext, url: str, model: str) -> Page:
    page = context.new_page()
    page.goto(f"{url}/")
    if not page.get_by_label("Model").is_visible():
        page.get_by_text("Settings").click()
    page.get_by_label("Model").fill(model)
    return page


def ask(page: Page, question: str = "hi") -> None:
    page.get_by_label("Your message").fill(question)
    page.get_by_role("button", name="Send").click()


def last_answer(page: Page) -> Any:
    return page.locator(".turn:not(.mine) .said").last


def has_caret(page: Page) -> bool:
    """Whether something blinks behind the text of the last answer."""
    script = "e => getComputedStyle(e, '::after').animationName === 'caret'"
    return bool(last_answer(page).locator("span").last.evaluate(script))


def paced(*words: str, pause_s: float = 0.15) -> list[Piece]:
    """A whole answer with a pause before each word."""
    spaced: list[Piece] = [piece for word in words for piece in (pause_s, event(word))]
    return [event("", role=None), *spaced, event(finish="stop"), usage_event(), DONE]


# -- streaming -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_words_appear_one_after_another(page: Page, replay: ReplayUpstream, model: str, format_: str) -> None:
    words = ["The ", "sky ", "is ", "blue ", "because ", "it ", "is."]
    replay.answer(model, Reply(paced(*words)))
    page.get_by_label(format_).check()
    ask(page)
    watch_text(page, ".turn:not(.mine) .said")
    assert has_caret(page)
    expect(last_answer(page)).to_have_text("The sky is blue because it is.")
    assert not has_caret(page)
    changes = text_changes(page)
    # Each word is a change of its own, and they come as far apart as they were sent.
    assert [text for _, text in changes] == ["".join(words[: count + 1]) for count in range(len(words))]
    pauses_ms = [later - sooner for (sooner, _), (later, _) in pairwise(changes)]
    assert sorted(pauses_ms)[len(pauses_ms) // 2] == pytest.approx(150, abs=60)
    assert max(pauses_ms) < 600


@pytest.mark.parametrize("format_", FORMATS)
def test_an_answer_is_measured(page: Page, replay: ReplayUpstream, model: str, format_: str) -> None:
    replay.answer(model, Reply(paced("one ", "two ", "three ", "four", pause_s=0.2)))
    page.get_by_label(format_).check()
    ask(page)
    expect(page.locator("#ended")).to_have_text("its end" if format_ == "Text" else "stop")
    assert 200 <= int(page.locator("#first").inner_text().removesuffix(" ms")) < 2000
    # Three pauses between four deltas; the usage tells of two tokens, and text tells no usage.
    expected_rate = pytest.approx(5, rel=0.3) if format_ == "Text" else pytest.approx(1.67, rel=0.3)
    assert float(page.locator("#rate").inner_text()) == expected_rate
    expect(page.locator("#rate-name")).to_have_text(
        "Deltas per second" if format_ == "Text" else "Tokens per second"
    )
    expect(page.locator("#deltas")).to_have_text("4")
    strokes = (page.locator("#ticks").get_attribute("d") or "").split("M")[1:]
    at_ms = [float(stroke.split()[0]) for stroke in strokes]
    assert [later - sooner for sooner, later in pairwise(at_ms)] == [pytest.approx(200, abs=100)] * 3
    expect(page.locator("#chart")).to_have_accessible_name(
        re.compile("^4 deltas, from [0-9]+ to [0-9]+ milliseconds$")
    )


@pytest.mark.parametrize(
    ("format_", "seen"),
    [
        ("SSE", ['data: {"id": "chatcmpl-1"', "data: [DONE]"]),
        ("Text", ["content-type: text/plain"]),
        ("UI message", ['data: {"type":"text-delta"', 'data: {"type":"finish"']),
    ],
)
def test_what_came_over_the_wire_is_shown_as_it_came(
    page: Page, replay: ReplayUpstream, model: str, format_: str, seen: list[str]
) -> None:
    replay.answer(model, Reply(paced("one ", "two")))
    page.get_by_label(format_).check()
    page.get_by_text("Raw events").click()
    ask(page)
    expect(page.locator("#ended")).to_have_text(re.compile("stop|its end"))
    raw = page.locator("#raw").inner_text()
    for text in ("POST ", '"content":"hi"' if format_ != "UI message" else '"text":"hi"', "HTTP 200", *seen):
        assert text in raw
    assert raw.count("\n+0.") >= 3


def test_a_character_split_over_two_reads_is_shown_whole(
    page: Page, replay: ReplayUpstream, model: str
) -> None:
    sent = event("Grüße 👋🏽").replace(b"\\ud83d\\udc4b", "👋".encode())
    cut = sent.index("👋".encode()) + 2
    for format_ in FORMATS:
        replay.answer(model, Reply([sent[:cut], 0.1, sent[cut:], event(finish="stop"), DONE]))
        page.get_by_label(format_).check()
        ask(page)
        expect(last_answer(page)).to_have_text("Grüße 👋🏽")
        expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_the_conversation_is_what_the_model_is_sent(page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    page.get_by_label("System prompt").fill("Be brief.")
    for number, format_ in enumerate(FORMATS):
        page.get_by_label(format_).check()
        ask(page, f"question {number}")
        expect(page.locator(".turn")).to_have_count(2 * number + 2)
        expect(last_answer(page)).to_have_text("Hello.")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
    expected: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}]
    for number in range(len(FORMATS)):
        expected.append({"role": "user", "content": f"question {number}"})
        assert replay.exchanges(model)[number].body["messages"] == expected
        expected.append({"role": "assistant", "content": "Hello."})
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Your message")).to_be_focused()
    ask(page, "afresh")
    expect(last_answer(page)).to_have_text("Hello.")
    assert replay.exchanges(model)[3].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "afresh"},
    ]


def test_to_start_over_in_mid_answer_leaves_nothing_behind(
    page: Page, replay: ReplayUpstream, model: str
) -> None:
    long: list[Piece] = [piece for number in range(300) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(long), Reply([5.0]), Reply(answer("Hello.")))
    for seen in ("word2 ", ""):
        ask(page, "the old question")
        expect(last_answer(page)).to_contain_text(seen)
        page.get_by_role("button", name="Start over").click()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.get_by_label("Your message")).to_have_value("")
        assert "old question" not in page.locator("body").inner_text()
        assert "word" not in (page.locator("#raw, #spoken").all_text_contents())
    ask(page, "afresh")
    expect(last_answer(page)).to_have_text("Hello.")
    assert [message["content"] for message in replay.exchanges(model)[-1].body["messages"]] == ["afresh"]


def test_what_was_thought_before_the_first_delta_counts_for_no_speed(
    page: Page, replay: ReplayUpstream, model: str
) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 1000}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1004, "total_tokens": 1005, **details}
    *pieces, _, done = paced("one ", "two ", "three ", "four", pause_s=0.2)
    replay.answer(model, Reply([*pieces, event(choices=[], usage=usage), done]))
    for format_ in ("SSE", "UI message"):
        page.get_by_label(format_).check()
        ask(page)
        expect(page.locator("#ended")).to_have_text("stop")
        expect(page.locator("#tokens")).to_have_text("1004")
        assert float(page.locator("#rate").inner_text()) == pytest.approx(5, rel=0.3)


def test_who_has_scrolled_up_to_read_is_left_there(page: Page, replay: ReplayUpstream, model: str) -> None:
    more: list[Piece] = [piece for number in range(12) for piece in (event(f"more{number}\n"), 0.1)]
    replay.answer(model, Reply([event("line\n" * 100), *more, event(finish="stop"), DONE]))
    ask(page)
    expect(last_answer(page)).to_contain_text("more2")
    page.locator("#scroller").evaluate("e => { e.scrollTop = 100 }")
    expect(page.locator("#ended")).to_have_text("stop")
    assert page.locator("#scroller").evaluate("e => e.scrollTop") == 100


def test_a_long_text_is_whole(page: Page, replay: ReplayUpstream, model: str) -> None:
    lines = [f"line {number}: {'text ' * 20}\n\n" for number in range(200)]
    replay.answer(model, Reply([*map(event, lines), event(finish="stop"), DONE]))
    ask(page)
    expect(page.locator("#ended")).to_have_text("stop")
    assert last_answer(page).text_content() == "".join(lines)
    assert last_answer(page).locator("span").count() > 3  # laid out piece by piece


def test_a_models_markup_is_text(page: Page, replay: ReplayUpstream, model: str) -> None:
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script> **bold** &amp;"
    replay.answer(model, Reply(answer(markup)))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    ask(page, markup)
    expect(last_answer(page)).to_have_text(markup)
    assert page.locator(".turn img, .turn script").count() == 0


# -- stopping, and what goes wrong -----------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_stop_ends_the_upstreams_work_within_a_second(
    page: Page, replay: ReplayUpstream, transcripts: TranscriptQueue, model: str, format_: str
) -> None:
    long: list[Piece] = [piece for number in range(300) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(long), Reply(answer("Again.")))
    page.get_by_label(format_).check()
    with page.expect_response(lambda response: response.request.method == "POST") as response:
        ask(page)
    expect(last_answer(page)).to_contain_text("word3 ")
    stopped_at = time.monotonic()
    page.get_by_role("button", name="Stop").click()
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(5)
    assert exchange.left_at is not None
    assert exchange.left_at - stopped_at < 1
    transcript = transcripts.get(response.value.headers["x-relay-request-id"])
    assert transcript["outcome"] == "abandoned"
    assert transcript["response"]["choices"][0]["content"].startswith("word0 word1 ")
    expect(page.get_by_text("Stopped.", exact=True).first).to_be_visible()
    expect(last_answer(page)).to_contain_text("word0 word1 word2 word3 ")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Your message")).to_be_focused()
    ask(page)
    expect(last_answer(page)).to_have_text("Again.")


OVERLOADED = (
    b'data: {"error": {"message": "The model is overloaded.", "type": "server_error", "code": "busy"}}\n\n'
)


@pytest.mark.console_may_say("net::ERR_INCOMPLETE_CHUNKED_ENCODING")  # how text breaks off
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("reply", "sse", "ui"),
    [
        (Reply([event("Half an "), event("answer"), 0.1], ends="cut"), "upstream_interrupted", "broke off"),
        (Reply([event("Half an "), event("answer"), 0.1, OVERLOADED]), "busy", "The model is overloaded."),
    ],
    ids=["cut", "error"],
)
def test_a_broken_answer_shows_the_error_and_keeps_the_text(
    page: Page, replay: ReplayUpstream, model: str, format_: str, reply: Reply, sse: str, ui: str
) -> None:
    replay.answer(model, reply, Reply(answer("Whole.")))
    page.get_by_label(format_).check()
    ask(page)
    expected = {"SSE": sse, "Text": "interrupted", "UI message": ui}[format_]
    expect(page.get_by_role("alert")).to_contain_text(expected)
    expect(last_answer(page)).to_have_text("Half an answer")
    ask(page, "and now?")
    expect(last_answer(page)).to_have_text("Whole.")
    roles = [message["role"] for message in replay.exchanges(model)[1].body["messages"]]
    assert roles == ["user", "assistant", "user"]


@pytest.mark.console_may_say("a status of 400")
@pytest.mark.parametrize("format_", FORMATS)
def test_a_question_without_an_answer_is_given_back(
    page: Page, replay: ReplayUpstream, model: str, format_: str
) -> None:
    error = {"error": {"message": "Unknown voice.", "param": "voice", "code": "bad_voice"}}
    replay.answer(model, Reply.json(error, 400), Reply(answer("Whole.")))
    page.get_by_label(format_).check()
    ask(page, "a long question")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("HTTP 400")
    expect(alert).to_contain_text("bad_voice")
    expect(alert).to_contain_text("Unknown voice.")
    expect(alert).to_contain_text("Field: voice")
    expect(page.get_by_label("Your message")).to_have_value("a long question")
    page.get_by_role("button", name="Send").click()
    expect(last_answer(page)).to_have_text("Whole.")
    assert [message["content"] for message in replay.exchanges(model)[1].body["messages"]] == [
        "a long question"
    ]


@pytest.mark.parametrize("format_", ["SSE", "UI message"])
def test_an_error_or_a_usage_of_an_odd_shape_ends_the_answer_all_the_same(
    page: Page, replay: ReplayUpstream, model: str, format_: str
) -> None:
    odd = {"toString": 1, "valueOf": 1}
    broken = f"data: {json.dumps({'error': {'message': 'm', 'code': odd}})}\n\n".encode()
    usage = event(choices=[], usage={"completion_tokens": odd, "total_tokens": 3})
    whole = [event("Whole."), event(finish="stop"), usage, DONE]
    replay.answer(model, Reply([event("Half"), 0.1, broken]), Reply(whole))
    page.get_by_label(format_).check()
    ask(page)
    expect(page.get_by_role("alert")).to_be_visible()
    ask(page)
    expect(last_answer(page)).to_have_text("Whole.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator("#ended")).to_have_text("stop")


@pytest.mark.console_may_say("a status of 429")
def test_a_busy_upstream_says_when_to_try_again(page: Page, replay: ReplayUpstream, model: str) -> None:
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    replay.answer(model, Reply.json(error, 429, retry_after="17"))
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("HTTP 429 · rate_limit_exceeded")
    expect(page.get_by_role("alert")).to_contain_text("Try again in 17 s.")


def test_a_relay_that_cannot_be_reached_is_told(browser: Browser, stack: LocalStack, model: str) -> None:
    with open_context(browser, may_say=["net::ERR_CONNECTION_REFUSED"]) as context:
        page = opened(context, stack.url, model)
        page.route("**/v1/chat/completions", lambda route: route.abort("connectionrefused"))
        ask(page)
        expect(page.get_by_role("alert")).to_contain_text("unreachable")


# -- the key ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream) -> Iterator[LocalStack]:
    """A stack whose callers need a key."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": "k", "CALLER_KEYS": f"web:{digest}"}
    with LocalStack(settings) as running:
        yield running


@pytest.mark.console_may_say("a status of 401")
def test_the_key_is_asked_for_and_stays_in_this_tabs_session(
    context: BrowserContext, guarded: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    page = opened(context, guarded.url, model)
    ask(page)
    expect(page.get_by_role("alert")).to_contain_text("HTTP 401")
    expect(page.get_by_role("alert")).to_contain_text("field “Key”")
    page.get_by_label("Key", exact=True).fill(KEY)
    for format_ in FORMATS:
        page.get_by_label(format_).check()
        ask(page)
        expect(last_answer(page)).to_have_text("Hello.")
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        assert KEY not in (page.locator("#raw").text_content() or "")
    page.reload()
    if not page.get_by_label("Model").is_visible():
        page.get_by_text("Settings").click()
    expect(page.get_by_label("Key", exact=True)).to_have_value(KEY)
    assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
    assert context.cookies() == []
    other = opened(context, guarded.url, model)  # another tab has a session of its own
    expect(other.get_by_label("Key", exact=True)).to_have_value("")


# -- for everybody ---------------------------------------------------------------------------------------


def test_it_can_be_used_by_keyboard_alone(page: Page, replay: ReplayUpstream, model: str) -> None:
    long: list[Piece] = [piece for number in range(300) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(answer("Hello.")), Reply(long))
    page.get_by_label("Your message").focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(page.get_by_label("Your message")).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    expect(last_answer(page)).to_have_text("Hello.")
    assert replay.exchanges(model)[0].body["messages"][-1]["content"] == "one\ntwo"
    page.keyboard.type("more")
    page.keyboard.press("Enter")
    expect(last_answer(page)).to_contain_text("word2 ")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Stopped.", exact=True).first).to_be_visible()
    expect(page.get_by_label("Your message")).to_be_focused()
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"model", "system", "key", "clear", "question", "send", "scroller", "Settings"} <= reached


def test_the_focus_is_never_lost(page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(paced("Hel", "lo")))
    for name in ("Why is the sky blue?", "Send", "Send"):
        page.get_by_label("Your message").fill("hi" if name == "Send" else "")
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Stop")).to_be_focused()
        expect(page.get_by_label("Your message")).to_be_focused()


def test_the_keys_of_an_input_method_are_left_to_it(page: Page, replay: ReplayUpstream, model: str) -> None:
    box = page.get_by_label("Your message")
    box.fill("にほん")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    box.dispatch_event("keydown", {"key": "Enter", "keyCode": 229})  # as Safari says it
    expect(box).to_have_value("にほん")
    assert replay.exchanges(model) == []


def test_without_a_storage_it_works_all_the_same(
    context: BrowserContext, stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    context.add_init_script(
        "Object.defineProperty(globalThis, 'sessionStorage', { get() { throw new DOMException('no') } })"
    )
    page = opened(context, stack.url, model)
    expect(page.locator("#key-note")).to_contain_text("keeps nothing")
    ask(page)
    expect(last_answer(page)).to_have_text("Hello.")


@pytest.mark.parametrize(
    ("text", "direction"), [("שלום, עולם!", "rtl"), ("hello, world!", "ltr")], ids=["hebrew", "english"]
)
def test_each_text_has_its_own_direction(
    page: Page, replay: ReplayUpstream, model: str, text: str, direction: str
) -> None:
    replay.answer(model, Reply(answer(text)))
    ask(page, text)
    expect(last_answer(page)).to_have_text(text)
    for said in page.locator(".said").all():
        bounds = said.evaluate(
            """e => {
              const range = document.createRange();
              range.selectNodeContents(e);
              const [text, box] = [range.getClientRects(), e.getBoundingClientRect()];
              return [[...text].at(-1).left - box.left, box.right - [...text].at(-1).right];
            }"""
        )
        to_the_left, to_the_right = bounds
        assert (to_the_left > to_the_right) is (direction == "rtl")


def test_a_screen_reader_hears_whole_sentences(page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(paced("The ", "sky ", "is blue. ", "空は", "青い。", "So ", "it ", "is")))
    ask(page)
    expect(page.locator("#spoken p")).to_have_text(
        ["The model is answering.", "The sky is blue.", "空は青い。", "So it is", "The answer is complete."]
    )


@pytest.mark.parametrize(
    "look",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE, {"forced_colors": "active"}],
    ids=["light", "dark", "phone", "forced colors"],
)
def test_axe_finds_no_serious_violation(
    browser: Browser, stack: LocalStack, replay: ReplayUpstream, model: str, look: dict[str, Any]
) -> None:
    replay.answer(model, Reply(answer("Hello. ", "I am a model. " * 40)), Reply([event("Half")], ends="cut"))
    with open_context(browser, **look) as context:
        page = opened(context, stack.url, model)
        assert serious_violations(page) == []
        ask(page)
        expect(page.locator("#ended")).to_have_text("stop")
        ask(page)
        expect(page.get_by_role("alert")).to_be_visible()
        for name in ("measurements", "wire"):
            page.locator(f"#{name}").evaluate("element => element.open = true")
        assert serious_violations(page) == []


def test_it_fits_on_a_phone(browser: Browser, stack: LocalStack, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Unbroken" * 60, " and more. " * 90)))
    with open_context(browser, **PHONE) as context:
        page = context.new_page()
        page.goto(stack.url)
        expect(page.get_by_label("Model")).to_be_hidden()  # the conversation has the room
        page.get_by_text("Settings").click()
        page.get_by_label("Model").fill(model)
        page.get_by_text("Settings").click()
        page.get_by_label("Your message").fill("hi")
        page.keyboard.press("Enter")  # begins a line, as everywhere on a phone
        expect(page.get_by_label("Your message")).to_have_value("hi\n")
        page.get_by_role("button", name="Send").tap()
        expect(page.locator("#ended")).to_have_text("stop")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(page.get_by_role("button", name="Send")).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("button", name="Start over")).to_be_in_viewport(ratio=1)
        assert page.locator("#scroller").evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2")


@pytest.mark.parametrize(
    "viewport",
    [{"width": 320, "height": 256}, {"width": 640, "height": 400}, {"width": 360, "height": 380}],
    ids=["400 %", "200 %", "phone with its keyboard"],
)
def test_the_conversation_can_be_read_however_large_the_letters(
    browser: Browser, stack: LocalStack, replay: ReplayUpstream, model: str, viewport: dict[str, int]
) -> None:
    replay.answer(model, Reply(answer("A few words of an answer.")))
    with open_context(browser, viewport=viewport) as context:
        page = opened(context, stack.url, model)
        ask(page)
        expect(page.locator("#ended")).to_have_text("stop")
        last_answer(page).scroll_into_view_if_needed()
        expect(last_answer(page)).to_be_in_viewport(ratio=1)
        assert page.locator("#scroller").evaluate("e => e.clientHeight") > 100
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# -- how it is served ------------------------------------------------------------------------------------


def test_behind_a_stage_it_asks_below_the_stage(
    context: BrowserContext, stack: LocalStack, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    asked: list[str] = []

    def without_stage(route: Route) -> None:
        asked.append(route.request.url.removeprefix(stack.url))
        route.continue_(url=route.request.url.replace("/live", "/", 1).replace("//v1", "/v1"))

    context.route("**/live**", without_stage)
    page = context.new_page()
    page.goto(f"{stack.url}/live")
    page.get_by_label("Model").fill(model)
    ask(page)
    expect(last_answer(page)).to_have_text("Hello.")
    assert asked == ["/live", "/live/v1/chat/completions"]
