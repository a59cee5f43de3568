"""Attacks on a public URL in front of a paid key, each by HTTP at the function's URL."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, completion

OPENAI_KEY = "sk-the-relays-own-key-1234567890"
KEYS = {"web": "web-key-a1b2c3d4e5f6a7b8", "batch": "batch-key-0f9e8d7c6b5a4938"}
REVOKED = "revoked-key-00112233445566"
MESSAGES = [{"role": "user", "content": "hi"}]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    """A relay as it is deployed by default: callers need a key."""
    settings = {
        "OPENAI_BASE_URL": replay.url,
        "OPENAI_API_KEY": OPENAI_KEY,
        "CALLER_KEYS": ",".join(f"{name}:{digest(key)}" for name, key in KEYS.items()),
        "MAX_BODY_BYTES": "100000",
        "ALLOWED_MODELS": "test_*",
        "DEFAULT_MODEL": "test_default",
        "UPSTREAM_RETRIES": "0",
        "LOG_LEVEL": "DEBUG",
    }
    with ServedRelay(settings) as running:
        yield running


@pytest.fixture(scope="module")
def stranger(guarded: ServedRelay) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=guarded.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def web(guarded: ServedRelay) -> Iterator[httpx.Client]:
    """A caller with a key, who may still be hostile."""
    headers = {"x-api-key": KEYS["web"]}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def ask(client: httpx.Client, model: str, **options: Any) -> httpx.Response:
    body = {"model": model, "messages": MESSAGES}
    return client.post("/v1/chat/completions", json=body, **options)


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), response.text
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in response.headers["content-security-policy"]


# -- without a valid key -------------------------------------------------------------------------------------

NO_KEYS: dict[str, dict[str, Any]] = {
    "no key": {},
    "a wrong key": {"headers": {"x-api-key": "wrong"}},
    "a key that was revoked": {"headers": {"authorization": f"Bearer {REVOKED}"}},
    "the key's hash": {"headers": {"x-api-key": digest(KEYS["web"])}},
    "the name": {"headers": {"authorization": "Bearer web"}},
    "two keys": {"headers": {"x-api-key": f"{KEYS['web']},{KEYS['batch']}"}},
    "a key and more": {"headers": {"x-api-key": KEYS["web"] + " x"}},
    "a key in the query": {"params": {"x-api-key": KEYS["web"], "api_key": KEYS["web"], "key": KEYS["web"]}},
    "a key in a cookie": {"headers": {"cookie": f"x-api-key={KEYS['web']}; authorization={KEYS['web']}"}},
    "basic authentication": {"auth": ("web", KEYS["web"])},
    "headers of a proxy": {"headers": {"x-forwarded-user": "web", "x-amzn-oidc-identity": "web"}},
    "the relay's own key": {"headers": {"authorization": f"Bearer {OPENAI_KEY}"}},
}  # fmt: skip


PATHS = ["/v1/chat/completions", "/v1/responses", "/api/chat", "/chatCompletion"]


@pytest.mark.parametrize(
    ("path", "attack"),
    [(PATHS[0], attack) for attack in NO_KEYS] + [(path, "a wrong key") for path in PATHS[1:]],
)
def test_without_a_valid_key_nothing_reaches_the_upstream(
    stranger: httpx.Client, replay: ReplayUpstream, attack: str, path: str
) -> None:
    before = len(replay.exchanges("test_keyless"))
    body = {"model": "test_keyless", "messages": MESSAGES, "input": "hi"}
    response = stranger.post(path, json=body, **NO_KEYS[attack])
    assert_refused(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"
    assert len(replay.exchanges("test_keyless")) == before


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_caller_with_a_key_is_named_in_the_transcript(
    guarded: ServedRelay, stranger: httpx.Client, replay: ReplayUpstream, name: str, header: str
) -> None:
    replay.answer("test_named", Reply.json(completion("Gut.")))
    value = f"Bearer {KEYS[name]}" if header == "authorization" else KEYS[name]
    response = ask(stranger, "test_named", headers={header: value})
    assert response.status_code == 200
    assert guarded.transcript(response.headers["x-relay-request-id"])["caller"] == name
    assert KEYS[name] not in str(replay.exchanges("test_named")[-1].headers)


# -- paths and methods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/health/../v1/chat/completions",
        "/health/%2e%2e/v1/chat/completions",
        "/health%2f..%2fv1/chat/completions",
        "/v1%2fchat%2fcompletions",
        "/%76%31/chat/completions",
        "/v1/chat/completions/../../../health",
        "/v1/chat/completions;/health",
        "/v1/chat/completions%00",
        "/v1/chat/completions%0d%0ax:%20y",
        "/V1/chat/completions",
        "/..//..//etc/passwd",
        "//v1//chat//completions",
        "/health?/../v1/chat/completions",
    ],
)
def test_no_path_bypasses_the_key(guarded: ServedRelay, replay: ReplayUpstream, target: str) -> None:
    before = len(replay.exchanges("test_path"))
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
    body = json.dumps({"model": "test_path", "messages": MESSAGES})
    connection.request("POST", target, body, {"content-type": "application/json"})
    response = connection.getresponse()
    code = json.loads(response.read())["error"]["code"]
    connection.close()
    assert (response.status, code) in {
        (401, "invalid_api_key"), (404, "unknown_route"), (405, "method_not_allowed"),
    }  # fmt: skip
    assert len(replay.exchanges("test_path")) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "post"])
def test_a_method_that_is_not_served_is_405(web: httpx.Client, method: str) -> None:
    response = web.request(method, "/v1/responses", json={})
    if method == "post":  # methods are case-sensitive, but the relay is lenient
        assert response.status_code == 400
    else:
        assert_refused(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "POST"


# -- bodies --------------------------------------------------------------------------------------------------

BODIES: dict[str, tuple[bytes, int, str]] = {
    "larger than allowed": (b'{"messages": [], "x": "' + b"x" * 100_000 + b'"}', 413, "request_too_large"),
    "no UTF-8": (b'{"messages": "\xff\xfe"}', 400, "invalid_json"),
    "nested without end": (b"[" * 90_000, 400, "invalid_json"),
    "no messages": (b"{}", 400, "invalid_value"),
    "a model that is not allowed": (
        b'{"messages": [{"role": "user"}], "model": "gpt-6"}', 400, "model_not_allowed",
    ),
    "the last of two models counts": (
        b'{"messages": [{"role": "user"}], "model": "test_x", "model": "gpt-6"}', 400, "model_not_allowed",
    ),
    "a model by another way": (
        b'{"messages": [{"role": "user"}], "models": ["gpt-6"]}', 400, "field_not_allowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", BODIES)
@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
def test_an_invalid_body_is_refused_and_nothing_reaches_the_upstream(
    web: httpx.Client, replay: ReplayUpstream, attack: str, content_type: str
) -> None:
    body, status, code = BODIES[attack]
    before = len(replay.exchanges("test_default"))
    headers = {"content-type": content_type}
    assert_refused(web.post("/v1/chat/completions", content=body, headers=headers), status, code)
    assert len(replay.exchanges("test_default")) == before


# -- nothing that a caller sends becomes a header, an address or a key ---------------------------------------

INJECTION = "x\r\nset-cookie: a=b\r\n\r\n<script>alert(1)</script>"


def test_nothing_that_a_caller_sends_becomes_a_header(web: httpx.Client, replay: ReplayUpstream) -> None:
    replay.answer("test_default", Reply.json(completion("Gut.")))
    plain = set(ask(web, "test_default").headers)
    body = {"messages": MESSAGES, "user": INJECTION, "metadata": {INJECTION: INJECTION}, INJECTION: INJECTION}
    for response in (
        web.post("/v1/chat/completions", json=body),
        web.post(
            "/v1/chat/completions", json=body, headers={"x-request-id": "mine", "x-relay-request-id": "m"}
        ),
        web.get("/chatCompletion", params={"message": INJECTION, INJECTION: INJECTION}),
        web.post("/v1/chat/completions", json={**body, "model": INJECTION}),
        web.get(f"/{quote(INJECTION)}"),
    ):
        assert set(response.headers) <= plain | {"transfer-encoding", "x-accel-buffering"}
        assert "mine" not in response.headers.values()
        assert "<script>" not in response.text or response.headers["content-type"] == "application/json"


def test_callers_choose_neither_the_upstreams_address_nor_its_headers(
    web: httpx.Client, replay: ReplayUpstream
) -> None:
    replay.answer("test_address", Reply.json(completion("Gut.")))
    theirs = {
        "authorization": f"Bearer {KEYS['web']}",
        "openai-organization": "org-theirs",
        "x-forwarded-host": "evil.example",
        "cookie": "session=theirs",
        "api-key": "theirs",
    }
    ask(web, "test_address", headers=theirs, params={"api-version": "theirs", "base_url": "http://evil"})
    received = replay.exchanges("test_address")[-1]
    assert received.target == "/v1/chat/completions"
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert headers["authorization"] == f"Bearer {OPENAI_KEY}"
    assert "theirs" not in str(headers)
    assert KEYS["web"] not in str(headers)
    assert "evil" not in str(headers)


# -- a hostile upstream --------------------------------------------------------------------------------------


def test_the_headers_of_a_hostile_upstream_are_not_passed_on(
    web: httpx.Client, replay: ReplayUpstream
) -> None:
    hostile = {
        "content-type": "text/event-stream",
        "set-cookie": "session=stolen",
        "location": "https://evil.example",
        "content-security-policy": "default-src *",
        "access-control-allow-origin": "*",
        "access-control-allow-credentials": "true",
        "clear-site-data": '"*"',
        "refresh": "0; url=https://evil.example",
        "strict-transport-security": "max-age=0",
        "x-request-id": "x" * 10_000,
        "x-ratelimit-limit-requests": "1\u00e9",
        "openai-version": OPENAI_KEY,
        "x-relay-request-id": "evil",
        "content-encoding": "identity",
    }
    replay.answer("test_hostile", Reply(answer("Gut."), headers=hostile))
    response = web.get("/chatCompletion", params={"message": "hi", "model": "test_hostile"})
    assert response.text == "Gut."
    assert "evil" not in str(response.headers)
    assert OPENAI_KEY not in str(response.headers)
    own = {"content-type", "content-security-policy", "x-relay-request-id"}
    assert (set(hostile) - own) & set(response.headers) == set()
