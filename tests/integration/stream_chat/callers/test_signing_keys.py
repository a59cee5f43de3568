from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callers.signing_keys import (
    FRESH_S,
    LONGEST_FRESH_S,
    MAX_ANSWER_BYTES,
    REFETCH_WAIT_S,
    RETRY_WAIT_S,
    SHORTEST_FRESH_S,
    STALE_S,
    SigningKeys,
    fresh_for_s,
    key_set,
)
from errors import RequestError
from settings import Settings
from tests.support.aws.token_issuer import DISCOVERY_PATH, JWKS_PATH, Key, TokenIssuer
from tests.support.upstreams.dripping_server import DRIPS, DrippingServer
from timed_calls import MAX_ABANDONED

GOOD = Key("RS256", 1)


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: TokenIssuer, clock: Clock) -> SigningKeys:
    return keys_of(issuer, clock)


def keys_of(issuer: TokenIssuer, clock: Clock, **values: Any) -> SigningKeys:
    given = {"jwt_issuer": issuer.issuer, "jwt_algorithms": (issuer.algorithm,)}
    return SigningKeys(Settings(auth_mode="jwt", **{**given, **values}), clock)


def fetches() -> list[threading.Thread]:
    """The threads that fetch keys."""
    return [thread for thread in threading.enumerate() if thread.name == "signing-keys"]


def renewed() -> None:
    """Wait until what is fetched in the background is there."""
    for thread in fetches():
        thread.join(20)


def has(keys: SigningKeys, key: Key) -> bool:
    """Whether this very key is given for its id."""
    found = keys.find(key.kid, key.algorithm)
    return found is not None and found.key.public_numbers() == key.private.public_key().public_numbers()


def unavailable(keys: SigningKeys, kid: str | None = "any") -> RequestError:
    with pytest.raises(RequestError) as raised:
        keys.find(kid, "RS256")
    error = raised.value
    assert (error.status, error.code) == (503, "identity_provider_unavailable")
    return error


# -- discovery ---------------------------------------------------------------------------------------------


def test_the_keys_are_found_by_discovery(issuer: TokenIssuer, keys: SigningKeys) -> None:
    assert has(keys, issuer.key)
    assert (issuer.discovery_requests, issuer.jwks_requests) == (1, 1)


def test_an_issuer_that_ends_with_a_slash_is_discovered_without_it(clock: Clock) -> None:
    with TokenIssuer(slash=True) as issuer:
        assert has(keys_of(issuer, clock), issuer.key)


def test_an_issuer_with_a_path_is_discovered_below_it(issuer: TokenIssuer, clock: Clock) -> None:
    for slash in ("", "/"):
        unavailable(keys_of(issuer, clock, jwt_issuer=f"{issuer.url}/realms/one{slash}"))
    assert issuer.paths == ["/realms/one" + DISCOVERY_PATH] * 2


def test_with_a_url_of_the_keys_nothing_is_discovered(issuer: TokenIssuer, clock: Clock) -> None:
    keys = keys_of(issuer, clock, jwt_issuer="https://issuer.example", jwt_jwks_url=issuer.url + JWKS_PATH)
    assert has(keys, issuer.key)
    assert issuer.discovery_requests == 0


@pytest.mark.parametrize("name", ["https://issuer.example", "{url}/", "{url}x", None, 5, ["{url}"]])
def test_the_discovery_document_of_another_issuer_is_not_believed(
    issuer: TokenIssuer, keys: SigningKeys, name: Any
) -> None:
    issuer.discovery["issuer"] = name.format(url=issuer.url) if isinstance(name, str) else name
    unavailable(keys)
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
def test_keys_that_somebody_could_change_on_the_way_are_not_fetched(
    issuer: TokenIssuer, keys: SigningKeys, caplog: pytest.LogCaptureFixture, url: Any
) -> None:
    port = str(issuer.server_address[1])
    issuer.discovery["jwks_uri"] = url.replace("{port}", port) if isinstance(url, str) else url
    unavailable(keys)
    assert issuer.jwks_requests == 0
    assert "jwks_uri must be an https URL" in caplog.text or "ValueError" in caplog.text


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://127.0.0.1:1/\0", "https://127.0.0.1:-1/"])
def test_keys_that_are_nowhere_are_unavailable(issuer: TokenIssuer, keys: SigningKeys, url: str) -> None:
    issuer.discovery["jwks_uri"] = url
    unavailable(keys)


