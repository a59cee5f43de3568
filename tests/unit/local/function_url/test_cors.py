"""CORS at the local function URL: the headers that template.yaml configures."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.function_url.cors import with_cors
from local.template import properties_of

PAGE = "https://app.example.com"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST"}


async def function(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the request's method, and sets the CORS header that the request's x-allow names."""
    request = Request(scope, receive)
    allowed = request.headers.get("x-allow", "")
    headers = {"access-control-allow-origin": allowed} if allowed else {}
    await Response(request.method, 418, {"vary": "Accept", **headers})(scope, receive, send)


def answer_to(method: str, headers: dict[str, str], *allowed_origins: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(with_cors(function, allowed_origins))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(ask())


def cors_of(answer: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


def test_a_preflight_gets_the_whole_configuration_and_does_not_reach_the_function() -> None:
    asked = {**PREFLIGHT, "access-control-request-headers": "authorization,x-not-listed"}
    answer = answer_to("OPTIONS", asked, PAGE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert cors_of(answer) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "*",
        "access-control-allow-headers": ",".join(
            properties_of("StreamChatFunctionUrl")["Cors"]["AllowHeaders"]
        ),
        "access-control-max-age": "3600",
    }
    assert answer.headers["vary"] == "Origin"


def test_an_answer_names_the_origin_that_may_read_it() -> None:
    answer = answer_to("POST", {"origin": PAGE}, "https://other.example.com", PAGE)
    assert answer.status_code == 418
    assert cors_of(answer) == {"access-control-allow-origin": PAGE, "access-control-expose-headers": "*"}
    assert answer.headers.get_list("vary") == ["Accept", "Origin"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com.evil.example", "https://evil-app.example.com", "http://app.example.com",
        "https://app.example.com:8443", "https://APP.example.com", "null", "http://localhost:5173", "*",
    ],
)  # fmt: skip
def test_an_origin_that_is_not_listed_gets_no_cors_headers(origin: str) -> None:
    preflight = answer_to("OPTIONS", {**PREFLIGHT, "origin": origin}, PAGE)
    assert (preflight.status_code, cors_of(preflight)) == (200, {})
    answer = answer_to("POST", {"origin": origin}, PAGE)
    assert (answer.status_code, cors_of(answer)) == (418, {})
    assert "Origin" in answer.headers.get_list("vary")


def test_two_origins_in_one_header_are_not_allowed() -> None:
    assert cors_of(answer_to("POST", {"origin": f"{PAGE}, {PAGE}"}, PAGE)) == {}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "chrome-extension://abc"])
def test_with_a_star_the_answer_names_the_origin_that_asked(origin: str) -> None:
    assert cors_of(answer_to("GET", {"origin": origin}, "*"))["access-control-allow-origin"] == origin


@pytest.mark.parametrize("headers", [{}, {"access-control-request-method": "POST"}])
def test_a_request_without_an_origin_gets_no_cors_headers(headers: dict[str, str]) -> None:
    for method in ("GET", "OPTIONS"):
        answer = answer_to(method, headers, "*")
        assert (answer.status_code, cors_of(answer)) == (418, {})


def test_an_options_request_that_is_not_a_preflight_reaches_the_function() -> None:
    answer = answer_to("OPTIONS", {"origin": PAGE}, PAGE)
    assert (answer.status_code, answer.text) == (418, "OPTIONS")


def test_a_cors_header_of_the_function_is_sent_as_well() -> None:
    answer = answer_to("GET", {"origin": PAGE, "x-allow": PAGE}, PAGE)
    assert answer.headers.get_list("access-control-allow-origin") == [PAGE, PAGE]


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("http://localhost:5173", True),
        ("https://localhost", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost:80a", False),
        ("null", False),
        (PAGE, False),
    ],
)
def test_without_a_list_only_pages_of_this_machine_may_read(origin: str, admitted: bool) -> None:
    answer = answer_to("GET", {"origin": origin})
    assert answer.headers.get("access-control-allow-origin") == (origin if admitted else None)
