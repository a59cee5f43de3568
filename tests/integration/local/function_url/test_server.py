"""The emulated function URL, with real runtime processes behind it."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.lambda_service.invocation import MAX_PAYLOAD_BYTES
from tests.support.runtime.local_emulator import WAIT_S, LocalEmulator, raw_http

TIMEOUT = httpx.Timeout(WAIT_S)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    with LocalEmulator(tmp_path_factory.mktemp("function")) as emulator:
        yield emulator


@pytest.fixture
def threads() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        yield threads


def get(emulator: LocalEmulator, path: str = "/") -> httpx.Response:
    return httpx.get(emulator.controlled(path), timeout=TIMEOUT, trust_env=False)


def test_each_chunk_reaches_the_caller_before_the_next_is_written(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    opening = threads.submit(_open_stream, emulator.controlled())
    function = emulator.invoked()
    function.do("start")
    client, response = opening.result(WAIT_S)
    parts = response.iter_raw()
    for word in ("one", "two", "three"):
        function.do(f"write {word}")
        assert next(parts) == word.encode()
    function.do("end")
    assert list(parts) == []
    client.close()


def test_a_small_chunk_is_not_held_back_until_the_previous_one_is_acknowledged(
    emulator: LocalEmulator,
) -> None:
    # Nagle's algorithm would hold it back for 40 ms, by which Linux delays acknowledgements.
    path = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()) as caller:
        function = emulator.invoked()
        assert emulator.accepted_from(caller).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        function.do("start", "end")


def _open_stream(url: str) -> tuple[httpx.Client, httpx.Response]:
    client = httpx.Client(timeout=TIMEOUT, trust_env=False)
    return client, client.send(client.build_request("GET", url), stream=True)


def test_status_headers_and_cookies_are_the_functions_own(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(get, emulator)
    emulator.invoked().do("start 418", "write short", "end")
    response = asking.result(WAIT_S)
    assert (response.status_code, response.text) == (418, "short")
    assert response.headers["x-one"] == "1"
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert len(response.headers.get_list("date")) == 1
    assert "server" not in response.headers


def test_an_answer_without_a_body_ends_cleanly(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(get, emulator)
    emulator.invoked().do("start 200", "end")
    response = asking.result(WAIT_S)
    assert (response.status_code, response.content) == (200, b"\n")  # the runtime streams no empty body


def test_an_aborted_answer_reaches_the_caller_as_a_broken_body(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(_read_all, emulator.controlled())
    emulator.invoked().do("start", "write half an", "abort the upstream was cut")
    received, broken = asking.result(WAIT_S)
    assert (received, broken) == (b"half an", True)
    assert "Upstream.Cut: the upstream was cut" in emulator.line_with("[function url] GET /: Upstream")


def _read_all(url: str) -> tuple[bytes, bool]:
    """The bytes of the body, and whether it broke off."""
    received = b""
    with httpx.stream("GET", url, timeout=TIMEOUT, trust_env=False) as response:
        try:
            for part in response.iter_raw():
                received += part
        except httpx.RemoteProtocolError:
            return received, True
    return received, False


def test_an_error_before_the_answer_is_a_502_and_the_process_keeps_serving(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, max_environments=1) as emulator:
        asking = threads.submit(get, emulator)
        first = emulator.invoked()
        first.do("raise no such luck")
        response = asking.result(WAIT_S)
        assert (response.status_code, response.text) == (502, "Internal Server Error")
        assert "no such luck" not in str(response.headers)

        asking = threads.submit(get, emulator)
        second = emulator.invoked()
        second.do("start", "write well", "end")
        assert (asking.result(WAIT_S).text, second.pid) == ("well", first.pid)


def test_an_error_with_a_very_long_message_is_a_502_and_the_process_keeps_serving(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, max_environments=1, source=LONG_WINDED) as emulator:
        assert httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False).status_code == 502
        assert emulator.line_with("[function url]").endswith("ValueError: " + "long" * 250_000)
        assert httpx.get(f"{emulator.url}/fine", timeout=TIMEOUT, trust_env=False).json() == "fine"
        assert emulator.pool._numbers == 1


LONG_WINDED = """
def handle(event, context):
    if event["rawPath"] == "/fine":
        return "fine"
    raise ValueError("long" * 250_000)