# -- the requests ------------------------------------------------------------------------------------------


def test_a_redirect_is_not_followed(issuer: TokenIssuer, keys: SigningKeys) -> None:
    issuer.answer = (302, {"location": f"{issuer.url}/elsewhere"}, b"")
    unavailable(keys)
    assert len(issuer.requests) == 1


def test_no_cookie_is_kept_and_no_compression_asked_for(issuer: TokenIssuer, keys: SigningKeys) -> None:
    document = {"issuer": issuer.issuer, "jwks_uri": issuer.url + JWKS_PATH}
    issuer.answer = (200, {"set-cookie": "a=b; path=/"}, json.dumps(document).encode())
    unavailable(keys)
    assert len(issuer.requests) == 2
    assert all("cookie" not in headers for headers in issuer.requests)
    assert all(headers["accept-encoding"] == "identity" for headers in issuer.requests)


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
def test_an_answer_that_is_no_key_set_leaves_the_known_keys_in_use(
    issuer: TokenIssuer, clock: Clock, body: bytes
) -> None:
    keys = keys_of(issuer, clock, jwt_jwks_url=issuer.url + JWKS_PATH)
    issuer.answer = (200, {}, body)
    unavailable(keys)
    issuer.answer = None
    clock.now += RETRY_WAIT_S
    assert has(keys, issuer.key)
    issuer.answer = (200, {}, body)
    clock.now += FRESH_S
    assert has(keys, issuer.key)
    renewed()
    assert has(keys, issuer.key)
    assert issuer.jwks_requests == 3


@pytest.mark.parametrize("status", [201, 204, 302, 404, 429, 500])
def test_any_status_but_200_brings_no_keys(issuer: TokenIssuer, keys: SigningKeys, status: int) -> None:
    issuer.answer = (status, {}, b"")
    unavailable(keys)


def test_an_answer_that_breaks_off_brings_no_keys(issuer: TokenIssuer, keys: SigningKeys) -> None:
    issuer.answer = (200, {"content-length": "0100", "connection": "close"}, b"{}")
    unavailable(keys)


def test_a_provider_that_does_not_answer_is_not_waited_for(
    issuer: TokenIssuer, keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callers.signing_keys.TIMEOUT", 0.2)
    issuer.answer = (200, {"content-length": "100"}, b"")
    started = time.monotonic()
    unavailable(keys)
    assert time.monotonic() - started < 2


def test_why_there_are_no_keys_is_logged_without_what_was_sent(
    issuer: TokenIssuer, keys: SigningKeys, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answer = (500, {}, b"s3cret")
    unavailable(keys)
    assert "JWT_ISSUER" in caplog.text
    assert "status 500" in caplog.text
    assert "s3cret" not in caplog.text


# -- how long keys are kept --------------------------------------------------------------------------------


def test_keys_are_fetched_once_in_ten_minutes(issuer: TokenIssuer, keys: SigningKeys, clock: Clock) -> None:
    for _ in range(3):
        assert has(keys, issuer.key)
    clock.now += FRESH_S - 1
    assert has(keys, issuer.key)
    assert issuer.jwks_requests == 1
    clock.now += 1
    assert has(keys, issuer.key)
    renewed()
    assert issuer.jwks_requests == 2


def test_the_providers_own_time_is_kept(issuer: TokenIssuer, keys: SigningKeys, clock: Clock) -> None:
    issuer.cache_control = "public, max-age=120"
    assert has(keys, issuer.key)
    clock.now += 119
    assert has(keys, issuer.key)
    assert issuer.jwks_requests == 1
    clock.now += 1
    assert has(keys, issuer.key)
    renewed()
    assert issuer.jwks_requests == 2


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        ("", FRESH_S),
        ("public", FRESH_S),
        ("s-maxage=120", FRESH_S),
        ("max-age=abc", FRESH_S),
        ("max-age=-5", FRESH_S),
        ("max-age=120", 120),
        ('Max-Age="120"', 120),
        ("public,max-age=120, must-revalidate", 120),
        ("max-age=15", SHORTEST_FRESH_S),
        ("no-store", SHORTEST_FRESH_S),
        ("no-cache, max-age=120", SHORTEST_FRESH_S),
        ("max-age=86400", LONGEST_FRESH_S),
        ("max-age=" + "9" * 5000, LONGEST_FRESH_S),
    ],
)
def test_cache_control_counts_within_bounds(cache_control: str, seconds: float) -> None:
    assert fresh_for_s(cache_control) == seconds


