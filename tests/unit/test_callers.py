from __future__ import annotations

import hashlib
from typing import Any

import pytest

from callers import identify_caller
from relay_error import RequestError
from settings import Settings


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def settings(**values: Any) -> Settings:
    keys = (("web", sha256("web-key")), ("batch", sha256("batch-key")))
    return Settings(**{"caller_keys": keys, **values})


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"authorization": "Bearer web-key"}, "web"),
        ({"authorization": "bearer  batch-key "}, "batch"),
        ({"x-api-key": "batch-key"}, "batch"),
        ({"authorization": "Basic abc", "x-api-key": "web-key"}, "web"),
    ],
)
def test_a_known_key_names_its_caller(headers: dict[str, str], name: str) -> None:
    assert identify_caller(headers, settings()) == name


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer"},
        {"authorization": "web-key"},
        {"x-api-key": ""},
        {"x-api-key": sha256("web-key")},
        {"authorization": "Bearer \udc80"},
        {"authorization": "Bearer wrong", "x-api-key": "web-key"},
    ],
)
def test_anything_else_is_401_in_openais_shape(headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as raised:
        identify_caller(headers, settings())
    assert raised.value.status == 401
    assert raised.value.code == "invalid_api_key"
    assert raised.value.headers["www-authenticate"] == "Bearer"


def test_without_configured_keys_nobody_is_let_in() -> None:
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
        with pytest.raises(RequestError):
            identify_caller(headers, settings(caller_keys=()))


def test_the_digest_of_the_empty_key_opens_nothing() -> None:
    with pytest.raises(RequestError):
        identify_caller({}, settings(caller_keys=(("oversight", sha256("")),)))


def test_an_explicit_none_lets_everybody_in_as_anonymous() -> None:
    assert identify_caller({}, settings(auth_mode="none")) == "anonymous"
