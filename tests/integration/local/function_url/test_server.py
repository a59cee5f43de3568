"""The emulated function URL, with real runtime processes behind it."""

from __future__ import annotations

import concurrent.futures
import os
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


def test_a_small_chunk_behind_another_is_not_held_back_until_that_is_acknowledged(
    emulator: LocalEmulator,
) -> None:
    held_back_ms = 40  # by which Linux delays an acknowledgement, on a connection that has been used before
    path = emulator.controlled().removeprefix(emulator.url)
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    took_ms = []
    with raw_http(emulator.url, request) as connection:
        for _ in range(6):
            function = emulator.invoked()
            started_at = time.monotonic()
            function.do("start", "write one", "write two", "end")
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                got += connection.recv(65536)
            took_ms.append((time.monotonic() - started_at) * 1000)
            connection.sendall(request)
        emulator.invoked().do("start", "end")
    assert min(took_ms[2:]) < held_back_ms / 2


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
    emulator.invoked().do("start 204", "end")
    response = asking.result(WAIT_S)
    assert (response.status_code, response.content) == (204, b"")


def test_an_answer_broken_off_reaches_the_caller_as_a_broken_body(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    asking = threads.submit(_read_all, emulator.controlled())
    emulator.invoked().do("start", "write half an", "abort the upstream was cut")
    received, broken = asking.result(WAIT_S)
    assert (received, broken) == (b"half an", True)
    assert "Upstream.Cut: the upstream was cut" in emulator.line_with("[function url] GET /: Upstream")


def _read_all(url: str) -> tuple[bytes, bool]:
    """The body's bytes, and whether it ended in the middle."""
    received = b""
    with httpx.stream("GET", url, timeout=TIMEOUT, trust_env=False) as response:
        try:
            for part in response.iter_raw():
                received += part
        except httpx.RemoteProtocolError:
            return received, True
    return received, False


def test_an_error_before_the_answer_is_a_502_and_the_process_goes_on(
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


def test_an_error_with_a_very_long_message_is_a_502_and_the_process_goes_on(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, source=LONG_WINDED) as emulator:
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
        assert function.heard() == "written"
        assert caller.recv(1)
    emulator.line_with("the caller closed the connection")
    function.do("write two")
    assert function.heard() == "caller gone"


def test_a_caller_who_leaves_before_the_answer_makes_the_first_writes_fail(
    emulator: LocalEmulator, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    target = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()):
        function = emulator.invoked()
    emulator.line_with("the caller closed the connection")
    function.do("start")
    heard, give_up_at = "written", time.monotonic() + WAIT_S
    while heard == "written" and time.monotonic() < give_up_at:  # until the emulator has seen the start
        function.do("write more")
        heard = function.heard()
    assert heard == "caller gone"

    asking = threads.submit(get, emulator)
    emulator.invoked().do("start", "write well", "end")
    assert asking.result(WAIT_S).text == "well"


def test_a_slow_caller_holds_the_function_back(emulator: LocalEmulator) -> None:
    target = emulator.controlled().removeprefix(emulator.url)
    with raw_http(emulator.url, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as caller:
        function = emulator.invoked()
        function.do("start", *["write-kib 1024"] * 64, "end")
        written = threading.Event()

        def hear_all() -> None:
            for _ in range(64):
                assert function.heard() == "written"
            written.set()

        listening = threading.Thread(target=hear_all)
        listening.start()
        assert not written.wait(2)  # 64 MiB are far more than sockets and emulator hold
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


def test_a_request_larger_than_an_event_may_be_gets_413(emulator: LocalEmulator) -> None:
    for size in (
        MAX_PAYLOAD_BYTES,
        MAX_PAYLOAD_BYTES + 1,
    ):  # at the limit it is the event around it that is over
        response = httpx.post(emulator.url, content=b" " * size, timeout=TIMEOUT, trust_env=False)
        assert response.status_code == 413


def test_beyond_the_limit_requests_wait_for_an_environment_to_come_free(
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


def test_who_waits_too_long_gets_429(tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor) -> None:
    with LocalEmulator(tmp_path, max_environments=1) as emulator:
        asking = threads.submit(get, emulator)
        function = emulator.invoked()
        emulator.pool._max_wait_s = 0.05
        response = get(emulator)
        assert (response.status_code, response.json()["message"]) == (429, "Rate Exceeded.")
        function.do("start", "end")
        assert asking.result(WAIT_S).status_code == 200


def test_an_invocation_over_its_time_is_a_504_and_its_process_is_replaced(
    tmp_path: Path, threads: concurrent.futures.ThreadPoolExecutor
) -> None:
    with LocalEmulator(tmp_path, timeout_s=1.0) as emulator:
        asking = threads.submit(get, emulator)
        first = emulator.invoked()
        assert asking.result(WAIT_S).status_code == 504
        emulator.line_with("Task timed out after 1.00 seconds")

        asking_again = threads.submit(_read_all, emulator.controlled())
        second = emulator.invoked()
        second.do("start", "write half")
        assert asking_again.result(WAIT_S) == (b"half", True)
        assert second.pid != first.pid


def test_a_function_that_cannot_be_loaded_is_a_502_each_time_and_is_not_started_for_ever(
    tmp_path: Path,
) -> None:
    with LocalEmulator(tmp_path, source="import no_such_module") as emulator:
        for _ in range(2):
            response = httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False)
            assert response.status_code == 502
            emulator.line_with("Runtime.ImportModuleError")
        assert emulator.pool._numbers == 2


DIES_IDLE = """
import os, threading
def handle(event, context):
    threading.Timer(0.1, os._exit, [7]).start()
    return {}
"""


def test_a_process_that_dies_idle_is_replaced_after_a_pause_and_at_once_for_a_request(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=DIES_IDLE, restart_pause_s=3600) as emulator:
        for number in (1, 2):
            assert httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False).status_code == 200
            emulator.line_with("ended with exit code 7")
            emulator.wait_until(lambda: not emulator.pool._running)
            assert emulator.pool._numbers == number


def test_a_process_that_dies_idle_is_replaced_without_a_request(tmp_path: Path) -> None:
    with LocalEmulator(tmp_path, source=DIES_IDLE, restart_pause_s=0.01) as emulator:
        assert httpx.get(emulator.url, timeout=TIMEOUT, trust_env=False).status_code == 200
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


def test_a_plain_handlers_answer_object_is_taken_at_its_word(tmp_path: Path) -> None:
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
        assert function.heard() == "written"
    assert asking.result(WAIT_S) == (b"half", True)
    with pytest.raises(ProcessLookupError):
        os.kill(function.pid, 0)