def test_a_withdrawn_key_is_not_good_once_the_keys_were_fetched_anew(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    old = issuer.key
    assert has(keys, old)
    issuer.rotate()
    clock.now += FRESH_S
    assert has(keys, old)  # it is stale: others are looked for
    renewed()
    assert has(keys, issuer.key)
    assert not has(keys, old)


def test_two_keys_are_good_while_one_takes_the_others_place(issuer: TokenIssuer, keys: SigningKeys) -> None:
    old = issuer.key
    issuer.rotate(keep=True)
    assert has(keys, old)
    assert has(keys, issuer.key)


def test_an_emptied_key_set_closes_the_door(issuer: TokenIssuer, keys: SigningKeys, clock: Clock) -> None:
    assert has(keys, issuer.key)
    issuer.keys = []
    clock.now += FRESH_S
    assert has(keys, issuer.key)
    renewed()
    unavailable(keys, issuer.key.kid)


# -- unknown key ids ---------------------------------------------------------------------------------------


def test_an_unknown_key_id_has_the_keys_fetched_anew(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    assert has(keys, issuer.key)
    issuer.rotate()
    clock.now += REFETCH_WAIT_S
    assert has(keys, issuer.key)


def test_made_up_key_ids_cost_the_provider_one_fetch_in_thirty_seconds(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    for second in range(120):
        clock.now += 1
        assert keys.find(f"made-up-{second}", "RS256") is None
        assert has(keys, issuer.key)
    assert issuer.jwks_requests == 4


def test_made_up_key_ids_cost_no_more_during_an_outage(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    assert has(keys, issuer.key)
    issuer.outage = True
    for second in range(120):
        clock.now += 1
        assert keys.find(f"made-up-{second}", "RS256") is None
        assert has(keys, issuer.key)
    assert len(issuer.requests) == 2 + 4


def test_made_up_algorithms_find_nothing(issuer: TokenIssuer, keys: SigningKeys) -> None:
    for algorithm in ("none", "HS256", "RS512", "ES256", ""):
        assert keys.find(issuer.key.kid, algorithm) is None


# -- outages -----------------------------------------------------------------------------------------------


def test_the_known_keys_stay_in_use_for_a_day_while_the_provider_is_out(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    assert has(keys, issuer.key)
    issuer.outage = True
    clock.now += STALE_S - 1
    assert has(keys, issuer.key)
    clock.now += 1
    unavailable(keys, issuer.key.kid)
    issuer.outage = False
    clock.now += REFETCH_WAIT_S
    assert has(keys, issuer.key)


def test_during_an_outage_the_provider_is_asked_once_in_thirty_seconds(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    assert has(keys, issuer.key)
    issuer.outage = True
    clock.now += FRESH_S
    for _ in range(60):
        assert has(keys, issuer.key)
        renewed()
        clock.now += 1
    assert len(issuer.requests) == 2 + 2


def test_without_any_key_the_provider_is_asked_again_after_five_seconds(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    issuer.outage = True
    assert unavailable(keys).headers == {"retry-after": "5"}
    clock.now += 2.5
    assert unavailable(keys).headers == {"retry-after": "3"}
    assert len(issuer.requests) == 1
    issuer.outage = False
    clock.now += 2.5
    assert has(keys, issuer.key)


def test_a_provider_that_nobody_serves_is_unavailable(clock: Clock) -> None:
    with TokenIssuer() as issuer:
        keys = keys_of(issuer, clock)
    unavailable(keys)


# -- providers that are slow, and never silent -------------------------------------------------------------


@pytest.fixture
def limit_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """The limit of a fetch, far below the timeouts of single reads."""
    monkeypatch.setattr("callers.signing_keys.FETCH_LIMIT_S", 0.4)
    return 0.4


def keys_at(url: str, clock: Clock) -> SigningKeys:
    return SigningKeys(
        Settings(
            auth_mode="jwt", jwt_issuer="https://issuer.example", jwt_jwks_url=url, jwt_algorithms=("RS256",)
        ),
        clock,
    )


def whole(*keys: Key) -> bytes:
    """The whole answer of a provider with these keys."""
    body = json.dumps({"keys": [key.jwk for key in keys]}).encode()
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def assert_unavailable_in_time(keys: SigningKeys) -> None:
    started_at = time.monotonic()
    unavailable(keys)
    assert time.monotonic() - started_at < 2.5  # a read may last 3 s


@pytest.mark.parametrize("name", DRIPS)
def test_a_provider_that_drips_is_unavailable_in_time_and_its_connection_is_ended(
    limit_s: float, clock: Clock, name: str
) -> None:
    with DrippingServer(DRIPS[name]) as server:
        assert_unavailable_in_time(keys_at(server.url, clock))
        assert server.ended.acquire(timeout=10)
        renewed()


@pytest.mark.parametrize("name", ["head", "early hints"])
def test_discovery_that_drips_is_unavailable_in_time(limit_s: float, clock: Clock, name: str) -> None:
    with DrippingServer(DRIPS[name]) as server:
        keys = SigningKeys(Settings(auth_mode="jwt", jwt_issuer=server.url, jwt_algorithms=("RS256",)), clock)
        assert_unavailable_in_time(keys)


@pytest.mark.parametrize("name", ["head", "early hints", "continue"])
def test_a_proxy_that_drips_is_unavailable_in_time(
    monkeypatch: pytest.MonkeyPatch, limit_s: float, clock: Clock, name: str
) -> None:
    with DrippingServer(DRIPS[name]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert_unavailable_in_time(keys_at("https://issuer.example/keys.json", clock))
        assert proxy.connections == 1
        assert proxy.ended.acquire(timeout=10)


def test_a_name_that_is_looked_up_for_ever_costs_a_few_threads(
    monkeypatch: pytest.MonkeyPatch, limit_s: float, clock: Clock
) -> None:
    let_go = threading.Event()

    def look_up(*name: Any, **options: Any) -> Any:
        let_go.wait(30)
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    keys = keys_at("http://issuer.example/keys.json", clock)
    for _ in range(10):
        assert_unavailable_in_time(keys)
        clock.now += RETRY_WAIT_S
    assert len(fetches()) == MAX_ABANDONED
    let_go.set()
    renewed()


@pytest.mark.parametrize("name", DRIPS)
def test_stale_keys_serve_at_once_while_their_provider_drips(limit_s: float, clock: Clock, name: str) -> None:
    drip = DRIPS[name]._replace(scheme="http")
    with DrippingServer(drip, whole(GOOD)) as server:
        keys = keys_at(server.url, clock)
        assert has(keys, GOOD)
        server.whole = None
        clock.now += FRESH_S
        for _ in range(20):
            started_at = time.monotonic()
            assert has(keys, GOOD)
            assert time.monotonic() - started_at < limit_s / 2
            assert len(fetches()) <= MAX_ABANDONED
            if server.connections < 4:
                assert server.begun.acquire(timeout=10)
            clock.now += 2 * REFETCH_WAIT_S


def test_keys_are_found_again_when_their_provider_no_longer_drips(limit_s: float, clock: Clock) -> None:
    with DrippingServer(DRIPS["early hints"]) as server:
        keys = keys_at(server.url, clock)
        for _ in range(MAX_ABANDONED + 2):
            assert_unavailable_in_time(keys)
            assert server.ended.acquire(timeout=10)
            clock.now += RETRY_WAIT_S
        server.whole = whole(GOOD)
        assert has(keys, GOOD)


def test_a_made_up_key_id_waits_in_vain_no_longer_than_the_limit_and_nobody_else_waits(
    limit_s: float, clock: Clock
) -> None:
    with DrippingServer(DRIPS["head"], whole(GOOD)) as server:
        keys = keys_at(server.url, clock)
        assert has(keys, GOOD)
        server.whole = None
        clock.now += REFETCH_WAIT_S
        started_at = time.monotonic()
        assert keys.find("made-up", "RS256") is None
        assert time.monotonic() - started_at < 2.5
        started_at = time.monotonic()
        for number in range(100):
            assert keys.find(f"made-up-{number}", "RS256") is None
            assert has(keys, GOOD)
        assert time.monotonic() - started_at < limit_s
        assert server.connections == 2


def test_an_unknown_key_id_waits_for_a_fetch_that_is_under_way(issuer: TokenIssuer, clock: Clock) -> None:
    keys = keys_of(issuer, clock)
    old = issuer.key
    assert has(keys, old)
    issuer.rotate(keep=True)
    clock.now += FRESH_S
    assert has(keys, old)  # begins a fetch
    assert has(keys, issuer.key)
    assert issuer.jwks_requests == 2


def test_keys_that_come_while_the_environment_sleeps_are_as_old_as_their_fetch(
    issuer: TokenIssuer, keys: SigningKeys, clock: Clock
) -> None:
    assert has(keys, issuer.key)
    clock.now += FRESH_S
    assert has(keys, issuer.key)
    renewed()
    clock.now += FRESH_S  # frozen, with the keys in the thread's hand
    assert has(keys, issuer.key)
    renewed()
    assert issuer.jwks_requests == 3


def test_a_fetch_that_the_environment_slept_through_is_dropped_and_begun_anew(clock: Clock) -> None:
    with DrippingServer(DRIPS["head"], whole(GOOD)) as server:
        keys = keys_at(server.url, clock)
        assert has(keys, GOOD)
        server.whole = None
        clock.now += FRESH_S
        assert has(keys, GOOD)
        new = Key("RS256", 2)
        server.whole = whole(new)
        clock.now += 3600  # by this clock; the thread's own has stood still
        assert has(keys, new)


# -- which keys are used -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoilt",
    [
        {"use": "enc"},
        {"use": None},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": ["RS256"]},
        {"kty": "EC"},
        {"kty": "oct"},
        {"kty": None},
        {"kty": ["RSA"]},
        {"kid": 5},
        {"kid": ["RS256-1"]},
        {"n": "!"},
        {"n": 5},
        {"n": None},
        {"n": ""},
        {"e": "AA"},
        {"e": "AQ"},
        {"e": {}},
        {"d": "AQAB"},
        Key("RS256", 1, bits=1024).jwk,
    ],
    ids=lambda spoilt: json.dumps(spoilt)[:30],
)
def test_a_bad_key_is_left_out_and_does_not_spoil_the_others(spoilt: dict[str, Any]) -> None:
    other = Key("RS256", 2)
    found = key_set({"keys": [{**GOOD.jwk, **spoilt}, None, 5, [], other.jwk]}, ["RS256"])
    assert found.find(other.kid, "RS256") is not None
    assert list(found.keys) == [(other.kid, "RS256")]
    assert found.size == 1


def test_a_key_needs_neither_use_nor_operations_nor_an_algorithm() -> None:
    bare = {name: GOOD.jwk[name] for name in ("kty", "n", "e", "kid")}
    found = key_set({"keys": [bare]}, ["RS256", "PS256", "ES256"])
    assert set(found.keys) == {(GOOD.kid, "RS256"), (GOOD.kid, "PS256")}


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512"])
def test_an_elliptic_curve_is_for_its_own_algorithm_alone(algorithm: str) -> None:
    key = Key(algorithm, 1)
    bare = {name: key.jwk[name] for name in ("kty", "crv", "x", "y", "kid")}
    assert list(key_set({"keys": [bare]}, ["ES256", "ES384", "ES512", "RS256", "EdDSA"]).keys) == [
        (key.kid, algorithm)
    ]


def test_a_key_whose_private_half_is_published_is_left_out() -> None:
    private = Key("ES256", 1)
    number = private.private.private_numbers().private_value.to_bytes(32, "big")
    jwk = {**private.jwk, "d": base64.urlsafe_b64encode(number).decode().rstrip("=")}
    assert key_set({"keys": [jwk]}, ["ES256"]).size == 0


def test_a_point_that_is_not_on_the_curve_is_left_out() -> None:
    key = Key("ES256", 1)
    assert key_set({"keys": [{**key.jwk, "x": key.jwk["y"]}]}, ["ES256"]).size == 0


def test_a_symmetric_key_is_never_used() -> None:
    secret = base64.urlsafe_b64encode(b"x" * 64).decode()
    for algorithm in ("HS256", "HS512", "RS256", "none"):
        jwk = {"kty": "oct", "k": secret, "kid": "a", "alg": algorithm}
        assert key_set({"keys": [jwk]}, [algorithm, "HS256", "none"]).size == 0


def test_without_a_key_id_the_only_usable_key_is_meant() -> None:
    encryption = {**Key("RS256", 2).jwk, "use": "enc"}
    found = key_set({"keys": [encryption, GOOD.jwk]}, ["RS256"])
    assert found.find(None, "RS256") is not None
    assert found.find(None, "RS512") is None


def test_without_a_key_id_one_of_several_keys_is_not_guessed() -> None:
    nameless = {name: value for name, value in GOOD.jwk.items() if name != "kid"}
    for keys in ([GOOD.jwk, Key("RS256", 2).jwk], [nameless, nameless], [nameless, Key("RS256", 2).jwk]):
        assert key_set({"keys": keys}, ["RS256"]).find(None, "RS256") is None


def test_a_key_without_an_id_is_not_found_by_one() -> None:
    nameless = {name: value for name, value in GOOD.jwk.items() if name != "kid"}
    found = key_set({"keys": [nameless]}, ["RS256"])
    assert found.find(None, "RS256") is not None
    assert found.find("any", "RS256") is None


def test_of_two_keys_with_one_id_each_is_found_by_its_algorithm() -> None:
    keys = [Key("RS256", 1, kid="one"), Key("ES256", 1, kid="one")]
    found = key_set({"keys": [key.jwk for key in keys]}, ["RS256", "ES256"])
    assert all(found.find("one", key.algorithm) for key in keys)


def test_of_two_keys_with_one_id_and_algorithm_the_first_counts() -> None:
    keys = [Key("RS256", number, kid="one") for number in (1, 2)]
    found = key_set({"keys": [key.jwk for key in keys]}, ["RS256"]).find("one", "RS256")
    assert found is not None
    assert found.key.public_numbers() == keys[0].private.public_key().public_numbers()


def test_keys_for_none_of_the_algorithms_are_none_and_that_is_logged(
    issuer: TokenIssuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    unavailable(keys_of(issuer, clock, jwt_algorithms=("ES256",)))
    assert "JWT_ALGORITHMS" in caplog.text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.binary(max_size=300).map(lambda data: base64.urlsafe_b64encode(data).decode()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(["RSA", "EC", "OKP", "oct"])
CURVES = st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519"])
MEMBERS = st.fixed_dictionaries(
    {"kty": KINDS | VALUES},
    optional={
        "crv": CURVES | VALUES,
        **dict.fromkeys(("n", "e", "x", "y", "k", "kid", "alg", "use", "key_ops", "d"), VALUES),
    },
)


@given(document=st.fixed_dictionaries({"keys": st.lists(MEMBERS | VALUES, max_size=3)}))
def test_no_key_set_is_too_strange(document: dict[str, Any]) -> None:
    logging.disable()
    try:
        key_set(document, ["RS256", "PS512", "ES256", "ES512", "EdDSA"])
    finally:
        logging.disable(logging.NOTSET)
