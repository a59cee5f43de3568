"""Failures in every phase of a relayed answer: what the caller gets, and the transcript's outcome."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from chat_stream.sse import EventStreamParser
from chat_stream.transcripts.transcript import Transcript, TranscriptBuilder
from lambda_stream import ResponseStream
from tests.support.clients.ui_message_client import Client, parts_in
from tests.support.conformance_cases import stream_cases
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.recorded_stream import RecordedBody, recorded_stream
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, answer, event


@pytest.mark.parametrize("fmt", ["text", "sse", "json"])
def test_a_failure_before_the_first_byte_has_a_true_status(relay: RelayCall, fmt: str) -> None:
    got = relay(Reply.json({"error": {"message": "no such model"}}, 404), fmt=fmt)
    assert got.status == 404
    assert got.error == {"message": "no such model"}
    assert got.transcript["outcome"] == "failed"


def test_a_key_that_is_a_short_word_changes_no_answer(relay: RelayCall) -> None:
    assert relay(Reply(answer("ollama it is")), openai_api_key="ollama").data == b"ollama it is"


@pytest.mark.parametrize("fmt", ["text", "ui-message"])
def test_text_in_the_same_event_as_an_error_is_not_lost(relay: RelayCall, fmt: str) -> None:
    last = event("tial", error={"message": "m", "type": "server_error"})
    got = relay(Reply([event("Par"), 0.05, last]), fmt=fmt)
    shown = got.data.decode() if fmt == "text" else Client(parts_in(got.data)).text
    assert (shown, got.content) == ("Partial", "Partial")


@pytest.mark.parametrize("ends", ["clean", "cut", "reset", "unframed"])
def test_a_stream_without_a_terminal_signal_ends_sse_in_an_error_event(relay: RelayCall, ends: Any) -> None:
    got = relay(Reply([event("Par"), event("tial")[:-9], 0.1], ends=ends), fmt="sse")
    good, _, bad = got.data.partition(event("Par"))
    assert good == b""
    assert json.loads(bad.removeprefix(b"data: "))["error"]["code"] == "upstream_interrupted"
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("truncated", "upstream_interrupted")
    assert got.content == "Par"


def test_one_finished_choice_of_two_is_not_a_complete_answer(relay: RelayCall) -> None:
    got = relay(Reply([event("One"), event(finish="stop")], ends="cut"), n=2)
    assert got.transcript["outcome"] == "truncated"


RESPONSE_STARTS = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
KEEP_ALIVES = [
    ("sse", CHAT_COMPLETIONS, event("Par"), b": still here\n\n"),
    ("sse", CHAT_COMPLETIONS, event("Par"), b'data: {"type": "ping"}\n\n'),
    (
        "responses-sse",
        responses_dialect(),
        RESPONSE_STARTS,
        b'event: keepalive\ndata: {"type":"keepalive"}\n\n',
    ),
]


@pytest.mark.parametrize(("fmt", "dialect", "start", "keep_alive"), KEEP_ALIVES)
def test_a_silent_upstream_is_cut_at_the_idle_limit_despite_keep_alives(
    relay: RelayCall, fmt: str, dialect: Dialect, start: bytes, keep_alive: bytes
) -> None:
    pieces: list[Any] = [keep_alive, 0.1] * 400
    got = relay(Reply([start, *pieces]), fmt=fmt, dialect=dialect, idle_timeout_s=0.5)
    assert got.transcript["reason"] == "upstream_interrupted"
    assert b"silent for 0.5 s" in got.data


@pytest.mark.parametrize(
    ("fmt", "dialect", "start", "progress"),
    [
        ("sse", CHAT_COMPLETIONS, event("Par"), event("")),
        (
            "responses-sse",
            responses_dialect(),
            RESPONSE_STARTS,
            b'data: {"type":"response.web_search_call.searching","output_index":0}\n\n',
        ),
    ],
)
def test_events_without_content_still_count_as_progress(
    relay: RelayCall, fmt: str, dialect: Dialect, start: bytes, progress: bytes
) -> None:
    pieces: list[Any] = [progress, 0.3] * 9
    got = relay(Reply([start, *pieces]), fmt=fmt, dialect=dialect, idle_timeout_s=2.5)
    assert b"silent" not in got.data
    assert got.transcript["timings"]["duration_ms"] > 2500


def test_a_response_has_ended_with_its_last_event_even_if_the_upstream_never_closes(relay: RelayCall) -> None:
    [case] = [case for case in stream_cases("responses") if case.name == "responses_basic"]
    got = relay(Reply([case.body], ends="silent"), fmt="responses-sse", dialect=responses_dialect())
    assert got.data == case.body
    assert got.transcript["outcome"] == "completed"
    assert got.transcript["timings"]["duration_ms"] < 20_000  # the idle limit is longer


@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_the_deadline_ends_the_answer_in_time_for_the_transcript(relay: RelayCall, fmt: str) -> None:
    got = relay(Reply([event("Par")], ends="silent"), fmt=fmt, remaining_s=3.0, deadline_reserve_s=0.7)
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("truncated", "deadline_exceeded")
    assert got.content == "Par"
    if fmt == "sse":
        assert b"deadline_exceeded" in got.data
    else:
        assert got.body.error is not None


def test_the_reserve_takes_at_most_a_quarter_of_a_short_timeout(relay: RelayCall) -> None:
    got = relay(Reply([event("One"), 0.1, event(finish="stop")]), remaining_s=8.0, deadline_reserve_s=12.0)
    assert got.transcript["outcome"] == "completed"


def test_a_silent_upstream_causes_comments_between_events_and_never_inside_one(relay: RelayCall) -> None:
    half = event("tial")
    pieces: list[Any] = [event("Par"), half[:20], 0.9, half[20:], event(finish="stop"), DONE]
    got = relay(Reply(pieces), fmt="sse", keep_alive_s=0.2)
    comments = got.data.count(b": keep-alive\n\n")
    assert comments >= 2
    assert got.data.replace(b": keep-alive\n\n", b"") == event("Par") + half + event(finish="stop") + DONE
    assert got.content == "Partial"


def test_a_slow_first_event_commits_sse_with_a_comment_and_later_errors_are_in_band(relay: RelayCall) -> None:
    assert relay(Reply.json({"error": {"message": "no"}}, 400), fmt="sse").status == 400
    slow = Reply([b'{"error": {"message": "no"}}'], 400, {"content-type": "application/json"}, head_after=1.0)
    got = relay(slow, fmt="sse", keep_alive_s=0.2)
    assert got.status == 200
    assert got.data.startswith(b": keep-alive\n\n")
    assert got.data.endswith(b'data: {"error":{"message":"no"}}\n\n')


def test_a_retry_is_still_possible_after_a_comment(relay: RelayCall) -> None:
    slow = Reply([b"{}"], 503, {"content-type": "application/json"}, head_after=1.0)
    got = relay(slow, Reply(answer("One")), fmt="sse", keep_alive_s=0.2)
    assert got.transcript["outcome"] == "completed"
    assert got.transcript["upstream"]["attempts"] == 2


def test_text_has_no_comments_and_waits_for_the_first_event(relay: RelayCall) -> None:
    pieces: list[Any] = [0.5, event("One"), 0.5, event(finish="stop"), DONE]
    got = relay(Reply(pieces), keep_alive_s=0.1)
    assert got.data == b"One"


def test_a_caller_who_leaves_ends_the_upstream_request_and_there_is_a_transcript(
    relay: RelayCall, replay: ReplayUpstream, model: str
) -> None:
    words: list[Any] = [piece for number in range(200) for piece in (event(f"{number} "), 0.05)]
    got = relay(Reply(words), stream=recorded_stream(goes_after=2))
    assert (got.transcript["outcome"], got.transcript["reason"]) == ("abandoned", "caller_gone")
    assert got.content.startswith("0 1 ")
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(30)
    assert exchange.left_at is not None


def test_a_caller_who_leaves_while_the_upstream_is_silent_is_noticed_by_a_comment(relay: RelayCall) -> None:
    stream = recorded_stream(goes_after=1)
    got = relay(Reply([event("Par")], ends="silent"), fmt="sse", keep_alive_s=0.3, stream=stream)
    assert got.transcript["outcome"] == "abandoned"


def test_a_caller_who_leaves_before_the_upstream_answers_ends_the_upstream_request(
    relay: RelayCall, replay: ReplayUpstream, model: str
) -> None:
    silent = Reply(answer("late"), head_after=60.0)
    got = relay(silent, fmt="sse", keep_alive_s=0.3, stream=recorded_stream(goes_after=0))
    assert got.transcript["outcome"] == "abandoned"
    exchange = replay.wait_for_exchange(model)
    assert exchange.over.wait(30)
    assert exchange.left_at is not None


def test_the_log_does_not_quote_the_upstreams_error_to_a_caller_who_has_left(
    relay: RelayCall, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    words = "the secret plan"
    error = event(error={"message": words, "code": words, "type": words}, choices=[])
    relay(Reply([error]), fmt="sse", stream=recorded_stream(goes_after=0))
    assert "gone" in caplog.text
    assert words not in caplog.text


def test_the_deadline_holds_before_the_upstream_answers(relay: RelayCall) -> None:
    silent = Reply(answer("late"), head_after=60.0)
    got = relay(silent, fmt="sse", keep_alive_s=0.3, remaining_s=2.0, deadline_reserve_s=0.5)
    assert b"deadline_exceeded" in got.data
    assert got.transcript["reason"] == "deadline_exceeded"


class SlowBody(RecordedBody):
    """A caller who takes longer for each piece than the upstream may be silent."""

    def write(self, data: bytes, give_up_at: float) -> None:
        time.sleep(1.7)
        super().write(data, give_up_at)


def test_a_slow_caller_is_not_mistaken_for_a_silent_upstream(relay: RelayCall) -> None:
    body = SlowBody()
    words: list[Any] = [piece for number in range(2) for piece in (event(f"{number} "), 0.02)]
    pieces = [*words, event(finish="stop"), DONE]
    got = relay(Reply(pieces), stream=(ResponseStream(body), body), idle_timeout_s=1.5)
    assert got.transcript["outcome"] == "completed"


def test_writes_to_a_slow_caller_end_in_time_for_the_transcript(relay: RelayCall) -> None:
    stream = recorded_stream()
    expected_at = time.monotonic() + 20 - 4
    relay(Reply(answer("One")), stream=stream, remaining_s=20.0, deadline_reserve_s=4)
    assert stream[0].give_up_at == pytest.approx(expected_at, abs=2)


@pytest.mark.parametrize("fmt", ["text", "sse", "json"])
def test_a_document_that_is_not_a_completion_is_failed_and_502(relay: RelayCall, fmt: str) -> None:
    for body in (b"{not json}", b'{"choices": 5}', b'{"object": "list"}'):
        got = relay(Reply.json(body), fmt=fmt)
        assert (got.status, got.error["code"]) == (502, "not_event_stream")
        assert got.transcript["outcome"] == "failed"


def test_an_error_with_a_blank_code_breaks_text_off_with_a_named_error(relay: RelayCall) -> None:
    got = relay(Reply([event("Par"), 0.1, b'data: {"error": {"message": "m", "code": " "}}\n\n']))
    assert got.body.error is not None
    assert got.body.error.type.strip()


def test_an_event_over_the_limit_is_an_error_and_not_a_full_memory(relay: RelayCall) -> None:
    block = b"x" * (1 << 20)
    got = relay(Reply([event("Par"), b"data: ", *[block] * 17, b"\n\n"]), fmt="sse")
    assert got.transcript["reason"] == "upstream_too_large"
    assert len(got.data) < 1000


def test_a_failure_of_the_relay_itself_still_leaves_a_transcript(
    relay: RelayCall, replay: ReplayUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Transcript] = []
    finish = TranscriptBuilder.finish

    def finish_and_keep(*args: Any, **kwargs: Any) -> Transcript:
        kept.append(finish(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(TranscriptBuilder, "finish", finish_and_keep)
    monkeypatch.setattr(EventStreamParser, "feed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        relay(Reply(answer("One")))
    assert (kept[0].outcome, kept[0].document["reason"]) == ("failed", "internal_error")
