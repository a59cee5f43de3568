"""Frontends in a real browser, built with Vite from what the README shows: React 18, React 19, and none."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import (
    served,
    skip_without_chromium,
    text_changes,
    wait_for_text,
    wait_until,
    watch_text,
)
from tests.support.local_stack import ROOT, LocalStack
from tests.support.node_programs import CLIENTS, install_packages, run_node
from tests.support.readme import named_files
from tests.support.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event
from tests.support.transcript_queue import TranscriptQueue

skip_without_chromium()

DEFAULT_MODEL = "gpt-5-mini"
BROWSER_FILES = ROOT / "functions" / "stream_chat" / "browser"
WORDS = [f"word{number} " for number in range(6)]
TEXT = "".join(WORDS)


@dataclass(frozen=True)
class Frontend:
    """A page that is built and served."""

    react: str
    url: str

    def open(self, page: Page, component: str = "", model: str = "") -> Page:
        """The page with this component, or only with what `frontend` holds."""
        page.goto(f"{self.url}/?model={model}#{component}")
        wait_until(page, "() => globalThis.frontend")
        return page


Build = Callable[[str], Frontend]


@pytest.fixture(scope="module")
def build(keyed_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Build the frontend with a version of React, once."""
    install_packages()
    folder = tmp_path_factory.mktemp("frontend")
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    for source in (*(CLIENTS / "frontend").iterdir(), *BROWSER_FILES.glob("stream*.js")):
        shutil.copy(source, folder)
    for name, code in named_files(keyed_stack.url).items():
        (folder / name).write_text(code, encoding="utf-8")
    built: dict[str, Frontend] = {}

    def with_react(version: str) -> Frontend:
        if version not in built:
            run_node("build_frontend.mjs", str(folder), version, keyed_stack.url)
            built[version] = Frontend(version, f"{url}/dist-{version}")
        return built[version]

    with served(folder) as url:
        yield with_react


@pytest.fixture(scope="module", params=["19", "18"])
def frontend(request: pytest.FixtureRequest, build: Build) -> Frontend:
    return build(request.param)


@pytest.fixture
def recipes(build: Build, page: Page) -> Page:
    """The README's functions, which know nothing of React."""
    return build("19").open(page)


@pytest.fixture(scope="module")
def keyed_transcripts(keyed_stack: LocalStack) -> Iterator[TranscriptQueue]:
    with TranscriptQueue(keyed_stack.endpoint, keyed_stack.queue_url("transcripts")) as queue:
        yield queue


@pytest.fixture
def say(replay: ReplayUpstream) -> Callable[..., int]:
    """Say how the relay's default model answers from now on; returns how often it was asked before."""

    def set_reply(*replies: Reply) -> int:
        asked = len(replay.exchanges(DEFAULT_MODEL))
        earlier = [replies[0]] * asked  # replies are counted from the upstream's first request on
        replay.answer(DEFAULT_MODEL, *earlier, *replies)
        return asked

    return set_reply


def spaced(*words: str, pause_s: float = 0.1) -> Reply:
    pieces: list[Piece] = [piece for word in words for piece in (pause_s, event(word))]
    return Reply([*pieces, event(finish="stop"), DONE])


def endless() -> Reply:
    return spaced(*(f"word{number} " for number in range(400)), pause_s=0.05)


def broken() -> Reply:
    # What a browser has not read yet when a text breaks off, it throws away.
    return Reply([event("Half"), 0.5], ends="cut")


def assert_grows(texts: list[str]) -> None:
    """The text was seen in several stages, each of which goes on where the one before it has ended."""
    assert len(texts) >= 3
    assert all(later.startswith(sooner) for sooner, later in pairwise(texts))
    assert texts[-1] == TEXT


# -- the README's examples -------------------------------------------------------------------------------


def test_the_react_under_test_is_the_one_that_runs(frontend: Frontend, page: Page) -> None:
    assert frontend.open(page).evaluate("frontend.version").startswith(f"{frontend.react}.")


