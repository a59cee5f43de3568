"""The recipes of the documentation in a real browser, as they stand there: React 18, React 19, and none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.clients.browser import (
    served,
    skip_without_chromium,
    text_changes,
    wait_for_text,
    wait_until,
    watch_text,
)
from tests.support.clients.firefox import firefox, reported_by
from tests.support.clients.frontend import (
    DEFAULT_MODEL,
    TEXT,
    WORDS,
    Build,
    Frontend,
    assert_grows,
    broken,
    each_react,
    endless,
    spaced,
)
from tests.support.documentation import named_files
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, answer, event

skip_without_chromium()


@pytest.fixture
def recipes(build_frontend: Build, page: Page) -> Page:
    """The documentation's functions, which know nothing of React."""
    return build_frontend("19").open(page)


# -- the examples of README.md and docs/browser.md -------------------------------------------------------


@each_react
def test_the_react_under_test_is_the_one_that_runs(frontend: Frontend, page: Page) -> None:
    assert frontend.open(page).evaluate("frontend.version").startswith(f"{frontend.react}.")


@each_react
def test_the_readmes_component_shows_the_answer_and_what_went_wrong(
    frontend: Frontend, page: Page, say: Callable[..., int]
) -> None:
    say(spaced(*WORDS), broken())
    frontend.open(page, "Answer")
    watch_text(page, "p[aria-busy]")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "p[aria-busy=false]", TEXT)
    assert_grows([text for _, text in text_changes(page)])
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "p[aria-busy=false]", "The upstream broke off before the answer's end.")


@each_react
def test_the_documented_component_streams_stops_and_asks_again(
    frontend: Frontend, page: Page, replay: ReplayUpstream, say: Callable[..., int]
) -> None:
    asked = say(spaced(*WORDS), endless(), broken(), Reply(answer("Whole.")))
    frontend.open(page, "Ask")
    shown = page.locator("p[aria-busy]")
    watch_text(page, "p[aria-busy]")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "p[aria-busy=false]", TEXT)
    assert_grows([text for _, text in text_changes(page)])
    page.get_by_role("button", name="Ask").click()
    expect(shown).to_contain_text("word3")
    page.get_by_role("button", name="Stop").click()
    exchange = replay.exchanges(DEFAULT_MODEL)[asked + 1]
    assert exchange.over.wait(30)
    assert exchange.left_at is not None
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(shown).to_contain_text("word3")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "[role=alert]", "The upstream broke off before the answer's end.")
    wait_for_text(page, "p[aria-busy]", "Half")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "p[aria-busy]", "Whole.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_documented_chat_streams_stops_and_asks_again(
    frontend: Frontend, page: Page, replay: ReplayUpstream, say: Callable[..., int]
) -> None:
    gate = threading.Event()
    gated = Reply([event("Hel"), gate, event("lo"), event(finish="stop"), DONE])
    asked = say(gated, endless(), broken(), Reply(answer("Whole.")))
    frontend.open(page, "Chat")

    def ask(question: str) -> None:
        page.get_by_label("Question").fill(question)
        page.get_by_role("button", name="Ask").click()

    ask("hi")
    wait_for_text(page, "p", "assistant: Hel")
    gate.set()
    wait_for_text(page, "p", "assistant: Hello")
    expect(page.get_by_role("button", name="Ask")).to_be_enabled()
    ask("more")
    expect(page.locator("p").nth(3)).to_contain_text("word3")
    page.get_by_role("button", name="Stop").click()
    exchange = replay.exchanges(DEFAULT_MODEL)[asked + 1]
    assert exchange.over.wait(30)
    assert exchange.left_at is not None
    assert [message["content"] for message in exchange.body["messages"]] == ["hi", "Hello", "more"]
    ask("and?")
    wait_for_text(page, "[role=alert]", "The upstream broke off before the answer's end.")
    ask("once more")
    wait_for_text(page, "p", "assistant: Whole.")


@pytest.mark.parametrize("version", ["5", "6", "7"])
def test_a_chat_that_resumes_keeps_its_messages_and_shows_no_error(
    frontend: Frontend, page: Page, version: str
) -> None:
    frontend.open(page, "Resume")
    wait_until(page, "(version) => resumed.finished.includes(version)", version)
    chat = page.locator(f"#chat-{version}")
    expect(chat).to_have_attribute("data-status", "ready")
    expect(chat).to_have_text("user: hi\nassistant: Hello.\n")
    assert chat.get_attribute("data-error") is None
    assert page.evaluate("resumed.errors") == []