"""


def test_a_process_that_dies_is_a_502_and_is_replaced(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(get, emulator)
    first = emulator.invoked()
    first.do("die")
    assert asking.result(WAIT_S).status_code == 502

    asking = threads.submit(get, emulator)
    second = emulator.invoked()
    second.do("start", "write well", "end")
    assert asking.result(WAIT_S).text == "well"
    assert second.pid != first.pid


def test_a_process_that_dies_in_mid_answer_breaks_the_body(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(_read_all, emulator.controlled())
    emulator.invoked().do("start", "write half", "die")
    assert asking.result(WAIT_S) == (b"half", True)


def test_a_caller_who_leaves_makes_the_functions_write_fail(emulator: LocalEmulator) -> None:
    target = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as caller:
        function = emulator.invoked()
        function.do("start", "write one")
        assert function.received() == "written"
        assert caller.recv(1)
    emulator.line_with("the caller closed the connection")
    function.do("write two")
    assert function.received() == "caller gone"


def test_a_caller_who_leaves_before_the_answer_makes_one_of_the_first_writes_fail(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    target = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
        function = emulator.invoked()
    emulator.line_with("the caller closed the connection")
    function.do("start")
    received, give_up_at = "written", time.monotonic() + WAIT_S
    while received == "written" and time.monotonic() < give_up_at:  # until the emulator has read the start
        function.do("write more")
        received = function.received()
    assert received == "caller gone"

    asking = threads.submit(get, emulator)
    emulator.invoked().do("start", "write well", "end")
    assert asking.result(WAIT_S).text == "well"


def test_a_slow_caller_holds_the_function_back(emulator: LocalEmulator) -> None:
    target = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as caller:
        function = emulator.invoked()
        function.do("start", *["write-kib 1024"] * 64, "end")
        emulator.wait_until(emulator.is_holding_back)
        written = threading.Event()

        def hear_all() -> None:
            for _ in range(64):
                assert function.received() == "written"
            written.set()

        listening = threading.Thread(target=hear_all)
        listening.start()
        assert not written.wait(2)  # 64 MiB is far more than the sockets and the emulator hold
        received = 0
        while received < 64 * 1024 * 1024:
            received += len(caller.recv(1024 * 1024))
        listening.join(WAIT_S)
        assert written.is_set()


def test_five_requests_at_once_are_served_by_five_processes(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = [threads.submit(get, emulator) for _ in range(5)]
    functions = [emulator.invoked() for _ in range(5)]
    for function in functions:
        function.do("start", f"write {function.pid}", "end")
    answers = {future.result(WAIT_S).text for future in asking}
    assert answers == {str(function.pid) for function in functions}
    assert len(answers) == 5


def test_a_request_too_large_for_an_event_gets_413(emulator: LocalEmulator) -> None:
    # A body of exactly the limit is too large as well: the event around it exceeds the limit.
    for size in (MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1):
        response = httpx.post(emulator.url, content=b" " * size, timeout=TIMEOUT, trust_env=False)
        assert response.status_code == 413


def test_requests_over_the_limit_wait_for_a_free_environment(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, max_environments=1) as emulator:
        asking = [threads.submit(get, emulator) for _ in range(2)]
        first = emulator.invoked()
        assert not any(future.done() for future in asking)
        first.do("start", "write one", "end")
        second = emulator.invoked()
        second.do("start", "write two", "end")
        assert {future.result(WAIT_S).text for future in asking} == {"one", "two"}
        assert first.pid == second.pid


def test_a_request_that_waits_too_long_gets_429(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, max_environments=1) as emulator:
        asking = threads.submit(get, emulator)
        function = emulator.invoked()
        emulator.pool._max_wait_s = 0.05
        response = get(emulator)
        assert (response.status_code, response.json()["message"]) == (429, "Rate Exceeded.")
        function.do("start", "end")
        assert asking.result(WAIT_S).status_code == 200


def test_an_invocation_that_exceeds_its_timeout_is_a_504_and_its_process_is_replaced(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, timeout_s=1.0) as emulator:
        asking = threads.submit(get, emulator)
        first = emulator.invoked()
        assert asking.result(WAIT_S).status_code == 504
        emulator.line_with("Task timed out after 1.00 seconds")

        asking = threads.submit(get, emulator)
        assert emulator.invoked().pid != first.pid
        assert asking.result(WAIT_S).status_code == 504


def test_a_timeout_in_the_middle_of_an_answer_breaks_the_body(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path) as emulator:
        opening = threads.submit(_open_stream, emulator.controlled())
        emulator.invoked().do("start", "write half")
        client, response = opening.result(WAIT_S)
        parts = response.iter_raw()
        assert next(parts) == b"half"
        emulator.time_out()
        with pytest.raises(httpx.RemoteProtocolError):
            next(parts)
        client.close()
        emulator.line_with(f"Task timed out after {WAIT_S:.2f} seconds")


def test_a_function_that_cannot_be_loaded_is_a_502_and_is_started_once_for_each_request(
    tmp_path: Path,
) -> None:
    with LocalEmulator(tmp_path, source="import no_such_module") as emulator:
        for _ in range(2):
            response = httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False)
            assert response.status_code == 502
            emulator.line_with("Runtime.ImportModuleError")
        assert emulator.pool._numbers == 2


ANSWERS_PID = """
import os
def handle(event, context):
    return os.getpid()
