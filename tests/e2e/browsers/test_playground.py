"""The playground in a real browser with the real function: what it shows, and what it sends to the model."""

from __future__ import annotations

import re
import threading
import time
from itertools import pairwise

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.clients.browser import skip_without_chromium, text_changes, watch_text
from tests.support.clients.client_scenarios import MODELS
from tests.support.clients.playground import ANSWER, FORMATS, Playground
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import (
    DONE,
    Piece,
    ReplayUpstream,
    Reply,
    answer,
    event,
    usage_event,
)

skip_without_chromium()

each_format = pytest.mark.parametrize("format_", FORMATS)


def paced(*words: str, pause_s: float = 0.15) -> list[Piece]:
    """A whole answer with a pause before each word."""
    spaced: list[Piece] = [piece for word in words for piece in (pause_s, event(word))]
    return [event("", role=None), *spaced, event(finish="stop"), usage_event(), DONE]


class StepByStep:
    """An answer of which the model writes each word only when the page has shown the word before it."""

    def __init__(self, *words: str, usage: bytes | None = None) -> None:
        self.shown = ["".join(words[: count + 1]) for count in range(len(words))]
        self._gates = [threading.Event() for _ in words]
        steps = [
            piece for gate, word in zip(self._gates, words, strict=True) for piece in (gate, event(word))
        ]
        self.reply = Reply([event("", role=None), *steps, event(finish="stop"), usage or usage_event(), DONE])

    def go(self, playground: Playground, pause_s: float = 0.0) -> None:
        """Let the words follow each other, with at least this time from one in the page to the next."""
        for gate, text in zip(self._gates, self.shown, strict=True):
            gate.set()
            playground.wait_for_answer(text)
            time.sleep(pause_s)


# -- what is shown of an answer --------------------------------------------------------------------------


@each_format
def test_words_appear_one_after_another(
    playground: Playground, replay: ReplayUpstream, model: str, format_: str
) -> None:
    steps = StepByStep("The ", "sky ", "is ", "blue ", "because ", "it ", "is.")
    replay.answer(model, steps.reply)
    playground.choose(format_)
    playground.ask()
    watch_text(playground.page, ANSWER)
    assert playground.has_caret()
    assert playground.page.locator(".turn").last.get_attribute("aria-busy") == "true"
    expect(playground.button("Send")).to_be_hidden()
    steps.go(playground)
    playground.wait_for_end()
    changes = text_changes(playground.page)
    assert [text for _, text in changes] == steps.shown
    assert all(later > sooner for (sooner, _), (later, _) in pairwise(changes))
    assert not playground.has_caret()
    assert playground.page.locator(".turn").last.get_attribute("aria-busy") == "false"
    playground.expect_to_be_ready()


@each_format
def test_an_answer_is_measured(
    playground: Playground, replay: ReplayUpstream, model: str, format_: str
) -> None:
    steps = StepByStep("one ", "two ", "three ", "four")
    replay.answer(model, steps.reply)
    playground.choose(format_)
    playground.page.wait_for_timeout(800)  # the measurement starts with the question, not with the page
    asked_at = time.monotonic()
    with playground.page.expect_response(lambda response: response.request.method == "POST") as response:
        playground.ask()
        replay.wait_for_exchange(model)
        time.sleep(0.5)  # before the first word
        steps.go(playground, pause_s=0.2)
    assert playground.wait_for_end() == ("its end" if format_ == "Text" else "stop")
    ended_s = time.monotonic() - asked_at
    shown = playground.measured
    first_ms = float(shown("first").removesuffix(" ms"))
    assert 500 <= first_ms <= 1000 * ended_s
    assert shown("rate-name") == ("Deltas per second" if format_ == "Text" else "Tokens per second")
    assert shown("deltas") == "4"
    assert shown("tokens").isdecimal() is (format_ != "Text")
    assert first_ms / 1000 + 0.5 <= float(shown("time").removesuffix(" s")) <= ended_s + 0.1
    assert shown("request-id") == response.value.headers["x-relay-request-id"]
    strokes = (playground.page.locator("#ticks").get_attribute("d") or "").split("M")[1:]
    seen_ms = [float(stroke.split()[0]) for stroke in strokes]
    assert all(later > sooner for sooner, later in pairwise(seen_ms))
    assert 600 <= seen_ms[-1] - seen_ms[0] <= 1000 * ended_s
    # Four deltas have three pauses between them; the usage reports two tokens, and text has no usage.
    pauses = 3 if format_ == "Text" else 1
    assert float(shown("rate")) == pytest.approx(1000 * pauses / (seen_ms[-1] - seen_ms[0]), abs=0.1)
    summary = re.compile("^4 deltas, from [0-9]+ to [0-9]+ milliseconds$")
    expect(playground.page.locator("#chart")).to_have_accessible_name(summary)


