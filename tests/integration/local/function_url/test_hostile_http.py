"""Malformed and hostile requests and answers at the emulated function URL, byte for byte."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from local.lambda_service.invocation import MAX_PAYLOAD_BYTES
from tests.support.runtime.local_emulator import LocalEmulator, raw_http

# Answers with the base64-encoded JSON of the x-answer header, or with the event if there is none.
HANDLER = """
import base64, json
def handle(event, context):
    response = event["headers"].get("x-answer")
    return json.loads(base64.b64decode(response)) if response else {"event": event}
"""
# A runtime that posts the bytes of the x-answer header unchecked, streamed or not.
RAW_RUNTIME = """
import base64, http.client, json, os

while True:
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    invocation = api.getresponse()
    event = json.loads(invocation.read())
    headers = {}
    if event["rawPath"] == "/streamed":
        headers = {
            "Lambda-Runtime-Function-Response-Mode": "streaming",
            "Content-Type": "application/vnd.awslambda.http-integration-response",
        }
    request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
    path = "/2018-06-01/runtime/invocation/" + request_id + "/response"
    try:
        api.request("POST", path, base64.b64decode(event["headers"]["x-answer"]), headers)
        api.getresponse().read()
    except OSError:
        pass
    api.close()
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    with LocalEmulator(tmp_path_factory.mktemp("function"), source=HANDLER) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def raw_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    folder = tmp_path_factory.mktemp("raw_runtime")
    command = (sys.executable, str(folder / "function_under_test.py"))
    with LocalEmulator(folder, source=RAW_RUNTIME, command=command) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def no_fault_of_the_servers(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is received, uvicorn reports no exception of the app."""
    yield
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def exchange(emulator: LocalEmulator, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, header lines in lower case, and body of everything received until the connection ends."""
    with raw_http(emulator.url, request) as connection:
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), received[:200]
    return int(head.split()[1]), head.lower() + b"\r\n", body


def sent(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, b"Host: localhost", b"Connection: close", *headers, b"", body])


def event_of(emulator: LocalEmulator, line: bytes, *headers: bytes) -> dict[str, Any]:
    status, _, body = exchange(emulator, sent(line, *headers))
    assert status == 200
    # One chunk size line before, and the end after it.
    event: dict[str, Any] = json.loads(body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0])["event"]
    return event


def answered(emulator: LocalEmulator, answer: object) -> tuple[int, bytes, bytes]:
    response = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    return exchange(emulator, sent(b"GET / HTTP/1.1", b"x-answer: " + base64.b64encode(response)))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//v1///chat/",
        "/a/../../etc/passwd",
        "/%2e%2E/%2f/%5c",
        "/nul%00/%0d%0aset-cookie:x",
        "/%",
        "/%zz%fF",
        "/;a=b,c@d:e!$&'()*+",
        "/" + "a" * 12_000,
    ],
)
def test_a_path_reaches_the_function_as_received(emulator: LocalEmulator, path: str) -> None:
    event = event_of(emulator, f"GET {path}?q=%00%ff HTTP/1.1".encode())
    assert (event["rawPath"], event["rawQueryString"]) == (path, "q=%00%ff")
    assert event["requestContext"]["http"]["path"] == path


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://elsewhere.example/a/../b", "/a/../b"),
        ("HTTPS://elsewhere.example:1", "/"),
        ("http://elsewhere.example?q=1", "/"),
    ],
)
def test_only_the_path_of_an_absolute_request_target_counts(
    emulator: LocalEmulator, target: str, path: str
) -> None:
    assert event_of(emulator, f"GET {target} HTTP/1.1".encode())["rawPath"] == path


def test_repeated_headers_are_joined_and_bytes_are_latin_1(emulator: LocalEmulator) -> None:
    headers = (b"X-A: 1", b"x-a:2", b"X-a: \xc3\xbc\xff", b"x-empty:", b"x-folded: a\r\n b", b"Cookie: a=1")
    event = event_of(emulator, b"GET / HTTP/1.1", *headers, b"cookie: b=2")
    assert event["headers"]["x-a"] == "1,2,Ã¼ÿ"
    assert (event["headers"]["x-empty"], event["headers"]["x-folded"]) == ("", "a b")
    assert event["cookies"] == ["a=1", "b=2"]


