from __future__ import annotations

import json
from typing import Any

import pytest

from chat_stream.dialects.chat_completions.events import ChatCompletionDecoder
from chat_stream.reading import AnswerReader
from chat_stream.sse import BOM, EventStreamParser
from errors import RelayError, UpstreamError
from rendering.formats import STREAM_RENDERERS
from rendering.renderer import Renderer
from rendering.sse import EventSourceRenderer, ResponsesSseRenderer, SseRenderer
from rendering.text import TextRenderer
from rendering.timings import RelayTimings
from request.chat_request import ChatRequest
from tests.support.upstreams.replay_upstream import DONE, event, usage_event


def chat(*, usage_wanted: bool = False) -> ChatRequest:
    return ChatRequest("/r", b"{}", "sse", usage_wanted, 1, {})


def rendered(renderer: Renderer, stream: bytes) -> bytes:
    parser, decoder = EventStreamParser(), ChatCompletionDecoder(2)
    events = parser.feed(stream)
    return b"".join(renderer.render(e, decoder.decode(e)) for e in events) + renderer.end(parser.rest)


def reported(renderer: Renderer, stream: bytes, error: RelayError) -> bytes | None:
    return renderer.reported_failure(EventStreamParser().feed(stream)[-1], error)


ERROR = UpstreamError(429, "rate_limit_exceeded", "slow down", type="rate_limit_error")


def test_every_streamed_format_has_a_renderer_that_forbids_buffering_and_sniffing() -> None:
    for name, make in STREAM_RENDERERS.items():
        headers = make(chat(), "r-1", RelayTimings(), None).headers
        assert headers["x-accel-buffering"] == "no", name
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"].startswith("no-cache")


def test_text_is_the_deltas_and_nothing_else() -> None:
    stream = (
        event("Grüß ") + b": comment\n\n" + event("dich 👋") + event(finish="stop") + usage_event() + DONE
    )
    assert rendered(TextRenderer(), stream) == "Grüß dich 👋".encode()


def test_text_shows_the_first_choice_only() -> None:
    second = b'data: {"choices":[{"index":1,"delta":{"content":"two"}}]}\n\n'
    assert rendered(TextRenderer(), event("one") + second) == b"one"


def test_sse_is_the_upstreams_bytes_including_comments_and_odd_spacing() -> None:
    stream = b": hello\n\n" + b"id:7\r\ndata:" + event("x")[6:] + event(finish="stop") + DONE + b": bye\n"
    assert rendered(SseRenderer(chat(usage_wanted=True)), stream) == stream


def test_sse_keeps_usage_on_a_chunk_of_the_answer() -> None:
    stream = event("x") + event(finish="stop", usage={"total_tokens": 3}) + DONE
    assert rendered(SseRenderer(chat()), stream) == stream