@pytest.mark.parametrize("recipe", ["streamModule", "withFetch", "withOpenAI"])
def test_the_documented_function_receives_the_growing_text(
    recipes: Page, replay: ReplayUpstream, say: Callable[..., int], recipe: str
) -> None:
    asked = say(spaced(*WORDS))
    texts = recipes.evaluate(
        """async (recipe) => {
          const texts = [];
          const ended = await frontend[recipe].ask("Grüß dich", (text) => texts.push(text));
          return [...texts, recipe === "streamModule" ? texts.at(-1) : ended];
        }""",
        recipe,
    )
    assert_grows(texts)
    sent = replay.exchanges(DEFAULT_MODEL)[asked].body["messages"]
    assert sent == [{"role": "user", "content": "Grüß dich"}]


@pytest.mark.console_may_say("net::ERR_INCOMPLETE_CHUNKED_ENCODING")  # how text breaks off
@pytest.mark.parametrize("recipe", ["streamModule", "withFetch", "withOpenAI"])
def test_the_documented_function_throws_when_the_answer_breaks_off(
    recipes: Page, say: Callable[..., int], recipe: str
) -> None:
    say(broken())
    seen = recipes.evaluate(
        """async (recipe) => {
          let last;
          return frontend[recipe].ask("hi", (text) => (last = text)).then(() => "whole", () => last);
        }""",
        recipe,
    )
    assert seen == "Half"


# -- EventSource, for relays that need no key --------------------------------------------------------------

EVENT_SOURCES = """(urls) => Promise.all(urls.map((url) => new Promise((resolve) => {
  const seen = { messages: [], ids: new Set(), opened: 0 };
  const source = new EventSource(url);
  source.onopen = () => { seen.opened += 1; };
  source.onmessage = ({ data, lastEventId }) => { seen.messages.push(data); seen.ids.add(lastEventId); };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) resolve({ ...seen, ids: [...seen.ids] });
  };
})))"""

BUSY = b'data: {"error": {"message": "m", "code": "busy"}}\n\n'
ENDS: dict[str, tuple[Reply, str]] = {
    "clean": (Reply(answer("Hel", "lo")), "[DONE]"),
    "cut": (Reply([event("Hel"), event("lo")], ends="cut"), "upstream_interrupted"),
    "error": (Reply([event("Hel"), event("lo"), BUSY]), "busy"),
}


@pytest.fixture
def blank(page: Page, relay: ServedRelay, tmp_path: Path) -> Iterator[Page]:
    """A page without anything, beside which `recipe.js` is the documentation's EventSource."""
    (tmp_path / "recipe.js").write_text(named_files(relay.url)["with-event-source.js"], encoding="utf-8")
    (tmp_path / "index.html").write_text("<!doctype html><title>t</title><link rel=icon href=data:,>")
    with served(tmp_path) as url:
        page.goto(url)
        yield page


@pytest.mark.console_may_say("410 (Gone)")
def test_event_sources_left_alone_ask_the_model_once(
    blank: Page, relay: ServedRelay, replay: ReplayUpstream
) -> None:
    """In parallel, because a browser waits three seconds before it reconnects."""
    for end, (reply, _) in ENDS.items():
        replay.answer(f"left alone {end}", reply)
    urls = [f"{relay.url}/chatCompletion?message=hi&model=left+alone+{end}" for end in ENDS]
    for (end, (_, last)), seen in zip(ENDS.items(), blank.evaluate(EVENT_SOURCES, urls), strict=True):
        assert "Hel" in "".join(seen["messages"]), end
        assert last in seen["messages"][-1], end
        assert seen["opened"] == 1, end  # its reconnect was told to stop
        assert len(seen["ids"]) == 1, end
        assert seen["ids"][0], end
        assert len(replay.exchanges(f"left alone {end}")) == 1, end


@pytest.mark.skipif(firefox() is None, reason="needs Firefox, which this machine does not have")
def test_event_sources_left_alone_in_firefox_ask_the_model_once(
    relay: ServedRelay, replay: ReplayUpstream
) -> None:
    """Without a Playwright of its own, as Playwright drives only its own build of Firefox."""
    replay.answer("left alone in firefox", ENDS["clean"][0])
    urls = [f"{relay.url}/chatCompletion?message=hi&model=left+alone+in+firefox"]
    (seen,) = reported_by(f"({EVENT_SOURCES})({json.dumps(urls)}).then(report);")
    assert (seen["messages"][-1], seen["opened"], len(seen["ids"])) == ("[DONE]", 1, 1)
    assert len(replay.exchanges("left alone in firefox")) == 1


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_documented_event_source_receives_the_deltas_and_the_end(
    blank: Page, say: Callable[..., int], is_whole: bool
) -> None:
    say(spaced(*WORDS) if is_whole else broken())
    seen: dict[str, Any] = blank.evaluate(
        """async () => {
          const { ask } = await import("/recipe.js");
          const deltas = [];
          const error = await new Promise((end) => ask("hi", (delta) => deltas.push(delta), end));
          return { text: deltas.join(""), code: error?.code ?? null };
        }"""
    )
    expected = (TEXT, None) if is_whole else ("Half", "upstream_interrupted")
    assert (seen["text"], seen["code"]) == expected