"""


def kill_idle(emulator: LocalEmulator) -> None:
    """Get an answer, and kill the process that gave it as soon as it waits for the next request."""
    pid = httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False).json()
    emulator.wait_until(lambda: len(emulator.pool._idle) == 1)
    os.kill(pid, signal.SIGKILL)


def test_a_process_that_dies_idle_is_replaced_after_a_pause_and_at_once_for_a_request(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=ANSWERS_PID, restart_pause_s=3600) as emulator:
        for number in (1, 2):
            kill_idle(emulator)
            emulator.line_with("ended with exit code -9")
            emulator.wait_until(lambda: not emulator.pool._running)
            assert emulator.pool._numbers == number


def test_a_process_that_dies_idle_is_replaced_without_a_request(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=ANSWERS_PID, restart_pause_s=0.01) as emulator:
        kill_idle(emulator)
        emulator.wait_until(lambda: emulator.pool._numbers == 2)


def test_a_program_that_cannot_be_run_is_a_502(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, command=(str(tmp_path / "missing"),)) as emulator:
        assert httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False).status_code == 502


PLAIN = """
import json
def handle(event, context):
    if event.get("rawPath") == "/object":
        return {"no status": "here"}
    return {"statusCode": 201, "headers": {"x-got": event["body"]}, "body": "AAE=", "isBase64Encoded": True}
"""


def test_the_answer_object_of_a_plain_handler_sets_status_headers_and_body(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=PLAIN) as emulator:
        json_type = {"content-type": "application/json"}
        response = httpx.post(emulator.url, content="{}", headers=json_type, timeout=TIMEOUT, trust_env=False)
        assert (response.status_code, response.headers["x-got"], response.content) == (201, "{}", b"\x00\x01")
        other = httpx.get(f"{emulator.url}/object", timeout=TIMEOUT, trust_env=False)
        assert (other.status_code, other.json()) == (200, {"no status": "here"})


def test_no_process_is_left_even_when_functions_ignore_sigterm(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path) as emulator:
        asking = threads.submit(_read_all, emulator.controlled())
        function = emulator.invoked()
        function.do("start", "write half")
        assert function.received() == "written"
    assert asking.result(WAIT_S) == (b"half", True)
    with pytest.raises(ProcessLookupError):
        os.kill(function.pid, 0)