def test_a_failure_in_sse_is_one_event_in_openais_shape() -> None:
    data = SseRenderer(chat()).failure(ERROR)
    (sent,) = EventStreamParser().feed(data)
    assert sent.raw == data
    assert json.loads(sent.data) == {
        "error": {
            "message": "slow down",
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    }


def test_an_upstream_error_body_of_several_lines_stays_one_event() -> None:
    error = UpstreamError(400, "upstream_refused", "", body=b'{"error":{"message":"a\\nb"}}')
    assert len(EventStreamParser().feed(SseRenderer(chat()).failure(error))) == 1


def test_an_error_event_in_openais_shape_is_passed_on_unchanged() -> None:
    raw = b'data: {"error": {"message": "m", "vendor": 1}}\n\n'
    assert reported(SseRenderer(chat()), raw, ERROR) == raw


@pytest.mark.parametrize(
    "raw", [b'event: error\ndata: {"code": 400, "details": "bad"}\n\n', b'data: {"error": "plain words"}\n\n']
)
def test_an_error_event_that_sdks_would_overlook_is_put_into_openais_shape(raw: bytes) -> None:
    data = reported(SseRenderer(chat()), raw, ERROR)
    assert data == SseRenderer(chat()).failure(ERROR)


def test_a_chunk_with_an_error_in_it_is_passed_on_before_the_error() -> None:
    choice = {"index": 0, "delta": {"content": "last words"}, "error": {"message": "m"}}
    raw = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
    renderer = SseRenderer(chat())
    assert reported(renderer, raw, ERROR) == raw + renderer.failure(ERROR)


@pytest.mark.parametrize("make", [SseRenderer, ResponsesSseRenderer])
def test_no_blank_line_follows_a_comment_once_there_was_an_id(make: type[SseRenderer]) -> None:
    renderer = make(chat(usage_wanted=True))
    rendered(renderer, event("Hel"))
    assert renderer.keep_alive == b": keep-alive\n\n"
    rendered(renderer, b"id: 7\n" + event("lo"))
    assert renderer.keep_alive == b": keep-alive\n"


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("own", ["", "id: 7\n", "id\n", "id:\n"])
def test_every_event_for_an_event_source_has_the_relays_id(own: str, line_end: str) -> None:
    stream = BOM + (own.encode() + event("Hel") + event("lo") + DONE).replace(b"\n", line_end.encode())
    events = EventStreamParser().feed(rendered(EventSourceRenderer(chat(), "r-1"), stream))
    assert [e.data for e in events] == [e.data for e in EventStreamParser().feed(stream)]
    assert {e.id for e in events} == {"r-1"}


def test_an_event_source_gets_an_id_with_an_error_before_any_event() -> None:
    assert b"\nid: r-1\n" in EventSourceRenderer(chat(), "r-1").failure(ERROR)
    raw = b'data: {"error": {"message": "m"}}\n\n'
    assert reported(EventSourceRenderer(chat(), "r-1"), raw, ERROR) == raw[:-1] + b"id: r-1\n\n"


def test_an_event_source_keeps_the_id_to_the_end() -> None:
    renderer = EventSourceRenderer(chat(), "r-1")
    parser = EventStreamParser()
    parser.feed(rendered(renderer, event("Hel") + b"id\n\n: nothing more"))
    assert parser.last_event_id == "r-1"
    assert [e.id for e in parser.feed(renderer.failure(ERROR))] == ["r-1"]


def test_a_keep_alive_is_not_an_event_to_decoders_that_have_seen_an_id() -> None:
    renderer = EventSourceRenderer(chat(), "r-1")
    assert renderer.keep_alive == b": keep-alive\n\n"
    rendered(renderer, event("Hel"))
    assert renderer.keep_alive == b": keep-alive\n"


def response_event(type_: str, number: int, **fields: object) -> bytes:
    document = {"type": type_, "sequence_number": number, **fields}
    return f"event: {type_}\ndata: {json.dumps(document)}\n\n".encode()


def failure_after(stream: bytes, error: RelayError) -> dict[str, object]:
    renderer = ResponsesSseRenderer(chat())
    assert rendered(renderer, stream) == stream
    (sent,) = EventStreamParser().feed(renderer.failure(error))
    assert sent.event == "error"
    document: dict[str, object] = json.loads(sent.data)
    return document


def test_a_failure_of_a_response_is_an_error_event_with_the_next_number() -> None:
    stream = response_event("response.created", 0) + response_event("response.output_text.delta", 7)
    details = {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert failure_after(stream, ERROR) == {
        "type": "error",
        "sequence_number": 8,
        "code": "rate_limit_exceeded",
        "message": "slow down",
        "param": None,
        "error": details,
    }


def test_a_ping_without_a_number_does_not_restart_the_numbers() -> None:
    stream = response_event("response.created", 7) + b'data: {"type": "ping"}\n\n'
    assert failure_after(stream, ERROR)["sequence_number"] == 8


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"data: {}\n\n",
        b'data: {"sequence_number": true}\n\n',
        b'data: {"sequence_number": %s}\n\n' % (b"9" * 4300),
        b'data: {"sequence_number": -5}\n\n',
    ],
)
def test_a_failure_of_a_response_without_usable_numbers_is_number_0(stream: bytes) -> None:
    assert failure_after(stream, ERROR)["sequence_number"] == 0


def test_an_upstream_error_in_plain_text_becomes_an_error_event() -> None:
    error = UpstreamError(404, "upstream_refused", "", body=b'{"error":"no such model"}')
    document = failure_after(b"", error)
    assert (document["message"], document["code"]) == ("no such model", "upstream_refused")


