"""The key from the environment, and from Secrets Manager over a socket."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from errors import UpstreamError
from log_privacy import keep_libraries_quiet
from settings import Settings
from tests.support.upstreams.exchanges import on_limit
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer
from upstream.client import Upstream
from upstream.key import OpenAIKey

# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

AWS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
}


@pytest.fixture
def secrets(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {**AWS, "AWS_ENDPOINT_URL_SECRETS_MANAGER": moto_url}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("secretsmanager")
    yield client
    client.close()


def put(secrets: Any, name: str, value: str) -> None:
    try:
        secrets.create_secret(Name=name, SecretString=value)
    except secrets.exceptions.ResourceExistsException:
        secrets.put_secret_value(SecretId=name, SecretString=value)


def settings(**values: Any) -> Settings:
    return Settings(**values)


def test_a_key_from_the_environment_is_used_unchanged() -> None:
    key = OpenAIKey(settings(openai_api_key="sk-1"))
    assert key.read() == "sk-1"
    assert not key.is_renewable


@pytest.mark.parametrize(
    "stored", ["sk-plain", json.dumps({"OPENAI_API_KEY": "sk-plain", "other": "x"}), "sk-plain\n"]
)
def test_a_secret_is_the_key_or_an_object_that_holds_it(secrets: Any, stored: str) -> None:
    put(secrets, "shapes", stored)
    key = OpenAIKey(settings(openai_api_key_secret_id="shapes"))
    assert key.read(renew=True) == "sk-plain"


@pytest.mark.parametrize("stored", ["{}", '{"OPENAI_API_KEY": 5}', "two\nlines"])
def test_an_invalid_secret_is_refused_without_being_repeated(secrets: Any, stored: str) -> None:
    put(secrets, "odd", stored)
    with pytest.raises(ValueError, match="OPENAI_API_KEY") as raised:
        OpenAIKey(settings(openai_api_key_secret_id="odd")).read(renew=True)
    assert "lines" not in str(raised.value)


def test_a_secret_is_cached_until_it_is_renewed(secrets: Any) -> None:
    put(secrets, "cached", "sk-old")
    key = OpenAIKey(settings(openai_api_key_secret_id="cached"))
    assert key.read() == "sk-old"
    put(secrets, "cached", "sk-new")
    assert key.read() == "sk-old"
    assert key.read(renew=True) == "sk-new"
    assert key.read() == "sk-new"


def client_with(replay: ReplayUpstream, secret: str) -> Upstream:
    return Upstream(settings(openai_base_url=replay.url, openai_api_key_secret_id=secret, upstream_retries=1))


def relay(client: Upstream, secret: str) -> bytes:
    body = json.dumps({"model": secret}).encode()
    exchange = client.exchange("/chat/completions", body, streamed=True, deadline_at=time.monotonic() + 30)
    try:
        exchange.open(on_limit)
        return b"".join(exchange.body.chunks())
    finally:
        exchange.close()
        client.close()


def test_a_rotated_secret_is_read_again_after_the_upstreams_401(secrets: Any) -> None:
    put(secrets, "rotated", "sk-old")
    with ReplayUpstream() as replay:
        client = client_with(replay, "rotated")
        assert client.key.read() == "sk-old"
        put(secrets, "rotated", "sk-new")
        # The renewal is not a retry: the one retry is still available for the 503.
        replay.answer("rotated", Reply.json({}, 401), Reply.json({}, 503), Reply(answer("Gut.")))
        assert b"Gut." in relay(client, "rotated")
        used = [exchange.headers["authorization"] for exchange in replay.exchanges("rotated")]
    assert used == ["Bearer sk-old", "Bearer sk-new", "Bearer sk-new"]


def test_a_refused_secret_is_renewed_only_once(secrets: Any) -> None:
    put(secrets, "refused", "sk-bad")
    with ReplayUpstream() as replay:
        replay.answer("refused", Reply.json({"error": {}}, 401))
        with pytest.raises(UpstreamError) as raised:
            relay(client_with(replay, "refused"), "refused")
        assert raised.value.code == "upstream_auth_failed"
        assert len(replay.exchanges("refused")) == 2


def test_an_unreadable_secret_is_502_without_its_name(secrets: Any) -> None:
    with ReplayUpstream() as replay, pytest.raises(UpstreamError) as raised:
        relay(client_with(replay, "absent-secret"), "absent-secret")
    assert (raised.value.status, raised.value.code) == (502, "upstream_key_unavailable")
    assert b"absent-secret" not in raised.value.document()


def test_the_secret_is_not_logged_even_at_debug(secrets: Any, caplog: pytest.LogCaptureFixture) -> None:
    put(secrets, "quiet", "sk-never-logged")
    caplog.clear()
    keep_libraries_quiet()
    with caplog.at_level(logging.DEBUG):
        OpenAIKey(settings(openai_api_key_secret_id="quiet")).read()
    assert "sk-never-logged" not in caplog.text
