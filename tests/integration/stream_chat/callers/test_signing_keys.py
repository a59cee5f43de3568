from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from callers.published_keys import FRESH_S
from callers.signing_keys import MAX_ANSWER_BYTES, REFETCH_WAIT_S, RETRY_WAIT_S, STALE_S
from tests.support.tokens.clocked_keys import ClockedKeys, wait_for_fetches
from tests.support.tokens.token_issuer import DISCOVERY_PATH, JWKS_PATH, Key, TokenIssuer


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture
def keys(issuer: TokenIssuer) -> ClockedKeys:
    return ClockedKeys(jwt_issuer=issuer.issuer)


# -- discovery ---------------------------------------------------------------------------------------------


def test_the_keys_are_found_by_discovery(issuer: TokenIssuer, keys: ClockedKeys) -> None:
    assert keys.has(issuer.key)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


def test_an_issuer_with_a_path_is_discovered_below_it(issuer: TokenIssuer) -> None:
    for slash in ("", "/"):
        ClockedKeys(jwt_issuer=f"{issuer.url}/realms/one{slash}").unavailable()
    assert issuer.paths == ["/realms/one" + DISCOVERY_PATH] * 2


def test_with_a_url_of_the_keys_nothing_is_discovered(issuer: TokenIssuer) -> None:
    keys = ClockedKeys(jwt_jwks_url=issuer.url + JWKS_PATH)
    assert keys.has(issuer.key)
    assert issuer.discovery_requests == 0


@pytest.mark.parametrize("name", ["https://issuer.example", "{url}/", "{url}x", None, 5, ["{url}"]])
def test_the_discovery_document_of_another_issuer_is_not_trusted(
    issuer: TokenIssuer, keys: ClockedKeys, name: Any
) -> None:
    issuer.discovery["issuer"] = name.format(url=issuer.url) if isinstance(name, str) else name
    keys.unavailable()
    assert issuer.jwks_requests == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/keys.json",
        "http://localhost:{port}/keys.json",
        "http://localhost.keys.example/keys.json",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys.json",
        "/keys.json",
        "https://",
        "https://[",
        "",
        None,
        5,
        [],
    ],
)
def test_keys_are_not_fetched_over_insecure_urls(
    issuer: TokenIssuer, keys: ClockedKeys, caplog: pytest.LogCaptureFixture, url: Any
) -> None:
    port = str(issuer.server_address[1])
    issuer.discovery["jwks_uri"] = url.replace("{port}", port) if isinstance(url, str) else url
    keys.unavailable()
    assert issuer.jwks_requests == 0
    assert "jwks_uri must be an https URL" in caplog.text or "ValueError" in caplog.text


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://127.0.0.1:1/\0", "https://127.0.0.1:-1/"])
def test_keys_at_unreachable_urls_are_unavailable(issuer: TokenIssuer, keys: ClockedKeys, url: str) -> None:
    issuer.discovery["jwks_uri"] = url
    keys.unavailable()


# -- the requests ------------------------------------------------------------------------------------------


def test_no_cookie_is_kept_and_no_compression_requested(issuer: TokenIssuer, keys: ClockedKeys) -> None:
    document = {"issuer": issuer.issuer, "jwks_uri": issuer.url + JWKS_PATH}
    issuer.answer = (200, {"set-cookie": "a=b; path=/"}, json.dumps(document).encode())
    keys.unavailable()
    assert len(issuer.requests) == 2
    assert all("cookie" not in headers for headers in issuer.requests)
    assert all(headers["accept-encoding"] == "identity" for headers in issuer.requests)


@pytest.mark.parametrize(
    ("status", "headers", "logged"),
    [
        (201, {}, "status 201"),
        (204, {"content-length": "0"}, "status 204"),
        (302, {"location": "/elsewhere"}, "status 302"),
        (404, {}, "status 404"),
        (429, {}, "status 429"),
        (500, {}, "status 500"),
        (200, {"content-length": "100", "connection": "close"}, "RemoteProtocolError"),
    ],
)
def test_an_answer_that_is_not_a_complete_200_has_no_keys_and_is_logged_without_its_body(
    issuer: TokenIssuer,
    keys: ClockedKeys,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: dict[str, str],
    logged: str,
) -> None:
    issuer.answer = (status, headers, b"" if status == 204 else b"s3cret")
    keys.unavailable()
    assert len(issuer.requests) == 1  # redirects are not followed
    assert "JWT_ISSUER" in caplog.text
    assert logged in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"keys": [' + b" " * MAX_ANSWER_BYTES + b"]}",
    ],
    ids=["empty", "html", "null", "list", "object", "no list", "no keys", "no utf-8", "deep", "large"],
)
def test_an_answer_that_is_not_a_key_set_leaves_the_known_keys_in_use(
    issuer: TokenIssuer, body: bytes
) -> None:
    keys = ClockedKeys(jwt_jwks_url=issuer.url + JWKS_PATH)
    issuer.answer = (200, {}, body)
    keys.unavailable()
    issuer.answer = None
    keys.now += RETRY_WAIT_S
    assert keys.has(issuer.key)
    issuer.answer = (200, {}, body)
    keys.now += FRESH_S
    assert keys.has(issuer.key)
    wait_for_fetches()
    assert keys.has(issuer.key)
    assert issuer.jwks_requests == 3


