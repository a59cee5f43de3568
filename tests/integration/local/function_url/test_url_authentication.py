"""AuthType AWS_IAM at the emulated function URL: which callers it admits, and what the function learns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from local.function_url.cors import allows, with_cors
from local.function_url.server import FunctionUrl
from local.function_url.signature import signed_caller
from local.processes.http_service import HttpService, listening_socket
from tests.support.aws.signed_requests import presigned_url, signed_headers
from tests.support.runtime.local_emulator import WAIT_S, LocalEmulator

ECHO = """
def handle(event, context):
    return {"event": event}
"""
PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEmulator]:
    with LocalEmulator(tmp_path_factory.mktemp("function"), source=ECHO) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def url(emulator: LocalEmulator) -> Iterator[str]:
    """The same function behind a URL that requires signatures and lets pages of PAGE read its answers."""
    app = FunctionUrl(emulator.pool.invoke, emulator.lines.put, signed_caller)
    service = HttpService(with_cors(app, (PAGE,)), listening_socket(), partial(allows, (PAGE,)))

    async def start() -> None:
        service.start()

    emulator._run(start())
    with contextlib.ExitStack() as on_exit:
        on_exit.callback(lambda: emulator._run(service.stop()))
        yield service.url


def ask(method: str, url: str, headers: dict[str, str], body: bytes = b"") -> httpx.Response:
    return httpx.request(method, url, headers=headers, content=body, timeout=WAIT_S, trust_env=False)


def test_a_signed_request_reaches_the_function_with_its_callers_name(url: str) -> None:
    target = f"{url}/v1/chat/completions?b=1&a=x%20y"
    headers = signed_headers("POST", target, b'{"a": 1}', {"content-type": "application/json"})
    event = ask("POST", target, headers, b'{"a": 1}').json()["event"]
    assert event["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "local",
            "accountId": "123456789012",
            "callerId": "AIDALOCAL",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::123456789012:user/local",
            "userId": "AIDALOCAL",
        }
    }
    assert event["requestContext"]["accountId"] == "123456789012"
    assert "authorization" not in event["headers"]
    assert event["headers"]["x-amz-date"] == headers["X-Amz-Date"]
    assert event["body"] == '{"a": 1}'


def test_a_presigned_url_reaches_the_function(url: str) -> None:
    answer = ask("GET", presigned_url(f"{url}/chatCompletion?message=hello", 60), {})
    assert "iam" in answer.json()["event"]["requestContext"]["authorizer"]


def test_an_unsigned_request_is_forbidden(url: str) -> None:
    answer = ask("POST", url, {"authorization": "Bearer a-key", "origin": PAGE}, b"{}")
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert answer.json()["Message"].startswith("Forbidden.")
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_a_request_whose_body_is_not_the_signed_one_is_forbidden(url: str) -> None:
    answer = ask("POST", url, signed_headers("POST", f"{url}/", b"{}"), b'{"more": 1}')
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert answer.json()["message"].startswith("The request signature we calculated does not match")


def test_a_preflight_needs_no_signature(url: str) -> None:
    answer = ask("OPTIONS", url, {"origin": PAGE, "access-control-request-method": "POST"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)


def test_without_iam_a_signature_is_an_ordinary_header(emulator: LocalEmulator) -> None:
    headers = signed_headers("GET", f"{emulator.url}/other", b"")
    event = ask("GET", f"{emulator.url}/", headers).json()["event"]
    assert event["headers"]["authorization"] == headers["Authorization"]
    assert event["requestContext"]["accountId"] == "anonymous"
    assert "authorizer" not in event["requestContext"]