def test_the_readmes_component_streams_stops_and_asks_again(
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
    assert exchange.over.wait(10)
    assert exchange.left_at is not None
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(shown).to_contain_text("word3")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "[role=alert]", "The upstream broke off before the answer's end.")
    wait_for_text(page, "p[aria-busy]", "Half")
    page.get_by_role("button", name="Ask").click()
    wait_for_text(page, "p[aria-busy]", "Whole.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_readmes_chat_streams_stops_and_asks_again(
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
    assert exchange.over.wait(10)
    assert exchange.left_at is not None
    assert [message["content"] for message in exchange.body["messages"]] == ["hi", "Hello", "more"]
    ask("and?")
    wait_for_text(page, "[role=alert]", "The upstream broke off before the answer's end.")
    ask("once more")
    wait_for_text(page, "p", "assistant: Whole.")


@pytest.mark.parametrize("recipe", ["streamModule", "withFetch", "withOpenAI"])
def test_the_readmes_function_hears_the_text_grow(
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
def test_the_readmes_function_throws_when_the_answer_breaks_off(
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


# -- the hooks -------------------------------------------------------------------------------------------


def ask_by_query(page: Page, model: str) -> None:
    page.evaluate("(model) => void probe.trigger({ message: 'hi', model, none: undefined })", model)


def ask_by_mutation(page: Page, model: str) -> None:
    page.evaluate(
        """(model) => {
          const messages = [{ role: 'user', content: 'hi' }];
          void probe.mutate({ messages, model, top_p: 0.5 });
        }""",
        model,
    )


HOOKS: dict[str, Callable[[Page, str], None]] = {"query": ask_by_query, "mutation": ask_by_mutation}
each_hook = pytest.mark.parametrize("hook", HOOKS)


@each_hook
def test_a_hook_shows_the_text_so_far(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str, hook: str
) -> None:
    replay.answer(model, spaced(*WORDS))
    frontend.open(page, "Probe", model)
    shown = page.locator(f"#{hook}")
    expect(shown).to_have_attribute("data-streaming", "false")
    watch_text(page, f"#{hook}")
    HOOKS[hook](page, model)
    expect(shown).to_have_attribute("data-streaming", "true")
    wait_for_text(page, f"#{hook}[data-streaming=false]", TEXT)
    assert_grows([text for _, text in text_changes(page)])
    body = replay.exchanges(model)[0].body
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body.get("top_p") == (0.5 if hook == "mutation" else None)


@pytest.mark.parametrize("function", ["trigger", "mutate"])
def test_a_plain_text_is_the_users_message(
    frontend: Frontend, page: Page, replay: ReplayUpstream, say: Callable[..., int], function: str
) -> None:
    asked = say(Reply(answer("Hello.")))
    frontend.open(page, "Probe")
    state = page.evaluate("(name) => probe[name]('Grüß & Gott?')", function)
    assert state == {"value": "Hello.", "isStreaming": False, "error": None}
    sent = replay.exchanges(DEFAULT_MODEL)[asked].body["messages"]
    assert sent == [{"role": "user", "content": "Grüß & Gott?"}]


def test_a_query_leaves_out_what_is_not_there_and_goes_on_with_a_query(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "Probe", model)
    page.evaluate("probe.render({ query: '?a=b' })")
    with page.expect_request(lambda request: request.method == "GET") as request:
        ask_by_query(page, model)
    assert (
        request.value.url.partition("?")[2]
        == f"a=b&message=hi&model={model.replace('[', '%5B').replace(']', '%5D')}"
    )
    wait_for_text(page, "#query", "Hello.")


@pytest.mark.console_may_say("a status of 401")
@each_hook
def test_a_hook_asks_with_the_options_of_its_last_rendering(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str, hook: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "Probe", model)
    page.evaluate("probe.render({ headers: { authorization: 'Bearer nobody' } })")
    HOOKS[hook](page, model)
    expect(page.locator(f"#{hook}")).to_have_attribute("data-status", "401")
    page.evaluate('probe.render({ headers: { authorization: "Bearer a caller\'s key" } })')
    HOOKS[hook](page, model)
    wait_for_text(page, f"#{hook}", "Hello.")


def test_the_text_is_rendered_once_for_each_frame_however_many_deltas_come(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    words = [f"{number} " for number in range(20)]
    gate = threading.Event()
    pieces: list[Piece] = [piece for word in words for piece in (event(word), 0.02)]
    replay.answer(model, Reply([*pieces, gate, event("end"), event(finish="stop"), DONE]))
    frontend.open(page, "Probe", model)
    page.evaluate("globalThis.wanted = []; globalThis.requestAnimationFrame = (show) => wanted.push(show); 0")
    ask_by_query(page, model)
    wait_until(page, "() => wanted.length")
    page.wait_for_timeout(700)  # all but the last word have come, and no frame
    rendered = page.evaluate("probe.rendered.length")
    assert page.evaluate("probe.rendered.at(-1)") == ""
    assert page.evaluate("wanted.length") == 1
    page.evaluate("wanted.forEach((show) => show())")
    wait_for_text(page, "#query", "".join(words))
    assert page.evaluate("probe.rendered.length") == rendered + 1
    gate.set()
    wait_for_text(page, "#query[data-streaming=false]", "".join(words) + "end")


def test_in_a_tab_that_is_not_seen_the_end_is_shown_all_the_same(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, spaced(*WORDS, pause_s=0.02))
    frontend.open(page, "Probe", model)
    page.evaluate("globalThis.requestAnimationFrame = () => 1")  # as there: no frame ever comes
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", TEXT)


def test_a_frame_that_comes_after_the_end_changes_nothing(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, spaced(*WORDS, pause_s=0.02))
    frontend.open(page, "Probe", model)
    page.evaluate(
        """() => {
          globalThis.late = new Map();
          globalThis.requestAnimationFrame = (callback) => (late.set(late.size + 1, callback), late.size);
          globalThis.cancelAnimationFrame = (number) => late.delete(number);
        }"""
    )
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", TEXT)
    page.evaluate("late.forEach((callback) => callback())")
    page.wait_for_timeout(50)
    expect(page.locator("#query")).to_have_attribute("data-streaming", "false")


@each_hook
def test_going_away_closes_the_connection(
    frontend: Frontend,
    page: Page,
    replay: ReplayUpstream,
    keyed_transcripts: TranscriptQueue,
    model: str,
    hook: str,
) -> None:
    replay.answer(model, endless())
    frontend.open(page, "Probe", model)
    with page.expect_response(lambda response: response.request.method in ("GET", "POST")) as response:
        HOOKS[hook](page, model)
    expect(page.locator(f"#{hook}")).to_contain_text("word2")
    gone_at = time.monotonic()
    page.evaluate("frontend.unmount()")
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(10)
    assert exchange.left_at is not None
    assert exchange.left_at - gone_at < 1
    transcript = keyed_transcripts.get(response.value.headers["x-relay-request-id"])
    assert transcript["outcome"] == "abandoned"


def test_who_has_gone_asks_nothing(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "Probe", model)
    page.evaluate("frontend.unmount()")
    nothing = {"value": "", "isStreaming": False, "error": None}
    asked = "(model) => Promise.all([probe.trigger({ message: 'hi', model }), probe.mutate({ model })])"
    assert page.evaluate(asked, model) == [nothing, nothing]
    assert replay.exchanges(model) == []


def test_a_time_limit_is_an_error_and_no_whole_answer(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, endless())
    frontend.open(page, "Probe", model)
    page.evaluate("probe.render({ signal: AbortSignal.timeout(500) })")
    ask_by_mutation(page, model)
    expect(page.locator("#mutation")).to_have_attribute("data-error", "TimeoutError")
    expect(page.locator("#mutation")).to_have_attribute("data-streaming", "false")


@pytest.mark.console_may_say("a status of 400")
def test_to_ask_without_an_argument_is_a_refusal_like_any_other(frontend: Frontend, page: Page) -> None:
    frontend.open(page, "Probe")
    ended = page.evaluate("Promise.all([probe.trigger(), probe.mutate()])")
    assert [state["isStreaming"] for state in ended] == [False, False]
    for hook in HOOKS:
        expect(page.locator(f"#{hook}")).to_have_attribute("data-status", "400")


def test_strict_mode_asks_once(frontend: Frontend, page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "AskOnMount", model)
    wait_for_text(page, "#query[data-streaming=false]", "Hello.")
    assert page.locator("#query").get_attribute("data-error") is None
    assert len(replay.exchanges(model)) == 1


def test_what_is_asked_anew_takes_the_place_of_what_was(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, endless(), spaced("The ", "new ", "one."))
    frontend.open(page, "Probe", model)
    ask_by_query(page, model)
    expect(page.locator("#query")).to_contain_text("word3")
    watch_text(page, "#query")
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", "The new one.")
    texts = [text for _, text in text_changes(page)]
    del texts[: texts.index("")]  # before the new question one more frame of the old answer may have come
    assert all("The new one.".startswith(text) for text in texts)
    assert replay.exchanges(model)[0].over.wait(10)
    assert replay.exchanges(model)[0].left_at is not None


@each_hook
def test_an_error_is_shown_beside_the_text_that_had_come_and_until_the_next_question(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str, hook: str
) -> None:
    gate = threading.Event()
    replay.answer(model, broken(), Reply([gate, *answer("Whole.")]))
    frontend.open(page, "Probe", model)
    shown = page.locator(f"#{hook}")
    HOOKS[hook](page, model)
    wait_for_text(page, f"#{hook}[data-error=upstream_interrupted][data-streaming=false]", "Half")
    HOOKS[hook](page, model)
    expect(shown).to_have_attribute("data-streaming", "true")
    assert (shown.get_attribute("data-error"), shown.text_content()) == (None, "")
    gate.set()
    wait_for_text(page, f"#{hook}[data-streaming=false]", "Whole.")
    assert shown.get_attribute("data-error") is None


def test_to_stop_is_no_error(frontend: Frontend, page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, endless())
    frontend.open(page, "Probe", model)
    ask_by_query(page, model)
    expect(page.locator("#query")).to_contain_text("word2")
    page.evaluate("probe.abort()")
    expect(page.locator("#query")).to_have_attribute("data-streaming", "false")
    assert page.locator("#query").get_attribute("data-error") is None
    expect(page.locator("#query")).to_contain_text("word2")


@pytest.mark.console_may_say("a status of 404")
def test_a_refusal_is_an_error_with_its_status(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply.json({"error": {"message": "m", "code": "model_not_found"}}, 404))
    frontend.open(page, "Probe", model)
    ask_by_query(page, model)
    expect(page.locator("#query")).to_have_attribute("data-status", "404")
    expect(page.locator("#query")).to_have_attribute("data-error", "model_not_found")


def test_a_character_in_two_halves_is_never_seen_broken(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    raw = event("👋").replace(b"\\ud83d\\udc4b", "👋".encode())
    cut = raw.index("👋".encode()) + 2
    gate = threading.Event()
    halves: list[Piece] = [gate, event("\ud83d"), 0.1, event("\udc4b")]
    replay.answer(model, Reply([raw[:cut], 0.1, raw[cut:], *halves, event(finish="stop"), DONE]))
    frontend.open(page, "Probe", model)
    watch_text(page, "#query")
    ask_by_query(page, model)
    wait_for_text(page, "#query", "👋")
    gate.set()
    wait_for_text(page, "#query[data-streaming=false]", "👋👋")
    assert [text for _, text in text_changes(page)] == ["👋", "👋👋"]


def test_the_functions_stay_the_same_from_render_to_render(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, spaced(*WORDS))
    frontend.open(page, "Probe", model)
    before = page.evaluate("probe.functions.size")
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", TEXT)
    assert page.evaluate("[probe.functions.size, probe.rendered.length > 3]") == [before, True]
    assert before == 3


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
def blank(page: Page, stack: LocalStack, tmp_path: Path) -> Iterator[Page]:
    """A page without anything, beside which `recipe.js` is the README's EventSource."""
    (tmp_path / "recipe.js").write_text(named_files(stack.url)["with-event-source.js"], encoding="utf-8")
    (tmp_path / "index.html").write_text("<!doctype html><title>t</title><link rel=icon href=data:,>")
    with served(tmp_path) as url:
        page.goto(url)
        yield page


def test_event_sources_left_alone_ask_the_model_once(
    blank: Page, stack: LocalStack, replay: ReplayUpstream
) -> None:
    """Side by side, for a browser waits three seconds before it asks again."""
    for end, (reply, _) in ENDS.items():
        replay.answer(f"left alone {end}", reply)
    urls = [f"{stack.url}/chatCompletion?message=hi&model=left+alone+{end}" for end in ENDS]
    for (end, (_, last)), seen in zip(ENDS.items(), blank.evaluate(EVENT_SOURCES, urls), strict=True):
        assert "Hel" in "".join(seen["messages"]), end
        assert last in seen["messages"][-1], end
        assert seen["opened"] == 1, end  # the second time it was told to stop
        assert len(seen["ids"]) == 1, end
        assert seen["ids"][0], end
        assert len(replay.exchanges(f"left alone {end}")) == 1, end


@pytest.mark.parametrize("is_whole", [True, False])
def test_the_readmes_event_source_hears_the_deltas_and_the_end(
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
