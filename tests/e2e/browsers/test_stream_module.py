"""stream.js, as the relay serves it: what it reports of answers and failures, and how it is stopped."""

from __future__ import annotations

import json
from typing import Any

from tests.support.clients.stream_module import FORMATS, Job, Seen, job, read
from tests.support.runtime.local_stack import free_ports
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import DONE, Piece, ReplayUpstream, Reply, answer, event


def in_each_format(relay: ServedRelay, model: str) -> dict[str, Seen]:
    """The answer in each format, asked for in one run of Node."""
    answers = read(relay, *[job(relay, fmt, model) for fmt in FORMATS["chat"]])
    return dict(zip(FORMATS["chat"], answers, strict=True))


def test_a_complete_answer_has_its_text_usage_and_finish_reason(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hel", "lo")))
    counts = {"sse": "completion_tokens", "event-source": "completion_tokens", "ui-message": "outputTokens"}
    for fmt, seen in in_each_format(relay, model).items():
        assert (seen.text, seen.error, seen.whole, seen.status) == ("Hello", None, True, 200), fmt
        if fmt == "text":
            assert (seen.usage, seen.finishReason) == (None, None)
        else:
            assert ((seen.usage or {})[counts[fmt]], seen.finishReason) == (2, "stop"), fmt


def test_two_halves_of_a_character_are_one_delta(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    wave = [event("a\ud83d"), event("\udc4b!"), event(finish="stop"), DONE]
    replay.answer(model, Reply(wave))
    (seen,) = read(relay, job(relay, "sse", model))
    assert seen.deltas == ["a", "👋!"]


def test_a_question_may_be_in_the_query(relay: ServedRelay, replay: ReplayUpstream, model: str) -> None:
    replay.answer(model, Reply(answer("Hel", "lo")))
    url = f"{relay.url}/chatCompletion?message=hi&model={model}"
    (seen,) = read(relay, {"url": url, "options": {"method": "GET"}})
    assert (seen.text, seen.error) == ("Hello", None)


def test_the_answer_to_a_posted_message_has_its_usage_too(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hel", "lo")))
    body = {"message": "hi", "model": model}
    (seen,) = read(relay, {"url": f"{relay.url}/chatCompletion", "options": {"body": body}})
    assert (seen.text, seen.error) == ("Hello", None)
    assert (seen.usage or {})["completion_tokens"] == 2
    assert replay.exchanges(model)[0].body["messages"] == [{"role": "user", "content": "hi"}]


# -- failures --------------------------------------------------------------------------------------------


def test_a_refused_request_says_why(relay: ServedRelay, model: str) -> None:
    jobs = [job(relay, fmt, model) for fmt in FORMATS["chat"]]
    for asked in jobs:
        asked["options"] |= {"messages": [], "body": {"messages": []}}
    for seen in read(relay, *jobs):
        error = [(seen.error or {})[name] for name in ("name", "status", "code", "param", "text")]
        assert error == ["StreamError", 400, "invalid_value", "messages", ""]


def test_the_error_of_a_rate_limit_says_how_long_to_wait(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    error = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
    replay.answer(model, Reply.json(error, 429, retry_after="11"))
    (seen,) = read(relay, job(relay, "sse", model))
    assert seen.error is not None
    assert [seen.error[name] for name in ("status", "code", "retryAfterS")] == [
        429,
        "rate_limit_exceeded",
        11,
    ]


def test_the_error_of_an_interrupted_answer_keeps_the_text(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply([event("Hel"), event("lo")], ends="cut"))
    codes = {
        "sse": "upstream_interrupted",
        "event-source": "upstream_interrupted",
        "ui-message": "upstream_error",  # an error part has only a text
        "text": "interrupted",  # text cannot carry an error
    }
    for fmt, seen in in_each_format(relay, model).items():
        error = [(seen.error or {})[name] for name in ("code", "status", "text")]
        assert error == [codes[fmt], 200, "Hello"], fmt
        assert (seen.text, "".join(seen.deltas), seen.whole) == ("Hello", "Hello", False), fmt


def test_the_module_reports_unreachable_servers_and_answers_that_are_not_streams(relay: ServedRelay) -> None:
    port = free_ports(1)
    unreachable, health = read(
        relay,
        {"url": f"http://127.0.0.1:{port}/chatCompletion", "options": {"messages": []}},
        {"url": f"{relay.url}/health", "options": {"method": "GET"}},
    )
    assert unreachable.error is not None
    assert (unreachable.error["code"], unreachable.error["status"]) == ("unreachable", None)
    assert health.error is not None
    assert (health.error["code"], health.error["status"]) == ("not_a_stream", 200)
    assert "application/json" in health.error["message"]


def test_the_message_of_a_server_in_front_of_the_relay_is_kept(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply.json({"Message": "Forbidden. See the documentation."}, 403))
    # Without the relay: AWS itself answers like this.
    asked = job(relay, "sse", model) | {"url": f"{replay.url}/chat/completions"}
    (seen,) = read(relay, asked)
    assert seen.error is not None
    assert (seen.error["code"], seen.error["message"]) == ("http_403", "Forbidden. See the documentation.")


def test_the_code_and_the_message_of_an_error_of_any_shape_are_strings(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    unknown = "The upstream reported an error."
    errors: list[tuple[dict[str, Any], str, str]] = [
        ({"message": "slow down", "code": 429}, "429", "slow down"),
        ({"message": {"text": "m"}, "code": {"toString": 1}, "type": "t"}, "t", unknown),
        ({"message": "", "code": "", "type": ""}, "upstream_error", unknown),
    ]
    reported = [f"data: {json.dumps({'error': error})}\n\n".encode() for error, _, _ in errors]
    replay.answer(model, *[Reply([event("Half"), 0.1, data]) for data in reported])
    answers = read(relay, *[job(relay, "sse", model)] * len(errors))
    for (_, code, message), seen in zip(errors, answers, strict=True):
        error = seen.error or {}
        assert (error["code"], error["message"], seen.text) == (code, message, "Half")


# -- streams that no relay would send --------------------------------------------------------------------


def direct(replay: ReplayUpstream, model: str, **options: Any) -> Job:
    """A question to the upstream, without the relay."""
    asked = {"messages": [{"role": "user", "content": "hi"}], "model": model, **options}
    return {"url": f"{replay.url}/chat/completions", "options": asked}


def read_direct(
    relay: ServedRelay, replay: ReplayUpstream, model: str, *replies: Reply, **options: Any
) -> list[Seen]:
    replay.answer(model, *replies)
    return read(relay, *[direct(replay, model, **options)] * len(replies))


def test_a_stream_without_a_terminal_signal_was_interrupted(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    (seen,) = read_direct(relay, replay, model, Reply([event("Half")]))
    assert seen.error is not None
    assert (seen.error["code"], seen.text, seen.whole) == ("interrupted", "Half", False)


def test_a_stream_that_breaks_after_its_terminal_signal_is_complete(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replies = [Reply([event("Whole."), last, 0.1], ends="cut") for last in (event(finish="stop"), DONE)]
    for seen in read_direct(relay, replay, model, *replies):
        assert (seen.error, seen.text, seen.whole) == (None, "Whole.", True)


def hasty(*words: str) -> list[Piece]:
    """An answer with a finish reason on every chunk, as some upstreams send it."""
    return [event(word, finish="stop") for word in words]


def tool_arguments(text: str) -> bytes:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
    return event(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "stop"}])


REASONING = event(choices=[{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}])


def test_a_stream_that_breaks_after_a_contradicted_finish_reason_was_interrupted(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    contradicted: list[list[Piece]] = [
        hasty("Hel", "lo"),
        [event("Hello", finish="stop"), tool_arguments("{")],
        [event("Hello", finish="stop"), REASONING],
        [*hasty("Hel", "lo"), event(finish="stop")],
    ]
    replies = [Reply([*pieces, 0.1], ends="cut") for pieces in contradicted]
    for seen in read_direct(relay, replay, model, *replies):
        assert ((seen.error or {})["code"], seen.text, seen.whole) == ("interrupted", "Hello", False)


def test_after_contradicted_finish_reasons_the_end_of_the_stream_and_the_last_reason_count(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    pieces = [*hasty("Hel", "lo"), event("!", finish="length")]
    for seen in read_direct(relay, replay, model, Reply([*pieces, DONE]), Reply(pieces)):
        assert (seen.error, seen.text, seen.whole, seen.finishReason) == (None, "Hello!", True, "length")


def test_the_first_finish_reason_and_the_last_usage_count(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    usages = [event(choices=[], usage={"completion_tokens": number}) for number in (1, 2)]
    pieces: list[Piece] = [event("a"), event(finish="length"), event(finish="stop"), *usages, DONE]
    (seen,) = read_direct(relay, replay, model, Reply(pieces))
    assert (seen.finishReason, seen.usage) == ("length", {"completion_tokens": 2})


def test_content_in_parts_is_read(relay: ServedRelay, replay: ReplayUpstream, model: str) -> None:
    delta = {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, {"type": "other"}]}
    chunk = event(choices=[{"index": 0, "delta": delta}])
    (seen,) = read_direct(relay, replay, model, Reply([chunk, event(finish="stop"), DONE]))
    assert seen.text == "Hello"


def test_half_a_character_at_the_end_is_a_replacement_character(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    (seen,) = read_direct(relay, replay, model, Reply([event("a\ud83d"), event(finish="stop"), DONE]))
    assert seen.deltas == ["a", "\ufffd"]


def test_an_error_that_is_a_string_is_the_message(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    (seen,) = read_direct(relay, replay, model, Reply([event("a"), b'data: {"error": "no more"}\n\n']))
    assert seen.error is not None
    assert (seen.error["message"], seen.error["code"]) == ("no more", "upstream_error")


def test_after_an_error_the_connection_is_closed(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    error = b'data: {"error": {"message": "m", "type": "t", "code": "c"}}\n\n'
    (seen,) = read_direct(relay, replay, model, Reply([event("a"), error], ends="silent"))
    assert seen.error is not None
    assert [seen.error[name] for name in ("message", "type", "code")] == ["m", "t", "c"]
    assert replay.exchanges(model)[0].over.wait(30)
    assert replay.exchanges(model)[0].left_at is not None


def test_text_is_decoded_however_its_bytes_are_split(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    text = "\ufeffGrüße 👋 and"
    pieces: list[Piece] = [piece for byte in text.encode() for piece in (bytes([byte]), 0.005)]
    reply = Reply([*pieces, b"\xf0\x9f"], 200, {"content-type": "text/plain; charset=utf-8"})
    (seen,) = read_direct(relay, replay, model, reply)
    assert (seen.text, seen.error) == (f"{text}\ufffd", None)


def test_the_callers_fields_are_sent_but_stream_is_always_true(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    own = {"stream_options": {"include_usage": False}, "stream": False, "temperature": 0.2}
    (seen,) = read_direct(relay, replay, model, Reply(answer("Hello")), body=own)
    assert seen.text == "Hello"
    sent = replay.exchanges(model)[0].body
    assert {name: sent[name] for name in own} == {**own, "stream": True}


# -- stopping --------------------------------------------------------------------------------------------


def test_stopping_closes_the_connection(relay: ServedRelay, replay: ReplayUpstream, model: str) -> None:
    pieces: list[Piece] = [piece for number in range(200) for piece in (event(f"word{number} "), 0.05)]
    replay.answer(model, Reply(pieces))
    ways = [(fmt, by) for fmt in FORMATS["chat"] for by in ("signal", "break", "method")]
    answers = read(relay, *[job(relay, fmt, model, stop=2, by=by) for fmt, by in ways])
    for way, seen, exchange in zip(ways, answers, replay.exchanges(model), strict=True):
        assert len(seen.deltas) < 20, way
        assert seen.text.startswith("word0 word1 "), way
        assert (seen.isAborted, seen.whole) == (True, False), way
        assert (seen.error or {}).get("name") == (None if way[1] == "break" else "AbortError"), way
        assert exchange.over.wait(30), way
        assert exchange.left_at is not None, way
        assert relay.transcript(str(seen.requestId))["outcome"] == "abandoned", way


def test_stopping_before_the_request_sends_none(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello")))
    jobs = [
        job(relay, "sse", model, stop=0, by=by, pending=pending)
        for by in ("signal", "method")
        for pending in (False, True)  # True: waiting for headers that never arrive
    ]
    assert [(one.error or {})["name"] for one in read(relay, *jobs)] == ["AbortError"] * 4
    assert replay.exchanges(model) == []


def test_a_signal_aborted_before_the_request_rejects_with_its_reason(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply(answer("Hello")))
    (seen,) = read(relay, job(relay, "sse", model, by="given before"))
    assert (seen.error or {})["message"] == "changed my mind"
    assert replay.exchanges(model) == []


def test_leaving_a_waiting_iterator_closes_the_connection(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    replay.answer(model, Reply([event("Half")], ends="silent"))
    (seen,) = read(relay, job(relay, "sse", model, stop=1, by="return"))
    assert (seen.text, seen.isAborted) == ("Half", True)
    exchange = replay.exchanges(model)[0]
    assert exchange.over.wait(30)
    assert exchange.left_at is not None


def test_after_stopping_in_a_callback_no_callback_is_called(
    relay: ServedRelay, replay: ReplayUpstream, model: str
) -> None:
    words = b"".join(event(f"word{number} ") for number in range(10))
    replay.answer(model, Reply([words, event(finish="stop"), DONE]))
    (seen,) = read(relay, job(relay, "sse", model, stop=1, by="onDelta"))
    assert [delta for delta, _ in seen.called] == ["word0 "]
    assert (seen.text, seen.isAborted) == ("word0 ", True)
