"""Every format through the relay: data split across reads, unrequested streams or documents, headers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from tests.support.clients.ui_message_client import Client, parts_in
from tests.support.conformance_cases import stream_cases
from tests.support.runtime.relaying import RelayCall, Relayed
from tests.support.upstreams.replay_upstream import DONE, Reply, answer, completion, event

TEXT = "a👋b"
BASIC_RESPONSE = next(case for case in stream_cases("responses") if case.name == "responses_basic")


def response_stream(text_json: str) -> bytes:
    """A streamed response whose one delta is this JSON string."""
    fields = '"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0'
    delta = f'{{{fields},"content_index":0,"delta":{text_json}}}'
    events = BASIC_RESPONSE.body.decode().split("\n\n")
    last = events[10].replace("Hi there 👋", TEXT)
    return "\n\n".join([*events[:4], f"event: response.output_text.delta\ndata: {delta}", last, ""]).encode()


def chat_stream(text_json: str) -> bytes:
    sent = event("TEXT").replace(b'"TEXT"', text_json.encode())
    return sent + event(finish="stop") + DONE


STREAMS: dict[str, Callable[[str], bytes]] = {"chat": chat_stream, "responses": response_stream}
FORMATS = [
    ("text", "chat"),
    ("sse", "chat"),
    ("ui-message", "chat"),
    ("json", "chat"),
    ("responses-sse", "responses"),
    ("json", "responses"),
]
DIALECTS: dict[str, Dialect] = {"chat": CHAT_COMPLETIONS, "responses": responses_dialect()}


def text_of(got: Relayed, fmt: str, api: str) -> str:
    """The text that the caller reads in an answer of this format."""
    if fmt == "text":
        return got.data.decode()
    if fmt == "ui-message":
        return Client(parts_in(got.data)).text
    if fmt == "json":
        document = json.loads(got.data)
        if api == "chat":
            return str(document["choices"][0]["message"]["content"])
        return "".join(part["text"] for item in document["output"] for part in item["content"])
    return got.content  # events are passed on unchanged: their bytes are compared


@pytest.mark.parametrize(("fmt", "api"), FORMATS)
@pytest.mark.parametrize(
    ("text_json", "cut_behind"),
    [
        (json.dumps(TEXT, ensure_ascii=False), "👋".encode()[:2]),
        (json.dumps(TEXT), b"\\ud83d"),
        (json.dumps(TEXT), b"\\ud83d\\ud"),
    ],
    ids=["UTF-8 character", "surrogate pair", "escape"],
)
def test_a_character_split_across_two_reads_arrives_whole(
    relay: RelayCall, fmt: str, api: str, text_json: str, cut_behind: bytes
) -> None:
    sent = STREAMS[api](text_json)
    cut = sent.index(cut_behind) + len(cut_behind)
    reply = Reply([sent[:cut], 0.03, sent[cut:]])
    got = relay(reply, fmt=fmt, dialect=DIALECTS[api], usage_wanted=True)
    assert (got.status, got.content, text_of(got, fmt, api)) == (200, TEXT, TEXT)
    if fmt.endswith("sse"):
        assert got.data == sent


@pytest.mark.parametrize(("fmt", "api"), FORMATS)
def test_a_line_end_split_across_two_reads_is_one_line_end(relay: RelayCall, fmt: str, api: str) -> None:
    sent = STREAMS[api](json.dumps(TEXT)).replace(b"\n", b"\r\n")
    # After a CR in the middle of an event, and after the CR that ends an event.
    first, second = sent.index(b"\r\ndata: ") if api == "responses" else 0, sent.index(b"\r\n\r\n") + 3
    pieces: list[Any] = [sent[: first + 1], 0.03, sent[first + 1 : second], 0.03, sent[second:]]
    got = relay(Reply(pieces), fmt=fmt, dialect=DIALECTS[api], usage_wanted=True)
    assert (got.status, got.content, text_of(got, fmt, api)) == (200, TEXT, TEXT)
    if fmt.endswith("sse"):
        assert got.data == sent


@pytest.mark.parametrize(("fmt", "api"), [("sse", "chat"), ("responses-sse", "responses")])
def test_an_error_after_half_a_line_end_is_an_event_of_its_own(relay: RelayCall, fmt: str, api: str) -> None:
    sent = STREAMS[api](json.dumps(TEXT)).replace(b"\n", b"\r\n")
    cut = sent.index(b"\r\n\r\n") + 3  # the first event has ended, but its last LF is missing
    got = relay(Reply([sent[:cut]], ends="cut"), fmt=fmt, dialect=DIALECTS[api])
    assert got.data.startswith(sent[:cut])
    assert b"upstream_interrupted" in got.data.rsplit(b"data: ", 1)[1]


# -- a document in place of a stream, and a stream in place of a document ------------------------------------


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply([event("Par")]), 502, "upstream_interrupted"),
        (Reply([event("Par")], ends="cut"), 502, "upstream_interrupted"),
        (Reply([event("Par"), event(error={"message": "m", "code": 429}), DONE]), 429, "429"),
    ],
)
def test_an_unrequested_stream_that_breaks_has_a_true_status(
    relay: RelayCall, reply: Reply, status: int, code: str
) -> None:
    got = relay(reply, fmt="json")
    assert (got.status, got.error["code"]) == (status, code)
    assert got.content == "Par"


def test_an_unrequested_stream_that_falls_silent_ends_before_the_deadline(relay: RelayCall) -> None:
    got = relay(Reply([event("Par")], ends="silent"), fmt="json", idle_timeout_s=0.3)
    assert (got.status, got.error["code"]) == (502, "upstream_interrupted")


def test_a_response_in_one_piece_is_streamed_as_events(relay: RelayCall) -> None:
    document = json.loads(BASIC_RESPONSE.body.decode().split("\n\n")[10].split("data: ")[1])["response"]
    got = relay(Reply.json(document), fmt="responses-sse", dialect=responses_dialect())
    names = [line.removeprefix(b"event: ") for line in got.data.split(b"\n") if line.startswith(b"event: ")]
    assert (names[0], names[-1]) == (b"response.created", b"response.completed")
    assert got.content == "Hi there 👋"
    assert got.transcript["outcome"] == "completed"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_response_without_streaming_is_passed_on_with_its_own_status(
    relay: RelayCall, status: str
) -> None:
    error = {"code": "server_error", "message": "no"} if status == "failed" else None
    document: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "status": status,
        "error": error,
        "output": [],
    }
    got = relay(Reply.json(document), fmt="json", dialect=responses_dialect())
    assert (got.status, json.loads(got.data)) == (200, document)
    assert got.transcript["outcome"] == "failed"
    assert len(got.transcript["response"]["error"]["message"]) > 1


@pytest.mark.parametrize(("fmt", "api"), [("sse", "chat"), ("responses-sse", "responses")])
def test_a_document_that_becomes_events_becomes_strict_json(relay: RelayCall, fmt: str, api: str) -> None:
    body = json.dumps(completion("Hi", logprob=float("-inf")))
    if api == "responses":
        body = '{"object":"response","status":"completed","output":[],"logprob":-Infinity}'
    got = relay(Reply.json(body.encode()), fmt=fmt, dialect=DIALECTS[api])
    assert got.transcript["outcome"] == "completed"
    assert b"Infinity" not in got.data


def test_a_failed_response_in_another_encoding_of_json_is_passed_on_unchanged(relay: RelayCall) -> None:
    document = {"object": "response", "status": "failed", "error": {"message": "nö"}, "output": []}
    body = json.dumps(document, ensure_ascii=False).encode("utf-8-sig")
    got = relay(Reply.json(body), fmt="json", dialect=responses_dialect())
    assert (got.status, got.data) == (200, body)


def test_a_response_document_without_a_status_is_complete(relay: RelayCall) -> None:
    document: dict[str, Any] = {"object": "response", "output": []}
    got = relay(Reply.json(document), fmt="json", dialect=responses_dialect())
    assert (got.status, got.transcript["outcome"]) == (200, "completed")


@pytest.mark.parametrize(("fmt", "api"), [("sse", "chat"), ("responses-sse", "responses")])
def test_a_document_nested_too_deeply_for_events_is_502(
    relay: RelayCall, monkeypatch: pytest.MonkeyPatch, fmt: str, api: str
) -> None:
    document: dict[str, Any] = {"choices": []} if api == "chat" else {"output": []}

    def too_deep(_: object) -> bytes:
        raise RecursionError

    dialect = DIALECTS[api]._replace(document_stream=too_deep)
    got = relay(Reply.json(document), fmt=fmt, dialect=dialect)
    assert (got.status, got.error["code"]) == (502, "not_event_stream")


def test_an_assembled_document_is_strict_json(relay: RelayCall) -> None:
    stream = BASIC_RESPONSE.body.replace(b'"total_tokens":15', b'"total_tokens":15,"logprob":-Infinity')
    got = relay(Reply([stream]), fmt="json", dialect=responses_dialect())
    assert b"Infinity" not in got.data
    assert json.loads(got.data)["usage"]["logprob"] is None


def test_a_byte_order_mark_after_a_comment_is_removed(relay: RelayCall) -> None:
    pieces: list[Any] = ["".encode("utf-8-sig"), *answer("Hi")]
    got = relay(Reply(pieces, head_after=0.4), fmt="sse", keep_alive_s=0.1, usage_wanted=True)
    assert got.data.startswith(b": keep-alive\n\n")
    assert b"\xef\xbb\xbf" not in got.data
    got = relay(Reply(pieces), fmt="sse", usage_wanted=True)
    assert got.data.startswith(b"\xef\xbb\xbfdata: ")


def test_a_late_refusal_reaches_a_ui_message_with_the_upstreams_message(relay: RelayCall) -> None:
    refusal = replace(Reply.json({"error": {"message": "tools[0] is bad"}}, 400), head_after=0.4)
    got = relay(refusal, fmt="ui-message", keep_alive_s=0.1)
    assert Client(parts_in(got.data)).error == "tools[0] is bad"


# -- headers -------------------------------------------------------------------------------------------------

HEADERS = {
    "x-request-id": "req_1",
    "openai-processing-ms": "12",
    "x-ratelimit-remaining-tokens": "9",
    "retry-after": "soon",
}


@pytest.mark.parametrize(("fmt", "api"), [("text", "chat"), ("sse", "chat"), ("ui-message", "chat")])
def test_the_upstreams_headers_that_clients_use_are_passed_on_with_the_relays_id(
    relay: RelayCall, fmt: str, api: str
) -> None:
    headers = {**HEADERS, "content-type": "text/event-stream", "set-cookie": "a=b", "server": "x"}
    got = relay(Reply(answer("Hi"), headers=headers), fmt=fmt, dialect=DIALECTS[api])
    assert HEADERS.items() <= got.headers.items()
    assert got.headers["x-relay-request-id"] == "r-1"
    assert not {"set-cookie", "server"} & set(got.headers)


def test_the_upstreams_headers_are_passed_on_with_an_answer_without_streaming(relay: RelayCall) -> None:
    got = relay(Reply.json(completion("Hi"), 200, **HEADERS), fmt="json")
    assert HEADERS.items() <= got.headers.items()
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [400, 429, 503])
def test_the_upstreams_headers_are_passed_on_with_an_error_except_retry_after(
    relay: RelayCall, status: int
) -> None:
    headers: dict[str, Any] = {**HEADERS, "retry-after": "0"}
    if status != 400:
        headers["retry-after-ms"] = "1"
    got = relay(Reply.json({"error": {"message": "no"}}, status, **headers), fmt="sse", upstream_retries=0)
    assert (got.headers["x-request-id"], got.headers["x-ratelimit-remaining-tokens"]) == ("req_1", "9")
    assert got.headers["retry-after"] == ("0" if status == 400 else "1")
    assert "retry-after-ms" not in got.headers


FAILED = {"retry-after": "1", "x-request-id": "req_0"}
IN_AN_ATTEMPT = Reply([b"\n", 0.8], headers={"content-type": "text/event-stream", **FAILED})
BETWEEN_ATTEMPTS = Reply.json({}, 429, retry_after="1", x_request_id="req_0")


@pytest.mark.parametrize("failed", [IN_AN_ATTEMPT, BETWEEN_ATTEMPTS], ids=["during", "between"])
def test_a_comment_before_an_attempt_succeeds_has_no_headers_of_a_failed_one(
    relay: RelayCall, failed: Reply
) -> None:
    got = relay(failed, Reply(answer("Hi")), fmt="sse", keep_alive_s=0.2, usage_wanted=True)
    assert got.data.startswith(b": keep-alive\n\n")
    assert not {"retry-after", "x-request-id"} & set(got.headers)
