"""The playground after a failure or a stop: the text received stays, and the next question works."""

from __future__ import annotations

import json
import threading

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.clients.browser import WIDE, Tab, skip_without_chromium
from tests.support.clients.playground import FORMATS, Playground
from tests.support.documentation import CALLER_KEY
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event

skip_without_chromium()

OVERLOADED = (
    b'data: {"error": {"message": "The model is overloaded.", "type": "server_error", "code": "busy"}}\n\n'
)

each_format = pytest.mark.parametrize("format_", FORMATS)


# -- stopping --------------------------------------------------------------------------------------------


@each_format
def test_stop_ends_the_upstream_request(
    playground: Playground, relay: ServedRelay, replay: ReplayUpstream, model: str, format_: str
) -> None:
    long: list[Piece] = [piece for number in range(300) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(long), Reply(answer("Again.")))
    playground.choose(format_)
    with playground.page.expect_response(lambda response: response.request.method == "POST") as response:
        playground.ask()
    expect(playground.answer).to_contain_text("word3 ")
    playground.button("Stop").click()
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(30)
    assert exchange.left_at is not None  # before all words were written
    assert playground.wait_for_end() == "you"
    transcript = relay.transcript(response.value.headers["x-relay-request-id"])
    assert transcript["outcome"] == "abandoned"
    assert transcript["response"]["choices"][0]["content"].startswith("word0 word1 ")
    expect(playground.page.locator(".turn").last).to_contain_text("Stopped.")
    expect(playground.answer).to_contain_text("word0 word1 word2 word3 ")
    expect(playground.alert).to_have_count(0)
    expect(playground.question).to_be_focused()
    assert playground.asked() == "Again."