def test_a_body_that_never_ends_is_refused_at_the_limit(emulator: LocalEmulator) -> None:
    chunk = b"%x\r\n%s\r\n" % (MAX_PAYLOAD_BYTES + 1, b" " * (MAX_PAYLOAD_BYTES + 1))
    with raw_http(
        emulator.url, sent(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=chunk)
    ) as connection:
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_path_is_printed_as_received(emulator: LocalEmulator) -> None:
    answer = base64.b64encode(b'{"statusCode": "no"}')
    assert exchange(emulator, sent(b"GET /p%1b%5b2J HTTP/1.1", b"x-answer: " + answer))[0] == 502
    # Decoded, this path would clear the screen.
    assert "[function url] GET /p%1b%5b2J: " in emulator.line_with("[function url]")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nset-cookie: evil=1"},
        {"x-a": "b\nset-cookie: evil=1"},
        {"x-a": "b\rset-cookie: evil=1"},
        {"x-a": "b\x00"},
        {"x-a": "b\x0bc"},
        {"x-a": "b\x1b[2Jc"},
        {"x-a": "b\x7fc"},
        {"x-a: b\r\nset-cookie": "evil=1"},
        {"x a": "b"},
        {"ü": "b"},
        {"": "b"},
    ],
)
def test_a_header_that_would_split_the_answer_is_a_502(
    emulator: LocalEmulator, headers: dict[str, str]
) -> None:
    status, head, body = answered(emulator, {"statusCode": 200, "headers": headers, "body": "x"})
    assert status == 502
    assert b"evil" not in head + body


def test_cookies_cannot_split_the_answer_either(emulator: LocalEmulator) -> None:
    status, head, _ = answered(emulator, {"statusCode": 200, "cookies": ["a=b\r\nx-evil: 1"]})
    assert (status, b"evil" in head) == (502, False)


def test_characters_that_a_header_cannot_hold_become_question_marks(emulator: LocalEmulator) -> None:
    # U+010D and U+010A become CR and LF if characters are truncated to bytes.
    headers = {"x-a": "b\u010d\u010aset-cookie: evil=1\u2028\U0001f600ü"}
    status, head, _ = answered(emulator, {"statusCode": 200, "headers": headers})
    assert status == 200
    assert b"x-a: b??set-cookie: evil=1??\xfc\r\n" in head
    assert b"\r\nset-cookie" not in head


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "1"},
        {"Content-Length": "100"},
        {"content-length": "1", "Content-Length": "3"},
        {"Transfer-Encoding": "identity", "content-length": "0"},
    ],
)
def test_framing_headers_of_the_function_cannot_truncate_or_split_the_body(
    emulator: LocalEmulator, headers: dict[str, str]
) -> None:
    status, head, body = answered(emulator, {"statusCode": 200, "headers": headers, "body": "xyz"})
    assert (status, body) == (200, b"3\r\nxyz\r\n0\r\n\r\n")
    assert b"content-length" not in head


def posted(emulator: LocalEmulator, path: str, answer: bytes) -> tuple[int, bytes, bytes]:
    response = b"x-answer: " + base64.b64encode(answer)
    return exchange(emulator, sent(f"GET {path} HTTP/1.1".encode(), response))


@pytest.mark.parametrize(
    "prelude",
    [
        b'{"headers": {"x-a": "b\\r\\nset-cookie: evil=1"}}',
        b'{"headers": {"x-a": "b\\u000bevil"}}',
        b'{"headers": {"x-a\\r\\nevil": "b"}}',
        b'{"headers": {"x-a": ["evil"]}}',
        b'{"cookies": ["a=b\\nevil: 1"]}',
        b'{"statusCode": 1e400, "evil": 1}',
        b'{"statusCode": "200\\r\\nevil: 1"}',
        b"[" * 8000,
        b"\xff\xfe",
        b"HTTP/1.1 200 OK\r\nevil: 1\r\n\r\n",
        b" " * 9000 + b"{}",
    ],
)
def test_an_invalid_prelude_is_a_complete_502(raw_runtime: LocalEmulator, prelude: bytes) -> None:
    status, head, body = posted(raw_runtime, "/streamed", prelude + bytes(8) + b"evil")
    assert status == 502
    assert b"evil" not in head + body
    assert posted(raw_runtime, "/streamed", b"{}" + bytes(8) + b"well")[2] == b"4\r\nwell\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b'{"statusCode": 1e400}',
        b'{"statusCode": 99}',
        b'{"statusCode": 200, "isBase64Encoded": true, "body": "a"}',
        b'{"statusCode": 200, "body": "\\ud800"}',
        b'{"statusCode": 200, "headers": {"x-a": "\\u0000"}}',
        b'{"statusCode": 200, "headers": {"x-a": ' + b"[" * 8000,
        b"not json",
    ],
)
def test_an_invalid_answer_object_is_a_502(raw_runtime: LocalEmulator, answer: bytes) -> None:
    assert posted(raw_runtime, "/", answer)[0] == 502
    assert posted(raw_runtime, "/", b'{"statusCode": 201}')[0] == 201
