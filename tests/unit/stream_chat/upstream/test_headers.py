from __future__ import annotations

import pytest

from upstream.headers import caller_headers

SECRET = "sk-secret"


def shown(**headers: str) -> dict[str, str]:
    by_name = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller_headers(by_name, lambda text: text.replace(SECRET, "[redacted]"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-request-id", "req_1"),
        ("openai-processing-ms", "412"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-tokens", "6m0s"),
        ("ratelimit-policy", '"burst";q=100;w=60'),
        ("retry-after", "Wed, 25 Nov 2026 09:30:00 GMT"),
        ("retry-after-ms", "1500"),
        ("x-should-retry", "false"),
    ],
)
def test_headers_that_clients_use_are_passed_on_unchanged(name: str, value: str) -> None:
    assert caller_headers({name: value}, lambda text: text) == {name: value}


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "server", "openai-organization", "content-length", "content-encoding", "connection"],
)
def test_other_headers_are_not_passed_on(name: str) -> None:
    assert caller_headers({name: "x"}, lambda text: text) == {}


def test_a_header_with_the_relays_key_is_dropped() -> None:
    assert shown(x_request_id=f"req for {SECRET}", openai_processing_ms="3") == {"openai-processing-ms": "3"}


@pytest.mark.parametrize("value", ["", "a\r\nset-cookie: b", "\u00e9", "x" * 257])
def test_a_header_with_an_unusual_value_is_dropped(value: str) -> None:
    assert shown(x_request_id=value) == {}