def test_no_other_question_can_be_sent_while_an_answer_is_written(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    replay.answer(model, Reply([event("Half"), gate, event(" and half"), event(finish="stop"), DONE]))
    playground.ask()
    playground.wait_for_answer("Half")
    playground.question.fill("the next question")
    playground.page.keyboard.press("Enter")
    gate.set()
    playground.wait_for_answer("Half and half")
    playground.wait_for_end()
    assert playground.question.input_value() == "the next question"
    assert len(replay.exchanges(model)) == 1


# -- failures --------------------------------------------------------------------------------------------


@pytest.mark.console_may_say("net::ERR_INCOMPLETE_CHUNKED_ENCODING")  # how text breaks off
@pytest.mark.parametrize(
    ("error", "sse", "ui"),
    [(b"", "upstream_interrupted", "broke off"), (OVERLOADED, "busy", "The model is overloaded.")],
    ids=["cut", "error"],
)
def test_a_broken_answer_shows_the_error_and_keeps_the_text(
    playground: Playground, replay: ReplayUpstream, model: str, error: bytes, sse: str, ui: str
) -> None:
    expected = {
        "SSE": (sse, sse),
        "Text": ("interrupted", "relay reports the reason"),
        "UI message": ("upstream_error", ui),
    }
    for number, (format_, (code, words)) in enumerate(expected.items()):
        gate = threading.Event()  # a browser discards what it has not read when a text breaks off
        broken = Reply([event("Half an "), event("answer"), gate, *filter(None, [error])], ends="cut")
        replay.answer(model, *[broken] * (2 * number + 1), Reply(answer("Whole.")))
        playground.choose(format_)
        playground.ask()
        playground.wait_for_answer("Half an answer")
        gate.set()
        assert playground.wait_for_end() == code
        assert playground.answer.text_content() == "Half an answer"
        expect(playground.alert).to_have_count(number + 1)
        expect(playground.alert.last).to_contain_text(words)
        assert playground.asked("and now?") == "Whole."
    roles = [message["role"] for message in replay.exchanges(model)[1].body["messages"]]
    assert roles == ["user", "assistant", "user"]


@pytest.mark.console_may_say("a status of 400")
def test_a_refused_question_is_put_back_into_its_field(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    refused = Reply.json({"error": {"message": "Unknown voice.", "param": "voice", "code": "bad_voice"}}, 400)
    for number, format_ in enumerate(FORMATS):
        replay.answer(model, *[refused] * (2 * number + 1), Reply(answer("Whole.")))
        playground.choose(format_)
        playground.asked(f"question {number}")
        for text in ("HTTP 400", "bad_voice", "Unknown voice.", "Field: voice"):
            expect(playground.alert.last).to_contain_text(text)
        assert playground.question.input_value() == f"question {number}"
        playground.button("Send").click()
        playground.wait_for_answer("Whole.")
        playground.wait_for_end()
    sent = [message["content"] for message in replay.exchanges(model)[-1].body["messages"]]
    assert sent == ["question 0", "Whole.", "question 1", "Whole.", "question 2"]


@pytest.mark.console_may_say("a status of 400")
def test_text_typed_in_the_meantime_is_not_overwritten(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    gate = threading.Event()
    error = {"error": {"message": "m", "code": "c"}}
    replay.answer(
        model, Reply([json.dumps(error).encode()], 400, {"content-type": "application/json"}, head_after=gate)
    )
    playground.ask("the first")
    playground.question.fill("the second")
    gate.set()
    playground.wait_for_end()
    assert playground.question.input_value() == "the second"


@pytest.mark.console_may_say("a status of 429")
def test_the_retry_after_of_a_busy_upstream_is_shown(
    playground: Playground, replay: ReplayUpstream, model: str
) -> None:
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    replay.answer(model, Reply.json(error, 429, retry_after="17"))
    playground.asked()
    expect(playground.alert).to_contain_text("HTTP 429 · rate_limit_exceeded")
    expect(playground.alert).to_contain_text("Try again in 17 s.")


@pytest.mark.console_may_say("net::ERR_CONNECTION_REFUSED")
def test_an_unreachable_relay_is_reported(playground: Playground) -> None:
    playground.page.route("**/v1/chat/completions", lambda route: route.abort("connectionrefused"))
    try:
        playground.asked()
    finally:
        playground.page.unroute("**/v1/chat/completions")
    expect(playground.alert).to_contain_text("unreachable")
    expect(playground.alert).to_contain_text("Is the relay running")


def test_an_answer_without_a_body_is_not_a_stream(playground: Playground) -> None:
    playground.page.route("**/v1/chat/completions", lambda route: route.fulfill(status=204))
    try:
        playground.asked()
    finally:
        playground.page.unroute("**/v1/chat/completions")
    expect(playground.alert).to_contain_text("not_a_stream")


@pytest.mark.parametrize("format_", ["SSE", "UI message"])
def test_an_answer_ends_even_if_its_error_or_usage_has_an_odd_shape(
    playground: Playground, replay: ReplayUpstream, model: str, format_: str
) -> None:
    odd = {"toString": 1, "valueOf": 1}
    broken = f"data: {json.dumps({'error': {'message': 'm', 'code': odd}})}\n\n".encode()
    usage = event(choices=[], usage={"completion_tokens": odd, "total_tokens": 3})
    whole = [event("Whole."), event(finish="stop"), usage, DONE]
    replay.answer(model, Reply([event("Half"), 0.1, broken]), Reply(whole))
    playground.choose(format_)
    playground.asked()
    expect(playground.alert).to_be_visible()
    assert playground.asked() == "Whole."
    assert playground.measured("ended") == "stop"
    playground.expect_to_be_ready()


# -- the key ---------------------------------------------------------------------------------------------


@pytest.mark.console_may_say("a status of 401")
def test_the_page_asks_for_the_key_and_keeps_it_in_the_session_of_this_tab(
    page: Page, browser: Browser, keyed_relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    playground = Playground(page, keyed_relay.url, model).open()
    playground.asked()
    expect(playground.alert).to_contain_text("HTTP 401")
    expect(playground.alert).to_contain_text("“Key” field")
    key = page.get_by_label("Key", exact=True)
    assert key.get_attribute("type") == "password"
    key.fill(CALLER_KEY)
    for format_ in FORMATS:
        playground.choose(format_)
        assert playground.asked() == "Hello."
        assert CALLER_KEY not in playground.measured("raw")
    playground.open()
    expect(key).to_have_value(CALLER_KEY)
    assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
    assert page.context.cookies() == []
    other = Tab(browser.new_context(**WIDE))  # another tab has its own session
    Playground(other.page, keyed_relay.url, model).open()
    expect(other.page.get_by_label("Key", exact=True)).to_have_value("")
    other.leave(["a status of 401"])  # of the list of models
    other.page.context.close()


def test_the_playground_works_without_session_storage(
    browser: Browser, relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello.")))
    context = browser.new_context(**WIDE)
    context.add_init_script(
        "Object.defineProperty(globalThis, 'sessionStorage', { get() { throw new DOMException('no') } })"
    )
    tab = Tab(context)
    playground = Playground(tab.page, relay.url, model).open()
    expect(tab.page.locator("#key-note")).to_contain_text("keeps nothing")
    assert playground.asked() == "Hello."
    tab.leave()
    context.close()
