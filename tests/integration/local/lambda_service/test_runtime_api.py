"""The emulated Runtime API, with the test as the runtime, over a plain socket."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from local.lambda_service.invocation import AnswerMode, Invocation, InvocationError
from local.lambda_service.runtime_api import MAX_BUFFERED_BYTES, EmulatedRuntimeApi

WAIT_S = 30.0
STREAMING = {"Lambda-Runtime-Function-Response-Mode": "streaming"}
API = "/2018-06-01/runtime"
T = TypeVar("T")


class PlayedHost:
    """An environment without a process."""

    function_arn = "arn:aws:lambda:us-east-1:123456789012:function:played"

    def __init__(self) -> None:
        self.current: Invocation | None = None
        self.init_errors: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.work: asyncio.Queue[Invocation] = asyncio.Queue()

    async def next_invocation(self) -> Invocation:
        self.current = None
        self.current = await self.work.get()
        return self.current

    def init_failed(self, error_type: str, message: str) -> None:
        self.init_errors.append((error_type, message))

    def report(self, line: str) -> None:
        self.lines.append(line)


class PlayedApi:
    """The API on its own event loop, and what a runtime and a caller do at its two ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.host = PlayedHost()
        self._api = EmulatedRuntimeApi(self.host)
        self.port = self.run(self._api.start())
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(WAIT_S)

    def close(self) -> None:
        self.connection.close()
        self.run(self._api.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], bytes]:
        self.connection.request(method, API + path, body, headers or {})
        reply = self.connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def take(self, payload: bytes = b"{}") -> tuple[Invocation, dict[str, Any], bytes]:
        """Let a caller ask, and take the invocation with `next`."""

        async def ask() -> Invocation:
            invocation = Invocation(payload, trace_id="Root=1-2-3")
            invocation.begin(60)
            self.host.work.put_nowait(invocation)
            return invocation

        invocation = self.run(ask())
        status, headers, event = self.request("GET", "/invocation/next")
        assert status == 200
        return invocation, headers, event

    def answer(self, invocation: Invocation) -> tuple[AnswerMode, bytes]:
        """What the caller receives. Raises InvocationError."""

        async def read() -> tuple[AnswerMode, bytes]:
            mode = await invocation.mode()
            return mode, b"".join([part async for part in invocation.parts()])

        return self.run(read())

    def stream(self, invocation: Invocation, *pieces: bytes) -> socket.socket:
        """Begin a streamed answer."""
        head = (
            f"POST {API}/invocation/{invocation.request_id}/response HTTP/1.1\r\nHost: localhost\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        )
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        connection.sendall(head.encode() + b"".join(pieces))
        return connection


@pytest.fixture
def api() -> Iterator[PlayedApi]:
    api = PlayedApi()
    yield api
    api.close()


def test_next_returns_the_event_with_the_headers_of_the_invocation(api: PlayedApi) -> None:
    invocation, headers, event = api.take(b'{"hello": "there"}')
    assert event == b'{"hello": "there"}'
    assert headers["lambda-runtime-aws-request-id"] == invocation.request_id
    assert headers["lambda-runtime-invocation-id"] == invocation.invocation_id
    assert int(headers["lambda-runtime-deadline-ms"]) == invocation.deadline_ms
    assert headers["lambda-runtime-invoked-function-arn"] == PlayedHost.function_arn
    assert headers["lambda-runtime-trace-id"] == "Root=1-2-3"


def test_a_buffered_answer_is_accepted_with_202(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    assert api.request("POST", f"/invocation/{invocation.request_id}/response", b'"yes"')[0] == 202
    mode, body = api.answer(invocation)
    assert (mode.streaming, body) == (False, b'"yes"')


def test_a_buffered_answer_over_the_limit_is_413_and_fails_the_invocation(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    too_much = bytes(MAX_BUFFERED_BYTES + 1)
    assert api.request("POST", f"/invocation/{invocation.request_id}/response", too_much)[0] == 413
    with pytest.raises(InvocationError, match="ResponseSizeTooLarge"):
        api.answer(invocation)


@pytest.mark.parametrize(("error_type", "reported"), [("E", "E"), ("", "Unhandled"), (" ", "Unhandled")])
def test_error_trailers_break_off_a_streamed_answer_after_its_last_chunk(
    api: PlayedApi, error_type: str, reported: str
) -> None:
    invocation, _, _ = api.take()
    details = base64.b64encode(json.dumps({"errorType": "E", "errorMessage": "cut"}).encode())
    head = f"Lambda-Runtime-Function-Error-Type: {error_type}\r\nLambda-Runtime-Function-Error-Body: "
    trailers = head.encode() + details
    with api.stream(invocation, b"5\r\nhello\r\n", b"0\r\n", trailers, b"\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")

    async def read() -> bytes:
        parts = invocation.parts()
        assert await anext(parts) == b"hello"
        with pytest.raises(InvocationError, match=f"{reported}: cut"):
            await anext(parts)
        return b"done"

    assert api.run(read()) == b"done"
    api.take()  # the environment keeps serving


def test_a_streamed_answer_whose_connection_breaks_is_truncated(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    api.stream(invocation, b"5\r\nhel").close()
    with pytest.raises(InvocationError, match="TruncatedResponse"):
        api.answer(invocation)


def test_when_the_caller_leaves_the_connection_of_the_answer_is_reset(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    with api.stream(invocation, b"5\r\nhello\r\n") as connection:
        api.run(invocation.mode())
        api.loop.call_soon_threadsafe(invocation.abandon)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize("mode", ["Streaming", "STREAMING", "chunked"])
def test_an_unknown_response_mode_is_400_and_the_answer_can_still_be_sent(api: PlayedApi, mode: str) -> None:
    invocation, _, _ = api.take()
    path = f"/invocation/{invocation.request_id}/response"
    status, _, body = api.request("POST", path, b"{}", {"Lambda-Runtime-Function-Response-Mode": mode})
    assert (status, json.loads(body)["errorType"]) == (400, "InvalidFunctionResponseMode")
    assert api.request("POST", path, b"{}")[0] == 202


def test_a_foreign_request_id_is_400(api: PlayedApi) -> None:
    api.take()
    assert api.request("POST", "/invocation/another/response", b"{}", STREAMING)[0] == 400


def test_a_foreign_invocation_id_is_410(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    headers = {"Lambda-Runtime-Invocation-Id": "another"}
    assert api.request("POST", f"/invocation/{invocation.request_id}/response", b"{}", headers)[0] == 410


def test_answering_twice_or_asking_for_more_before_answering_is_403(api: PlayedApi) -> None:
    invocation, _, _ = api.take()
    assert api.request("GET", "/invocation/next")[0] == 403
    path = f"/invocation/{invocation.request_id}"
    assert api.request("POST", f"{path}/response", b"{}")[0] == 202
    assert api.request("POST", f"{path}/response", b"{}")[0] == 403
    assert api.request("POST", f"{path}/error", b"{}")[0] == 403


def test_an_error_is_accepted_with_202_whatever_its_body(api: PlayedApi) -> None:
    for body, message in ((b'{"errorType": "T", "errorMessage": "m"}', "T: m"), (b"\xff", "Fallback: ")):
        invocation, _, _ = api.take()
        headers = {"Lambda-Runtime-Function-Error-Type": "Fallback"}
        assert api.request("POST", f"/invocation/{invocation.request_id}/error", body, headers)[0] == 202
        with pytest.raises(InvocationError) as failed:
            api.answer(invocation)
        assert str(failed.value) == message


def test_an_init_error_is_passed_to_the_environment(api: PlayedApi) -> None:
    body = b'{"errorType": "Runtime.ImportModuleError", "errorMessage": "no app"}'
    assert api.request("POST", "/init/error", body)[0] == 202
    assert api.host.init_errors == [("Runtime.ImportModuleError", "no app")]


def test_an_unknown_path_is_404(api: PlayedApi) -> None:
    assert api.request("GET", "/restore/next")[0] == 404
