"""Streamed answers on the wire, and what the context tells the handler."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.runtime.recording_runtime_api import Recorded, RecordingRuntimeApi, Reply, runtime


@pytest.fixture(scope="module")
def api() -> Iterator[RecordingRuntimeApi]:
    with runtime() as (api, _):
        yield api


def test_an_answer_is_posted_with_the_headers_of_streaming_mode(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "hello"}, headers={"Lambda-Runtime-Aws-Request-Id": "r-1"})
    assert request.line == "POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1"
    expected = {
        "lambda-runtime-function-response-mode": "streaming",
        "transfer-encoding": "chunked",
        "content-type": "application/vnd.awslambda.http-integration-response",
        "trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    }
    assert expected.items() <= request.headers.items()
    assert "content-length" not in request.headers


def test_prelude_delimiter_and_each_write_are_separate_chunks(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "hello"})
    assert b"\0" not in request.chunks[0]
    assert request.prelude == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain"},
        "cookies": ["a=b; Secure", "c=d"],
    }
    assert request.chunks[1] == bytes(8)
    assert request.pieces == [b"hello ", b"world"]
    assert request.ended
    assert request.trailers == {}


def test_a_handler_that_returns_without_a_start_answers_200_with_a_body(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "empty"})
    assert request.chunks == [b'{"statusCode": 200, "headers": {}, "cookies": []}', bytes(8), b"\n"]
    assert request.ended


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_is_an_error_of_the_handler(api: RecordingRuntimeApi, status: int) -> None:
    request = api.invoke({"do": "only status", "status": status})
    assert request.path.endswith("/error")
    assert request.error_body["errorMessage"].startswith(f"status {status} has no body")


def test_on_lambda_no_status_is_streamed_without_a_body() -> None:
    with runtime(environ={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}) as (api, process):
        for status, sent in {200: 200, 204: 200, 205: 200, 304: 412, 503: 503}.items():
            request = api.invoke({"do": "only status", "status": status})
            assert request.prelude["statusCode"] == sent
            assert (request.pieces, request.ended, request.trailers) == ([b"\n"], True, {})
        api.invoke({"do": "only status", "status": 204})
    assert process.log.count("status 204 cannot be streamed") == 1


def test_an_answer_that_is_aborted_before_its_first_byte_has_a_body(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "only status", "status": 200, "abort": True})
    assert (request.pieces, request.ended) == ([b"\n"], True)
    assert request.error_body["errorType"] == "Upstream.Interrupted"


def test_a_deadline_in_the_gap_ends_the_answer(api: RecordingRuntimeApi) -> None:
    request = api.invoke({"do": "hello", "gap_s": 600.0, "limit_s": 0.1})
    assert (request.pieces, request.ended) == ([b"hello ", b"world"], True)


def test_after_a_caller_has_left_in_the_gap_the_next_invocation_is_served(api: RecordingRuntimeApi) -> None:
    left = api.invoke({"do": "hello", "gap_s": 0.1}, reply=Reply(after_chunks=2, reset=True))
    assert (len(left.chunks), left.ended) == (2, False)
    assert api.invoke({"do": "hello"}).pieces == [b"hello ", b"world"]


def test_a_write_arrives_while_the_handler_still_runs(api: RecordingRuntimeApi) -> None:
    invocation = api.submit({"do": "watched"})
    assert not invocation.after_chunks(
        3
    ).ended  # the first comment is there, four more and the end are to come
    assert invocation.result().pieces == [b": still here\n"] * 5 + [b"end"]


@pytest.mark.parametrize("action", ["hello", "raise before", "raise after"])
def test_the_invocation_id_is_echoed_if_there_is_one(api: RecordingRuntimeApi, action: str) -> None:
    header = "lambda-runtime-invocation-id"
    assert (
        api.invoke({"do": action}, headers={"Lambda-Runtime-Invocation-Id": "i-7"}).headers[header] == "i-7"
    )
    assert header not in api.invoke({"do": action}).headers


def test_the_context_has_the_values_of_the_headers_of_next(api: RecordingRuntimeApi) -> None:
    client = {
        "custom": {"a": 1},
        "client": {"app_title": "app"},
        "w3c": {"traceparent": "00-1", "other": "x"},
    }
    told = api.state(
        deadline_s=20,
        headers={
            "Lambda-Runtime-Aws-Request-Id": "r-2",
            "Lambda-Runtime-Client-Context": json.dumps(client),
            "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "someone"}',
            "Lambda-Runtime-Aws-Tenant-Id": "tenant",
        },
    )
    assert told["request_id"] == "r-2"
    assert told["function_arn"].startswith("arn:aws:lambda:")
    assert (told["identity"], told["tenant_id"], told["custom"]) == ("someone", "tenant", {"a": 1})
    assert (told["app_title"], told["w3c"]) == ("app", {"traceparent": "00-1"})
    assert 10_000 < told["remaining_ms"] <= 20_000


def test_the_trace_id_is_exported_for_its_invocation_only(api: RecordingRuntimeApi) -> None:
    assert api.state(headers={"Lambda-Runtime-Trace-Id": "Root=1-abc"})["trace_id"] == "Root=1-abc"
    assert api.state(headers={"Lambda-Runtime-Trace-Id": None})["trace_id"] is None


def test_the_first_answer_imports_no_slow_module(api: RecordingRuntimeApi) -> None:
    heavy = {"asyncio", "boto3", "httpx", "logging.config", "multiprocessing", "concurrent.futures"}
    assert heavy.isdisjoint(api.state()["modules"])


def test_next_and_answers_share_one_connection(api: RecordingRuntimeApi) -> None:
    connections = {api.invoke({"do": "hello"}).connection for _ in range(3)}
    assert len(connections) == 1


def test_small_writes_are_sent_at_once(api: RecordingRuntimeApi) -> None:
    assert api.state()["no_delay"] != 0


@pytest.mark.parametrize("event", [b"{", b"\xff", b"[" * 100_000], ids=["cut", "not UTF-8", "too deep"])
def test_an_event_that_is_not_json_is_an_unmarshal_error(api: RecordingRuntimeApi, event: bytes) -> None:
    request = api.invoke(event)
    assert request.path.endswith("/error")
    assert request.headers["lambda-runtime-function-error-type"] == "Runtime.UnmarshalError"
    assert request.error_body["errorMessage"].startswith("Unable to unmarshal input: ")


@pytest.mark.parametrize("context", ["{", "[" * 50_000], ids=["cut", "too deep"])
def test_a_client_context_that_is_not_json_is_an_error(api: RecordingRuntimeApi, context: str) -> None:
    request = api.invoke({"do": "hello"}, headers={"Lambda-Runtime-Client-Context": context})
    assert request.error_body["errorType"] == "Runtime.LambdaContextUnmarshalError"


@pytest.fixture(scope="module")
def plain_api() -> Iterator[RecordingRuntimeApi]:
    with runtime("stream_handlers.plain") as (api, _):
        yield api


def answer(request: Recorded) -> tuple[str, str, bytes]:
    return request.path.rsplit("/", 1)[1], request.headers["content-type"], request.body


def test_the_answer_of_a_plain_handler_is_sent_whole(plain_api: RecordingRuntimeApi) -> None:
    request = plain_api.invoke({"a": 1}, headers={"Lambda-Runtime-Aws-Request-Id": "r-3"})
    expected = '{"event": {"a": 1}, "request_id": "r-3", "text": "ü"}'.encode()
    assert answer(request) == ("response", "application/json", expected)
    assert "lambda-runtime-function-response-mode" not in request.headers


@pytest.mark.parametrize("event", ["bytes", "raise"])
def test_a_plain_handlers_answer_echoes_the_invocation_id(plain_api: RecordingRuntimeApi, event: str) -> None:
    request = plain_api.invoke(event, headers={"Lambda-Runtime-Invocation-Id": "i-7"})
    assert request.headers["lambda-runtime-invocation-id"] == "i-7"


def test_a_plain_handler_may_return_bytes_and_decimals(plain_api: RecordingRuntimeApi) -> None:
    assert answer(plain_api.invoke("bytes")) == ("response", "application/unknown", b"\x00\x01")
    assert plain_api.invoke("decimal").body == b'{"whole": 3, "part": 0.5}'


@pytest.mark.parametrize(
    ("event", "error_type", "message"),
    [
        ("raise", "ValueError", "not today"),
        (
            "unmarshallable",
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type object is not JSON serializable",
        ),
    ],
)
def test_a_failure_of_a_plain_handler_is_an_error(
    plain_api: RecordingRuntimeApi, event: str, error_type: str, message: str
) -> None:
    request = plain_api.invoke(event)
    assert request.path.endswith("/error")
    assert (request.error_body["errorType"], request.error_body["errorMessage"]) == (error_type, message)
