"""The list of models, asked of an upstream over real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from answers import Answer
from errors import RequestError, UpstreamError
from models import listing
from models.listing import model_list, one_model
from settings import Settings
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply
from upstream.client import Upstream

Connect = Callable[..., Upstream]

LIST = "/v1/models"
KEY = "sk-of-the-relay-alone"
MODELS = [
    {"id": "gpt-6", "object": "model", "created": 5, "owned_by": "openai", "shutdown_date": "2027-01-01"},
    {"id": "meta/llama-5", "object": "model", "created": 6, "owned_by": "meta"},
]
LISTED = Reply.json({"object": "list", "data": MODELS})


@pytest.fixture
def replay() -> Iterator[ReplayUpstream]:
    with ReplayUpstream() as upstream:
        yield upstream


@pytest.fixture
def connect(replay: ReplayUpstream) -> Iterator[Connect]:
    """Makes clients of the upstream with these settings."""
    made: list[Upstream] = []

    def to_upstream(**values: Any) -> Upstream:
        values = {"openai_base_url": replay.url, "openai_api_key": KEY, "upstream_retries": 0, **values}
        made.append(Upstream(Settings(**values)))
        return made[-1]

    yield to_upstream
    for upstream in made:
        upstream.close()


def listed(upstream: Upstream, settings: Settings | None = None, remaining_s: float = 20.0) -> Any:
    answer = model_list(upstream, settings or upstream.settings, remaining_s)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    return json.loads(answer.body)


def test_the_upstreams_list_is_passed_on(connect: Connect, replay: ReplayUpstream) -> None:
    replay.answer(LIST, LISTED)
    assert listed(connect()) == {"object": "list", "data": MODELS}
    (asked,) = replay.exchanges(LIST)
    assert asked.target == LIST
    assert (asked.headers["authorization"], asked.headers["accept"]) == (f"Bearer {KEY}", "application/json")
    assert not {"content-type", "content-length", "transfer-encoding"} & asked.headers.keys()


def test_azure_is_asked_with_its_version_and_key(connect: Connect, replay: ReplayUpstream) -> None:
    path = "/openai/deployments/gpt/models"
    replay.answer(path, Reply.json({"error": {"code": "404"}}, 404))
    base_url = f"{replay.origin}/openai/deployments/gpt"
    named = {"openai_key_header": "api-key", "openai_api_version": "2024-10-21", "default_model": "gpt"}
    document = listed(connect(openai_base_url=base_url, **named))
    assert [model["id"] for model in document["data"]] == ["gpt"]
    (asked,) = replay.exchanges(path)
    assert (asked.target, asked.headers["api-key"]) == (f"{path}?api-version=2024-10-21", KEY)


def test_each_caller_sees_their_own_models_of_one_list(connect: Connect, replay: ReplayUpstream) -> None:
    replay.answer(LIST, LISTED)
    upstream = connect()
    for allowed in ("gpt-*", "meta/*"):
        own = Settings(allowed_models=(allowed,), default_model=allowed)
        assert [model["id"][:3] for model in listed(upstream, own)["data"]] == [allowed[:3]]
    assert len(replay.exchanges(LIST)) == 1


def test_the_list_is_read_again_after_some_minutes(
    connect: Connect, replay: ReplayUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay.answer(LIST, LISTED, Reply.json({"data": [{"id": "new"}]}))
    upstream = connect()
    monkeypatch.setattr(listing, "CACHE_AGE_S", 3600.0)
    assert len(listed(upstream)["data"]) == len(listed(upstream)["data"]) == 2
    monkeypatch.setattr(listing, "CACHE_AGE_S", 0.0)
    fresh = connect()
    assert [model["id"] for model in listed(fresh)["data"]] == ["new"]
    assert len(listed(fresh)["data"]) == 1
    assert len(replay.exchanges(LIST)) == 3


NO_LIST = {
    "403": Reply.json({"error": {"message": "Missing scopes: api.model.read"}}, 403),
    "404": Reply.json({"error": {"message": "no"}}, 404),
    "405": Reply([b"no"], 405, {"content-type": "text/plain"}),
    "501": Reply.json({"error": "no"}, 501),
    "HTML": Reply([b"<html>ok</html>"], 200, {"content-type": "text/html"}),
    "a bare list": Reply.json([{"id": "a"}]),
    "another document": Reply.json({"models": []}),
}


@pytest.mark.parametrize("reply", NO_LIST)
def test_an_upstream_without_a_list_is_replaced_by_the_settings(
    connect: Connect, replay: ReplayUpstream, reply: str
) -> None:
    replay.answer(LIST, NO_LIST[reply])
    upstream = connect(allowed_models=("a", "b*"), default_model="b2")
    assert [model["id"] for model in listed(upstream)["data"]] == ["a", "b2"]
    assert listed(upstream)
    assert len(replay.exchanges(LIST)) == 1, "that there is none is kept as well"


FAILURES = {
    "401": (Reply.json({"error": {"message": KEY}}, 401), 502, "upstream_auth_failed"),
    "429": (Reply.json({"error": {"message": "slow"}}, 429, retry_after="7"), 429, "upstream_rate_limited"),
    "500": (Reply.json({}, 500), 502, "upstream_error"),
    "504": (Reply.json({}, 504), 504, "upstream_timeout"),
    "cut": (Reply([b'{"data": ['], ends="cut"), 502, "upstream_interrupted"),
    "empty": (Reply([]), 502, "empty_stream"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_of_the_upstream_is_the_same_error_as_elsewhere_and_is_not_kept(
    connect: Connect, replay: ReplayUpstream, failure: str
) -> None:
    reply, status, code = FAILURES[failure]
    replay.answer(LIST, reply, LISTED)
    upstream = connect()
    with pytest.raises(UpstreamError) as raised:
        listed(upstream)
    assert (raised.value.status, raised.value.code) == (status, code)
    assert KEY.encode() not in raised.value.document()
    if status == 429:
        assert raised.value.headers == {"retry-after": "7"}
    assert len(listed(upstream)["data"]) == 2


@pytest.mark.parametrize("reply", [Reply(head_after=30.0), Reply([b"{", 30.0])])
def test_an_upstream_that_does_not_answer_is_left_in_time(
    connect: Connect, replay: ReplayUpstream, reply: Reply
) -> None:
    replay.answer(LIST, reply)
    began_at = time.monotonic()
    with pytest.raises(UpstreamError) as raised:
        listed(connect(), remaining_s=1.0)
    assert (raised.value.status, raised.value.code) == (504, "upstream_timeout")
    assert time.monotonic() - began_at < 15
    with pytest.raises(UpstreamError):
        listed(connect(first_byte_timeout_s=0.2), remaining_s=10**9)


def test_the_relays_key_is_in_no_list(connect: Connect, replay: ReplayUpstream) -> None:
    replay.answer(LIST, Reply.json({"data": [{"id": "a", "note": f"asked by {KEY}", KEY: 1}]}))
    answer = model_list(upstream := connect(), upstream.settings, 20.0)
    assert KEY.encode() not in answer.body
    assert json.loads(answer.body)["data"][0]["id"] == "a"


@pytest.mark.parametrize("model_id", ["meta/llama-5", "meta%2Fllama-5", "meta%2fllama-5", "gpt-6"])
def test_one_model_is_found_by_its_id(connect: Connect, replay: ReplayUpstream, model_id: str) -> None:
    replay.answer(LIST, LISTED)
    upstream = connect()
    answer: Answer = one_model(model_id, upstream, upstream.settings, 20.0)
    assert json.loads(answer.body) in MODELS


@pytest.mark.parametrize("model_id", ["gpt", "gpt-6/", "meta", "", "GPT-6"])
def test_any_other_model_is_404_as_openai_has_it(
    connect: Connect, replay: ReplayUpstream, model_id: str
) -> None:
    replay.answer(LIST, LISTED)
    upstream = connect()
    with pytest.raises(RequestError) as raised:
        one_model(model_id, upstream, upstream.settings, 20.0)
    assert (raised.value.status, raised.value.code, raised.value.param) == (404, "model_not_found", "model")


def test_a_model_that_the_caller_may_not_use_is_404(connect: Connect, replay: ReplayUpstream) -> None:
    replay.answer(LIST, LISTED)
    own = Settings(allowed_models=("gpt-*",), default_model="gpt-6")
    with pytest.raises(RequestError, match="this caller may not use it"):
        one_model("meta/llama-5", connect(), own, 20.0)
