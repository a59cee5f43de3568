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
def test_what_clients_use_is_shown_as_it_came(name: str, value: str) -> None:
    assert caller_headers({name: value}, lambda text: text) == {name: value}


@pytest.mark.parametrize(
    "name",
    ["set-cookie", "server", "openai-organization", "content-length", "content-encoding", "connection"],
)
def test_all_else_stays_with_the_relay(name: str) -> None:
    assert caller_headers({name: "x"}, lambda text: text) == {}


def test_a_value_that_repeats_the_relays_key_is_left_out() -> None:
    assert shown(x_request_id=f"req for {SECRET}", openai_processing_ms="3") == {"openai-processing-ms": "3"}


@pytest.mark.parametrize("value", ["", "a\r\nset-cookie: b", "\u00e9", "x" * 257])
def test_a_value_that_is_no_plain_text_is_left_out(value: str) -> None:
    assert shown(x_request_id=value) == {}
