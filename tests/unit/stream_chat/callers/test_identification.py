from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from callers.identification import identifier
from errors import RequestError
from request.http_request import HttpRequest
from settings import Settings


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def identify(headers: dict[str, str], principal: str = "", query: Any = None, **values: Any) -> str:
    keys = (("web", sha256("web-key")), ("batch", sha256("batch-key")), ("web", sha256("new-web-key")))
    settings = Settings(**{"caller_keys": keys, **values})
    return identifier(settings)(HttpRequest("GET", "/", query or {}, headers, b"", principal))


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
    assert identify(headers) == name


def test_a_caller_may_have_two_keys_during_a_rotation() -> None:
    assert identify({"x-api-key": "web-key"}) == identify({"x-api-key": "new-web-key"}) == "web"


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
        {"cookie": "x-api-key=web-key"},
    ],
)
def test_anything_else_is_401(headers: dict[str, str]) -> None:
    with pytest.raises(RequestError) as raised:
        identify(headers)
    assert raised.value.status == 401
    assert raised.value.code == "invalid_api_key"
    assert raised.value.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["key", "api_key", "x-api-key", "authorization", "access_token"])
def test_a_key_in_the_query_opens_nothing(name: str) -> None:
    with pytest.raises(RequestError, match="caller key"):
        identify({}, query={name: "web-key"})


def test_without_configured_keys_every_caller_is_refused() -> None:
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}):
        with pytest.raises(RequestError):
            identify(headers, caller_keys=())


def test_the_digest_of_the_empty_key_opens_nothing() -> None:
    with pytest.raises(RequestError):
        identify({}, caller_keys=(("oversight", sha256("")),))


@pytest.mark.parametrize("key", ["web-key", "batch-key", "wrong"])
def test_every_entry_is_compared_in_constant_time_whichever_matches(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(other)
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    try:
        identify({"x-api-key": key})
    except RequestError:
        assert key == "wrong"
    assert compared == [sha256("web-key"), sha256("batch-key"), sha256("new-web-key")]


def test_an_explicit_none_admits_every_caller_as_anonymous() -> None:
    assert identify({}, auth_mode="none") == "anonymous"


ROLE = "arn:aws:sts::123456789012:assumed-role/frontend/i-0abc"
USER = "arn:aws:iam::123456789012:user/team/batch"


def test_in_iam_mode_the_caller_is_the_arn_that_aws_authenticated() -> None:
    assert identify({}, USER, auth_mode="iam") == USER


def test_in_iam_mode_a_request_that_aws_has_not_checked_is_403_whatever_key_it_has() -> None:
    with pytest.raises(RequestError) as raised:
        identify({"x-api-key": "web-key"}, auth_mode="iam")
    assert (raised.value.status, raised.value.code) == (403, "unsigned_request")


def test_in_the_other_modes_a_signature_names_no_caller() -> None:
    assert identify({}, ROLE, auth_mode="none") == "anonymous"
    with pytest.raises(RequestError):
        identify({}, ROLE)


@pytest.mark.parametrize(
    ("principal", "caller"),
    [("assumed-role/frontend/", "assumed-role/frontend"), ("federated-user/", "federated-user")],
)
def test_a_role_and_all_federated_users_are_one_caller_whatever_name_is_chosen(
    principal: str, caller: str
) -> None:
    for session in ("i-0abc", "another", "x/y\nz"):
        name = identify({}, f"arn:aws:sts::123456789012:{principal}{session}", auth_mode="iam")
        assert name == f"arn:aws:sts::123456789012:{caller}"
