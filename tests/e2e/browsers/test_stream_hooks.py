"""The React hooks in a real browser, in StrictMode."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.clients.browser import (
    skip_without_chromium,
    text_changes,
    wait_for_text,
    wait_until,
    watch_text,
)
from tests.support.clients.frontend import (
    DEFAULT_MODEL,
    TEXT,
    WORDS,
    Frontend,
    assert_grows,
    broken,
    each_react,
    endless,
    spaced,
)
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event

skip_without_chromium()


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


@each_react
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
def test_a_plain_string_is_sent_as_the_users_message(
    frontend: Frontend, page: Page, replay: ReplayUpstream, say: Callable[..., int], function: str
) -> None:
    asked = say(Reply(answer("Hello.")))
    frontend.open(page, "Probe")
    state = page.evaluate("(name) => probe[name]('Grüß & Gott?')", function)
    assert state == {"value": "Hello.", "isStreaming": False, "error": None, "finishReason": "stop"}
    sent = replay.exchanges(DEFAULT_MODEL)[asked].body["messages"]
    assert sent == [{"role": "user", "content": "Grüß & Gott?"}]


@pytest.mark.parametrize("function", ["trigger", "mutate"])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_hook_reports_the_finish_reason_of_an_incomplete_answer(
    frontend: Frontend, page: Page, say: Callable[..., int], function: str, reason: str
) -> None:
    say(Reply([event("Hel"), event(finish=reason), DONE]))
    frontend.open(page, "Probe")
    state = page.evaluate("(name) => probe[name]('hi')", function)
    assert state == {"value": "Hel", "isStreaming": False, "error": None, "finishReason": reason}


def test_a_query_leaves_out_undefined_fields_and_is_appended_to_the_query_of_the_url(
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


@each_react
@pytest.mark.console_may_say("a status of 401")
@each_hook
def test_a_hook_asks_with_the_options_of_its_last_render(
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


# Keeps in `heard` what the page has decoded of an answer.
HEAR = """() => {
  const decode = TextDecoder.prototype.decode;
  globalThis.heard = "";
  TextDecoder.prototype.decode = function (...given) {
    const text = decode.apply(this, given);
    globalThis.heard += text;
    return text;
  };
}"""


@each_react
def test_the_text_is_rendered_once_for_each_frame_however_many_deltas_arrive(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    words = [f"{number} " for number in range(20)]
    gate = threading.Event()
    pieces: list[Piece] = [piece for word in words for piece in (event(word), 0.02)]
    replay.answer(model, Reply([*pieces, gate, event("end"), event(finish="stop"), DONE]))
    frontend.open(page, "Probe", model)
    page.evaluate("globalThis.wanted = []; globalThis.requestAnimationFrame = (show) => wanted.push(show); 0")
    page.evaluate(HEAR)
    ask_by_query(page, model)
    wait_until(page, "() => heard.includes('19 ')")  # every word but the last has arrived, and no frame
    rendered = page.evaluate("probe.rendered.length")
    assert page.evaluate("probe.rendered.at(-1)") == ""
    assert page.evaluate("wanted.length") == 1
    page.evaluate("wanted.forEach((show) => show())")
    wait_for_text(page, "#query", "".join(words))
    assert page.evaluate("probe.rendered.length") == rendered + 1
    gate.set()
    wait_for_text(page, "#query[data-streaming=false]", "".join(words) + "end")


def test_in_a_hidden_tab_the_end_is_still_rendered(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, spaced(*WORDS, pause_s=0.02))
    frontend.open(page, "Probe", model)
    page.evaluate("globalThis.requestAnimationFrame = () => 1")  # hidden tabs get no frames
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", TEXT)


def test_a_frame_after_the_end_changes_nothing(
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


@each_react
@each_hook
def test_unmounting_closes_the_connection(
    frontend: Frontend,
    page: Page,
    replay: ReplayUpstream,
    keyed_relay: ServedRelay,
    model: str,
    hook: str,
) -> None:
    replay.answer(model, endless())
    frontend.open(page, "Probe", model)
    with page.expect_response(lambda response: response.request.method in ("GET", "POST")) as response:
        HOOKS[hook](page, model)
    expect(page.locator(f"#{hook}")).to_contain_text("word2")
    page.evaluate("frontend.unmount()")
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(30)
    assert exchange.left_at is not None
    transcript = keyed_relay.transcript(response.value.headers["x-relay-request-id"])
    assert transcript["outcome"] == "abandoned"


def test_an_unmounted_component_sends_no_request(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "Probe", model)
    page.evaluate("frontend.unmount()")
    nothing = {"value": "", "isStreaming": False, "error": None, "finishReason": None}
    asked = "(model) => Promise.all([probe.trigger({ message: 'hi', model }), probe.mutate({ model })])"
    assert page.evaluate(asked, model) == [nothing, nothing]
    assert replay.exchanges(model) == []


def test_a_timeout_is_an_error(frontend: Frontend, page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, endless())
    frontend.open(page, "Probe", model)
    page.evaluate("probe.render({ signal: AbortSignal.timeout(500) })")
    ask_by_mutation(page, model)
    expect(page.locator("#mutation")).to_have_attribute("data-error", "TimeoutError")
    expect(page.locator("#mutation")).to_have_attribute("data-streaming", "false")


@pytest.mark.console_may_say("a status of 400")
def test_asking_without_an_argument_is_refused_like_any_invalid_request(
    frontend: Frontend, page: Page
) -> None:
    frontend.open(page, "Probe")
    ended = page.evaluate("Promise.all([probe.trigger(), probe.mutate()])")
    assert [state["isStreaming"] for state in ended] == [False, False]
    for hook in HOOKS:
        expect(page.locator(f"#{hook}")).to_have_attribute("data-status", "400")


@each_react
def test_strict_mode_asks_once(frontend: Frontend, page: Page, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    frontend.open(page, "AskOnMount", model)
    wait_for_text(page, "#query[data-streaming=false]", "Hello.")
    assert page.locator("#query").get_attribute("data-error") is None
    assert len(replay.exchanges(model)) == 1


@each_react
def test_a_new_question_replaces_the_answer_in_progress(
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
    del texts[: texts.index("")]  # one more frame of the old answer may come before the new question
    assert all("The new one.".startswith(text) for text in texts)
    assert replay.exchanges(model)[0].over.wait(30)
    assert replay.exchanges(model)[0].left_at is not None


@each_hook
def test_an_error_is_shown_with_the_text_received_until_the_next_question(
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


def test_stopping_is_not_an_error(frontend: Frontend, page: Page, replay: ReplayUpstream, model: str) -> None:
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


def test_a_character_in_two_halves_is_never_shown_broken(
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


@each_react
def test_the_functions_are_stable_across_renders(
    frontend: Frontend, page: Page, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, spaced(*WORDS))
    frontend.open(page, "Probe", model)
    before = page.evaluate("probe.functions.size")
    ask_by_query(page, model)
    wait_for_text(page, "#query[data-streaming=false]", TEXT)
    assert page.evaluate("[probe.functions.size, probe.rendered.length > 3]") == [before, True]
    assert before == 3