def test_reasoning_before_the_first_delta_does_not_count_as_speed(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 1000}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1004, "total_tokens": 1005, **details}
    for format_ in ("SSE", "UI message"):
        steps = StepByStep("one ", "two ", "three ", "four", usage=event(choices=[], usage=usage))
        replay.answer(model, *[steps.reply] * 2)
        playground.choose(format_)
        playground.ask()
        steps.go(playground, pause_s=0.2)
        playground.wait_for_end()
        assert playground.measured("tokens") == "1004"
        assert 0 < float(playground.measured("rate")) <= 5  # three tokens in at least 0.6 s


def test_the_raw_view_shows_the_bytes_received(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    expected = {
        "SSE": ["/v1/chat/completions", '"content":"hi"', 'data: {"id": "chatcmpl-1"', "data: [DONE]"],
        "Text": ["/chatCompletion", '"content":"hi"', "content-type: text/plain", " s\none ", " s\ntwo"],
        "UI message": ["/api/chat", '"text":"hi"', 'data: {"type":"text-delta"', 'data: {"type":"finish"'],
    }
    replay.answer(model, Reply(paced("one ", "two")))
    playground.page.get_by_text("Raw events").click()
    for format_, texts in expected.items():
        playground.choose(format_)
        playground.asked()
        raw = playground.measured("raw")
        for text in ("POST ", "HTTP 200", *texts):
            assert text in raw
        assert raw.count("POST ") == 1  # the previous exchange is no longer shown
        assert raw.count(" s\n") >= 4


def test_a_character_split_over_two_reads_is_shown_whole(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    sent = event("Grüße 👋🏽").replace(b"\\ud83d\\udc4b", "👋".encode())
    cut = sent.index("👋".encode()) + 2
    replay.answer(model, Reply([sent[:cut], 0.1, sent[cut:], event(finish="stop"), DONE]))
    for format_ in FORMATS:
        playground.choose(format_)
        assert playground.asked() == "Grüße 👋🏽"


def test_a_long_text_is_complete_and_rendered_once_for_each_frame(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    lines = [f"line {number}: {'text ' * 20}\n\n" for number in range(1000)]
    replay.answer(model, Reply([*map(event, lines), event(finish="stop"), DONE]))
    playground.ask()
    watch_text(playground.page, ANSWER)
    playground.wait_for_end()
    assert playground.answer.text_content() == "".join(lines)
    assert playground.measured("deltas") == "1000"
    assert len(text_changes(playground.page)) < 300
    assert playground.answer.locator("span").count() > 30  # laid out piece by piece


def test_the_raw_view_is_limited_so_that_it_does_not_slow_down_the_page(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply([event("x" * 600_000), event(" and"), event(finish="stop"), DONE]))
    assert len(playground.asked()) == 600_004
    assert playground.measured("raw").endswith("… (the rest is not shown)\n")


def test_markup_in_an_answer_is_shown_as_text(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    markup = "<img src=x onerror=alert(1)><script>alert(2)</script> **bold** &amp;"
    replay.answer(model, Reply(answer(markup)))
    playground.page.once("dialog", lambda dialog: pytest.fail(dialog.message))
    assert playground.asked(markup) == markup
    assert playground.page.locator(".turn.user .content").text_content() == markup
    assert playground.page.locator(".turn img, .turn script").count() == 0


def test_users_who_have_scrolled_up_are_not_scrolled_down_again(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    more: list[Piece] = [piece for number in range(5) for piece in (event(f"more{number}\n"), 0.05)]
    replay.answer(model, Reply([event("line\n" * 100), gate, *more, event(finish="stop"), DONE]))
    scroller = playground.page.locator("#scroller")
    playground.ask()
    playground.wait_for_answer("line\n" * 100)
    assert scroller.evaluate("e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2")  # it follows the text
    scroller.evaluate("e => { e.scrollTop = 100 }")
    gate.set()
    playground.wait_for_end()
    assert scroller.evaluate("e => e.scrollTop") == 100


# -- the conversation ------------------------------------------------------------------------------------


def test_the_whole_conversation_is_sent_to_the_model(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    playground.page.get_by_label("System prompt").fill("Be brief.")
    expected: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}]
    for number, format_ in enumerate(FORMATS):
        playground.choose(format_)
        assert playground.asked(f"question {number}") == "Hello."
        expect(playground.page.locator(".turn")).to_have_count(2 * number + 2)
        expected.append({"role": "user", "content": f"question {number}"})
        assert replay.exchanges(model)[number].body["messages"] == expected
        expected.append({"role": "assistant", "content": "Hello."})
    playground.button("Start over").click()
    expect(playground.page.locator(".turn")).to_have_count(0)
    expect(playground.question).to_be_focused()
    playground.asked("afresh")
    assert replay.exchanges(model)[3].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "afresh"},
    ]


def test_an_example_is_sent_as_a_question(playground: Playground, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    playground.button("Why is the sky blue?").click()
    playground.wait_for_answer("Hello.")
    assert replay.exchanges(model)[0].body["messages"][-1]["content"] == "Why is the sky blue?"
    expect(playground.button("Why is the sky blue?")).to_be_hidden()
    playground.button("Start over").click()
    expect(playground.button("Why is the sky blue?")).to_be_visible()


def test_starting_over_in_the_middle_of_an_answer_leaves_nothing_behind(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    replay.answer(model, Reply([event("Half of the old one"), gate]), Reply([gate]), Reply(answer("Hello.")))
    for number, seen in enumerate(("Half of the old one", "")):
        playground.ask("the old question")
        playground.wait_for_answer(seen)
        playground.button("Start over").click()
        playground.expect_to_be_ready()
        assert replay.wait_for_exchange(model, number + 1).over.wait(30)
        assert replay.exchanges(model)[number].left_at is not None
        assert playground.question.input_value() == ""
        assert [playground.measured(name) for name in ("turns", "raw", "spoken")] == ["", "", ""]
        expect(playground.page.locator(".turn")).to_have_count(0)
    assert playground.asked("afresh") == "Hello."
    assert [message["content"] for message in replay.exchanges(model)[-1].body["messages"]] == ["afresh"]


def test_behind_an_api_gateway_stage_the_playground_asks_below_the_stage(
    page: Page, relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    asked: list[str] = []

    def without_stage(route: Route) -> None:
        asked.append(route.request.url.removeprefix(relay.url))
        route.continue_(url=route.request.url.replace("/live", "", 1))

    page.route("**/live**", without_stage)
    try:
        page.goto(f"{relay.url}/live")
        page.get_by_label("Model").fill(model)
        playground = Playground(page, relay.url, model)
        assert playground.asked() == "Hello."
    finally:
        page.unroute("**/live**")
    assert asked == ["/live", "/live/v1/models", "/live/v1/chat/completions"]


def test_the_model_field_suggests_the_models_that_the_caller_may_use(
    playground: Playground, model: str
) -> None:
    suggestions = playground.page.locator("#models option")
    expect(suggestions).to_have_count(len(MODELS))
    assert suggestions.evaluate_all("all => all.map((option) => option.value)") == MODELS
    expect(playground.page.get_by_label("Model")).to_have_value(model)  # any other may still be typed
