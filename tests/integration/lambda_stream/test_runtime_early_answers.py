"""Answers of the Runtime API before, during and after a body: 1xx is skipped, any 2xx acknowledges it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lambda_stream.runtime_api import MIN_SETTLE_S
from tests.support.runtime.recording_runtime_api import PATIENCE_S, RecordingRuntimeApi, Reply, runtime

INFO = {"AWS_LAMBDA_LOG_LEVEL": "INFO"}
PIECES = [b"hello ", b"world"]
INTERIM = {
    "102 with headers": b"HTTP/1.1 102 Processing\r\nX-A: b\r\nContent-Length: 7\r\n\r\n",
    "several": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" * 3,
}
ACCEPTED = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "200 in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "299 after 1xx": INTERIM["several"] + b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n",
}
CLOSING = {
    "200 that closes": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "200 without a length": b"HTTP/1.1 200 OK\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
}
NOTHING_MORE = b""


@pytest.fixture(scope="module")
def api() -> Iterator[RecordingRuntimeApi]:
    with runtime(environ=INFO) as (api, process):
        yield api
        assert process.log == "", "accepted answers are not logged"


def assert_next_is_served(api: RecordingRuntimeApi, connection: int | None = None) -> None:
    request = api.invoke({"do": "hello"})
    assert (request.pieces, request.ended) == (PIECES, True)
    if connection is not None:
        assert request.connection == connection


@pytest.mark.parametrize("after_chunks", [0, 2, 3])
@pytest.mark.parametrize("answer", ACCEPTED)
def test_after_an_early_2xx_the_whole_body_still_arrives(
    api: RecordingRuntimeApi, answer: str, after_chunks: int
) -> None:
    reply = Reply(early={after_chunks: ACCEPTED[answer]}, raw=NOTHING_MORE)
    request = api.invoke({"do": "watched"}, reply=reply)
    assert (request.pieces, request.ended) == ([b": still here\n"] * 5 + [b"end"], True)
    assert_next_is_served(api)


@pytest.mark.parametrize("ends_early", [False, True])
@pytest.mark.parametrize("answer", [*ACCEPTED, *CLOSING])
def test_after_an_early_2xx_the_body_arrives_even_if_the_server_stops_sending(
    api: RecordingRuntimeApi, answer: str, ends_early: bool
) -> None:
    early = {2: (ACCEPTED | CLOSING)[answer]}
    request = api.invoke({"do": "watched"}, reply=Reply(early=early, ends_early=ends_early, raw=NOTHING_MORE))
    assert (request.pieces, request.ended) == ([b": still here\n"] * 5 + [b"end"], True)
    assert_next_is_served(api)


@pytest.mark.parametrize("action", ["raise after", "abort after"])
def test_after_an_early_2xx_error_trailers_still_arrive(action: str) -> None:
    with runtime() as (api, _):
        request = api.invoke({"do": action}, reply=Reply(early={2: ACCEPTED["200"]}, raw=NOTHING_MORE))
        assert request.ended
        assert "lambda-runtime-function-error-type" in request.trailers
        assert_next_is_served(api)


@pytest.mark.parametrize("after_chunks", [0, 2, 4])
@pytest.mark.parametrize("interim", INTERIM)
def test_1xx_answers_during_a_body_are_skipped(
    api: RecordingRuntimeApi, interim: str, after_chunks: int
) -> None:
    request = api.invoke({"do": "hello"}, reply=Reply(early={after_chunks: INTERIM[interim]}))
    assert (request.pieces, request.ended) == (PIECES, True)
    assert_next_is_served(api, request.connection)


def test_a_second_answer_is_not_mistaken_for_that_of_the_next_request(api: RecordingRuntimeApi) -> None:
    stale = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: stale\r\nContent-Length: 2\r\n\r\n{}"
    for reply in (
        Reply(early={2: ACCEPTED["200"] + stale}),
        Reply(early={2: ACCEPTED["200"]}, raw=stale),
        Reply(early={2: ACCEPTED["200"], 3: stale[:20]}, raw=stale[20:]),
    ):
        api.invoke({"do": "watched"}, reply=reply)
        assert_next_is_served(api)
    assert not [request for request in api.recorded if "/stale/" in request.path]


def test_1xx_answers_before_an_invocation_and_before_a_2xx_are_skipped_for_plain_handlers() -> None:
    with runtime("stream_handlers.plain", INFO) as (api, process):
        api.before_next = INTERIM["several"]
        request = api.invoke("x", reply=Reply(raw=INTERIM["102 with headers"] + ACCEPTED["200"]))
        assert json.loads(request.body)["event"] == "x"
        assert json.loads(api.invoke("y").body)["event"] == "y"
        assert {request.connection for request in api.recorded} == {1}
        assert process.log == ""


def test_the_rest_of_a_2xx_is_waited_for_only_briefly() -> None:
    unfinished = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nf"
    with runtime(environ=INFO) as (api, process):
        for reply in (Reply(early={2: unfinished}, raw=NOTHING_MORE), Reply(raw=unfinished)):
            began_at = time.monotonic()
            assert api.invoke({"do": "hello"}, reply=reply, deadline_s=600).ended
            assert_next_is_served(api)
            assert time.monotonic() - began_at < MIN_SETTLE_S + PATIENCE_S
        assert process.log == ""


@pytest.mark.parametrize("status", [301, 413, 503])
def test_any_other_early_status_ends_the_stream(status: int) -> None:
    refusal = b"HTTP/1.1 %d No\r\nContent-Length: 6\r\n\r\nreason" % status
    with runtime(environ=INFO) as (api, process):
        # The server reads on: only its answer can end the handler, which would otherwise write for ever.
        api.invoke(
            {"do": "slow"}, reply=Reply(after_chunks=4, reads_on=True, raw=INTERIM["several"] + refusal)
        )
        assert_next_is_served(api)
        assert f"the caller is gone: the Runtime API answered {status} before" in process.log


@pytest.mark.parametrize(
    ("action", "answer"), [("slow", "200"), ("slow", "200 that closes"), ("slow", "none"), ("watched", "200")]
)
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_closed_in_mid_answer_means_caller_gone_even_after_a_2xx(
    action: str, answer: str, reset: bool
) -> None:
    early = {2: (ACCEPTED | CLOSING).get(answer, INTERIM["several"])}
    closed = Reply(early=early, after_chunks=4, reset=reset, close=True, raw=NOTHING_MORE)
    with runtime(environ=INFO) as (api, process):
        api.invoke({"do": action}, reply=closed)
        assert_next_is_served(api)
        assert "the caller is gone: the" in process.log


@pytest.mark.parametrize("noise", [b"220 mail.example ESMTP\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n"])
def test_an_early_answer_that_is_not_http_ends_the_stream(noise: bytes) -> None:
    with runtime(environ=INFO) as (api, process):
        api.invoke({"do": "slow"}, reply=Reply(after_chunks=4, reads_on=True, raw=noise))
        assert_next_is_served(api)
        assert "the answer is not HTTP/1.1" in process.log


def test_a_refusal_with_an_unfinished_body_is_logged_with_its_status() -> None:
    with runtime() as (api, process):
        raw = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo "
        api.invoke({"do": "hello"}, reply=Reply(raw=raw), deadline_s=600)
        assert_next_is_served(api)
        assert "the Runtime API refused the answer with status 413: too " in process.log


def test_a_buffered_answer_that_is_refused_before_it_was_read_is_logged_with_its_status() -> None:
    with runtime("stream_handlers.plain") as (api, process):
        api.invoke("long", reply=Reply(413, body=b"too much", refuses_unread=True))
        assert json.loads(api.invoke("x").body)["event"] == "x"
        assert "the Runtime API refused the answer with status 413: too much" in process.log