@pytest.mark.parametrize(
    "raw",
    [
        response_event("error", 2, code="c", message="m", param=None),
        response_event("response.failed", 2, response={"error": {"code": "c", "message": "m"}}),
        b'data: {"error": {"message": "m"}}\n\n',
    ],
)
def test_an_error_event_of_the_responses_api_is_passed_on_unchanged(raw: bytes) -> None:
    assert reported(ResponsesSseRenderer(chat()), raw, ERROR) == raw


@pytest.mark.parametrize("raw", [b"event: error\ndata: bad\n\n", b'data: {"error": "plain words"}\n\n'])
def test_an_error_event_of_unknown_shape_becomes_one_of_the_responses_api(raw: bytes) -> None:
    renderer = ResponsesSseRenderer(chat())
    assert reported(renderer, raw, ERROR) == renderer.failure(ERROR)


@pytest.mark.parametrize(
    ("every", "last"),
    [
        ({"provider": "P"}, {"provider": "P"}),
        ({}, {"citations": None, "x": [], "y": {}, "z": ""}),
        ({"meta": {"region": "eu", "model": {"id": 1}}}, {"meta": {"model": {"id": 1}}}),
        ({"x_groq": {"id": "r"}}, {"x_groq": {"id": "r", "usage": {"total_tokens": 3}}}),
        ({"citations": ["a"]}, {"citations": ["a"], "choices": None}),
    ],
)
def test_a_usage_chunk_without_other_new_content_is_hidden(
    every: dict[str, Any], last: dict[str, Any]
) -> None:
    earlier = {"choices": [{"index": 0, "delta": {"content": "a"}}], **every}
    usage = {"choices": [], "usage": {"total_tokens": 3}, **last}
    shown = rendered(SseRenderer(chat()), b"".join(map(spelled, (earlier, usage))))
    assert shown == spelled(earlier)
    wanted = rendered(SseRenderer(chat(usage_wanted=True)), b"".join(map(spelled, (earlier, usage))))
    assert wanted == spelled(earlier) + spelled(usage)


@pytest.mark.parametrize(
    "last", [{"provider": "Q"}, {"citations": ["a"]}, {"meta": {"cost": 1}}, {"x_groq": {"id": "other"}}]
)
def test_a_usage_chunk_with_other_new_content_is_shown(last: dict[str, Any]) -> None:
    earlier = {"choices": [{"index": 0, "delta": {}}], "provider": "P", "meta": {"region": "eu"}}
    usage = {"choices": [], "usage": {"total_tokens": 3}, **last}
    stream = spelled(earlier) + spelled(usage)
    assert rendered(SseRenderer(chat()), stream) == stream


def spelled(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def unended(renderer: Renderer, stream: bytes) -> bytes:
    """The bytes sent for a stream whose last event lacks its blank line."""
    reader = AnswerReader(ChatCompletionDecoder())
    read = [*reader.feed(stream), *reader.end()]
    assert reader.rest == b""
    return b"".join(renderer.render(one.event, one.chat_events) for one in read)


def test_a_last_event_without_its_blank_line_is_unchanged_except_for_an_event_source() -> None:
    last = b'data: {"choices":[{"index":0,"delta":{"content":"b"}}]}'
    assert unended(SseRenderer(chat()), event("a") + last) == event("a") + last
    assert unended(TextRenderer(), event("a") + last) == b"ab"
    sent = unended(EventSourceRenderer(chat(), "r-1"), event("a") + last)
    assert [one.data for one in EventStreamParser().feed(sent)][1] == last.decode().removeprefix("data: ")


@pytest.mark.parametrize("make", [SseRenderer, ResponsesSseRenderer])
def test_an_error_after_an_event_without_its_blank_line_is_an_event_of_its_own(
    make: type[SseRenderer],
) -> None:
    renderer = make(chat())
    last = b'data: {"choices":[{"index":0,"delta":{"content":"b"}}]}\n'
    sent = unended(renderer, last) + renderer.failure(ERROR)
    before, error = EventStreamParser().feed(sent)
    assert before.raw == last + b"\n"
    assert "rate_limit_exceeded" in error.data