def test_a_silent_provider_times_out(
    issuer: TokenIssuer, keys: ClockedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callers.signing_keys.TIMEOUT", 0.2)
    issuer.answer = (200, {"content-length": "100"}, b"")
    started_at = time.monotonic()
    keys.unavailable()
    assert time.monotonic() - started_at < 20  # the provider never answers


# -- how long keys are kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(("cache_control", "fresh_s"), [(None, FRESH_S), ("public, max-age=120", 120)])
def test_keys_are_fetched_again_after_the_providers_time_or_ten_minutes(
    issuer: TokenIssuer, keys: ClockedKeys, cache_control: str | None, fresh_s: float
) -> None:
    issuer.cache_control = cache_control
    for _ in range(3):
        assert keys.has(issuer.key)
    keys.now += fresh_s - 1
    assert keys.has(issuer.key)
    assert issuer.jwks_requests == 1
    keys.now += 1
    assert keys.has(issuer.key)
    wait_for_fetches()
    assert issuer.jwks_requests == 2


def test_a_withdrawn_key_is_refused_once_the_keys_have_been_fetched_again(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    old = issuer.key
    assert keys.has(old)
    issuer.rotate()
    keys.now += FRESH_S
    assert keys.has(old)  # it is stale: a fetch begins
    wait_for_fetches()
    assert keys.has(issuer.key)
    assert not keys.has(old)


@pytest.mark.parametrize("published", [[], [Key("ES256", 1).jwk]])
def test_a_key_set_without_a_usable_key_refuses_all_tokens_and_is_logged(
    issuer: TokenIssuer, keys: ClockedKeys, caplog: pytest.LogCaptureFixture, published: list[Any]
) -> None:
    assert keys.has(issuer.key)
    issuer.keys = published
    keys.now += FRESH_S
    assert keys.has(issuer.key)
    wait_for_fetches()
    keys.unavailable()
    assert "JWT_ALGORITHMS" in caplog.text


@pytest.mark.parametrize("is_out", [False, True])
def test_unknown_key_ids_cause_one_fetch_in_thirty_seconds_even_during_an_outage(
    issuer: TokenIssuer, is_out: bool
) -> None:
    keys = ClockedKeys(jwt_jwks_url=issuer.url + JWKS_PATH)
    assert keys.has(issuer.key)
    issuer.outage = is_out
    for second in range(120):
        keys.now += 1
        assert keys.find(f"made-up-{second}") is None
        assert keys.has(issuer.key)
    assert issuer.jwks_requests == 1 + 4


# -- outages -----------------------------------------------------------------------------------------------


def test_the_known_keys_stay_in_use_for_a_day_during_an_outage(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    assert keys.has(issuer.key)
    issuer.outage = True
    keys.now += STALE_S - 1
    assert keys.has(issuer.key)
    keys.now += 1
    keys.unavailable()
    issuer.outage = False
    keys.now += REFETCH_WAIT_S
    assert keys.has(issuer.key)


def test_during_an_outage_the_provider_is_asked_once_in_thirty_seconds(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    assert keys.has(issuer.key)
    issuer.outage = True
    keys.now += FRESH_S
    for _ in range(60):
        assert keys.has(issuer.key)
        wait_for_fetches()
        keys.now += 1
    assert len(issuer.requests) == 2 + 2


def test_without_any_key_the_provider_is_asked_again_after_five_seconds(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    issuer.outage = True
    assert keys.unavailable().headers == {"retry-after": "5"}
    keys.now += 2.5
    assert keys.unavailable().headers == {"retry-after": "3"}
    assert len(issuer.requests) == 1
    issuer.outage = False
    keys.now += 2.5
    assert keys.has(issuer.key)


# -- fetches that are under way -----------------------------------------------------------------------------


def test_an_unknown_key_id_waits_for_a_fetch_that_is_under_way(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    old = issuer.key
    assert keys.has(old)
    issuer.rotate(keep=True)
    keys.now += FRESH_S
    assert keys.has(old)  # begins a fetch
    assert keys.has(issuer.key)
    assert issuer.jwks_requests == 2


def test_keys_that_arrive_while_the_environment_is_frozen_are_as_old_as_their_fetch(
    issuer: TokenIssuer, keys: ClockedKeys
) -> None:
    assert keys.has(issuer.key)
    keys.now += FRESH_S
    assert keys.has(issuer.key)
    wait_for_fetches()
    keys.now += FRESH_S  # frozen: the fetch has ended, but its keys are not in use yet
    assert keys.has(issuer.key)
    wait_for_fetches()
    assert issuer.jwks_requests == 3
