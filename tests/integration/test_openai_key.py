"""The key from the environment, and from a Secrets Manager over a socket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from openai_key import OpenAIKey
from relay_error import UpstreamError
from settings import Settings
from tests.support.replay_upstream import ReplayUpstream, Reply, answer
from upstream import Upstream

# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

AWS = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secrets(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {**AWS, "AWS_ENDPOINT_URL_SECRETS_MANAGER": endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("aws_lambda_powertools.utilities.parameters.base.DEFAULT_PROVIDERS", {})
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


def test_a_key_from_the_environment_is_given_as_it_is() -> None:
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
def test_a_secret_of_another_shape_is_refused_without_being_repeated(secrets: Any, stored: str) -> None:
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


def relay(replay: ReplayUpstream, secret: str) -> bytes:
    client = Upstream(settings(openai_base_url=replay.url, openai_api_key_secret_id=secret))
    body = json.dumps({"model": secret}).encode()
    exchange = client.exchange(body, streamed=True, deadline_at=time.monotonic() + 30)
    try:
        exchange.open(lambda: None)
        return b"".join(exchange.chunks())
    finally:
        exchange.close()
        client.client.close()


def test_a_rotated_secret_is_read_again_after_the_upstreams_401(secrets: Any) -> None:
    put(secrets, "rotated", "sk-old")
    assert OpenAIKey(settings(openai_api_key_secret_id="rotated")).read() == "sk-old"
    put(secrets, "rotated", "sk-new")
    with ReplayUpstream() as replay:
        replay.answer("rotated", Reply.json({"error": {}}, 401), Reply(answer("Gut.")))
        assert b"Gut." in relay(replay, "rotated")
        used = [exchange.headers["authorization"] for exchange in replay.exchanges("rotated")]
    assert used == ["Bearer sk-old", "Bearer sk-new"]


def test_a_secret_that_stays_refused_is_asked_for_once_more_only(secrets: Any) -> None:
    put(secrets, "refused", "sk-bad")
    with ReplayUpstream() as replay:
        replay.answer("refused", Reply.json({"error": {}}, 401))
        with pytest.raises(UpstreamError) as raised:
            relay(replay, "refused")
        assert raised.value.code == "upstream_auth_failed"
        assert len(replay.exchanges("refused")) == 2


def test_a_secret_that_cannot_be_read_is_502_and_names_nothing(secrets: Any) -> None:
    with ReplayUpstream() as replay, pytest.raises(UpstreamError) as raised:
        relay(replay, "absent-secret")
    assert (raised.value.status, raised.value.code) == (502, "upstream_key_unavailable")
    assert b"absent-secret" not in raised.value.document()
